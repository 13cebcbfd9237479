"""`completion`: print the few lines that make a shell ask this program what Tab means."""

from __future__ import annotations

import click

from sshd_keepalive.cli import COMPLETES

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print completion for a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print completion of commands, options, hosts, groups and reports for a shell.

    \b
    bash:  eval "$(sshd-keepalive completion bash)"            in ~/.bashrc
    zsh:   eval "$(sshd-keepalive completion zsh)"             in ~/.zshrc, behind compinit
    fish:  sshd-keepalive completion fish > ~/.config/fish/completions/sshd-keepalive.fish
    """
    from click.shell_completion import get_completion_class

    from sshd_keepalive.cli import complete as complete  # brings our bash along

    root = ctx.find_root()
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not supported")
    click.echo(found(root.command, {}, "sshd-keepalive", COMPLETES).source())
