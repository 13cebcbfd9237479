"""`completion`: the script with which a shell completes our commands, options, hosts and reports."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sshd_keepalive.cli import COMPLETES
from sshd_keepalive.cli import completion as completion  # registers our bash with click
from sshd_keepalive.cli.base import Command


@click.command("completion", cls=Command, short_help="Print completion for a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print completion of commands, options, hosts, groups and reports for a shell.

    \b
    bash, in ~/.bashrc:
      eval "$(sshd-keepalive completion bash)"
    zsh, in ~/.zshrc, after compinit:
      eval "$(sshd-keepalive completion zsh)"
    fish:
      cd ~/.config/fish/completions
      sshd-keepalive completion fish > sshd-keepalive.fish
    """
    root = ctx.find_root()
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    click.echo(shell_class(root.command, {}, "sshd-keepalive", COMPLETES).source())
