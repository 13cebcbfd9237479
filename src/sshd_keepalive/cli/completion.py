"""`completion`, and what Tab offers: hosts and groups of the inventory, kinds of sources, reports, engines.

click's shell_completion asks the parameters by their types; `offer` gives the types to the parameters by their names.
No connection is made. Nothing here may cost much: no paramiko, no program and no cloud, see `inventories.list_known`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from sshd_keepalive.cli import COMPLETES
from sshd_keepalive.cli._command import Command

SHELLS: Final = ("bash", "zsh", "fish")

MOST: Final = 1000  # more than anybody reads, less than a shell chokes on

#: What begins a new word for bash, as far as it can stand in a host, a pattern or a source (COMP_WORDBREAKS).
_BASH_BREAKS: Final = ":=@"
#: What is offered is typed for the user and run at the next Enter: `%q` makes it one word that means itself, which
#: it would not be inside quotes. `mapfile` neither splits nor expands what the program has answered.
_BASH: Final = """\
%(complete_func)s() {
    local answers answer value
    COMPREPLY=()
    mapfile -t answers < <(env COMP_LINE="${COMP_LINE:0:$COMP_POINT}" %(complete_var)s=bash_complete "$1")
    for answer in "${answers[@]}"; do
        value=${answer#*,}
        case ${answer%%%%,*} in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                case $value in
                    *:|*,) compopt -o nospace ;;
                    *[!A-Za-z0-9._:=+@,/%%-]*)
                        case ${COMP_WORDS[COMP_CWORD]} in [\\'\\"]*) continue ;; esac
                        printf -v value '%%q' "$value" ;;
                esac
                COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """bash takes `yaml:hosts` for three words; here the line is cut again, and only the last part is answered."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The finished words, and the one under the cursor."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1].isspace() else ""
        self._answered = max(incomplete.rfind(letter) for letter in _BASH_BREAKS) + 1
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """The type and what bash is to put in place of its own last word."""
        return f"{item.type},{item.value[self._answered :] if item.type == 'plain' else item.value}"


add_completion_class(Bash)


class _Offered(click.types.StringParamType):
    """Text, as before, with something to offer."""

    def __init__(self, give: Callable[[click.Context, str], Iterable[str]], *, several: bool = False) -> None:
        self._give = give
        self._several = several  # values joined by commas: only the last one is completed

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The values that begin with what is there; a value that ends in `/` or is `*` asks the shell for files."""
        before, comma, last = incomplete.rpartition(",") if self._several else ("", "", incomplete)
        sign = last[: len(last) - len(last.lstrip("!&"))] if self._several else ""
        try:
            values = list(self._give(ctx, last[len(sign) :]))
        except Exception:  # a broken inventory is told when the command runs, not between two keystrokes
            return []
        if values == [FILES]:
            return [CompletionItem(incomplete, type="file")]
        # A line end would be a line of its own for the shell, a control character a key press.
        found = sorted({value for value in values if value.startswith(last[len(sign) :]) and value.isprintable()})
        return [CompletionItem(f"{before}{comma}{sign}{value}") for value in found[:MOST]]


FILES: Final = "\0files"  # the shell's own completion of paths


def _files(ctx: click.Context, incomplete: str) -> Iterable[str]:
    del ctx, incomplete
    return [FILES]


def _hosts(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Hosts and groups of the inventory of this command line, the environment or the configuration file."""
    del incomplete
    from sshd_keepalive import inventories
    from sshd_keepalive.config import options

    sources: Any = ctx.params.get("inventory") or options.peek(
        "inventory", ctx.info_name or "", ctx.find_root().params.get("config")
    )
    hosts = inventories.list_known(sources or ())
    names = [name for host in hosts for name in (host.name, *host.groups)]
    return [*names, "all"] if names else []


def _sources(ctx: click.Context, incomplete: str) -> Iterable[str]:
    del ctx
    return _kinds("inventories", incomplete)


def _outputs(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """A kind of report, then a path: what has no kind is not a value of --out."""
    del ctx
    from sshd_keepalive import registry

    return (
        _kinds("reports", incomplete) if ":" in incomplete else [f"{kind}:" for kind in registry.list_names("reports")]
    )


def _own_runs(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The runs of this account that changed hosts."""
    del ctx, incomplete
    from sshd_keepalive.cli import _journal

    return _journal.runs()


def _recorded_runs(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The runs in the history, where it is a file: a database may be far away."""
    del incomplete
    from sshd_keepalive.cli._records import open_to_read

    address = str(ctx.params.get("store") or "")
    return [] if "://" in address else [run.id for run in open_to_read(address).list_runs(MOST)]


def _sinks(ctx: click.Context, incomplete: str) -> Iterable[str]:
    del ctx
    return _kinds("notifiers", incomplete)


def _benchmarks(ctx: click.Context, incomplete: str) -> Iterable[str]:
    del ctx, incomplete
    from sshd_keepalive.config import benchmarks

    return [benchmarks.ALL, *(row.name for row in benchmarks.load_table())]


def _kinds(kind: str, incomplete: str) -> Iterable[str]:
    """`KIND:` where one begins like this, paths behind it, else files."""
    from sshd_keepalive import registry

    known = registry.list_names(kind)
    name, colon, rest = incomplete.partition(":")
    if colon and name in known:
        return [f"{name}:{path}" for path in _paths(rest)]
    found = [f"{one}:" for one in known if incomplete and one.startswith(incomplete)]
    return found if found and not any(_paths(incomplete)) else [FILES]


def _paths(begin: str) -> list[str]:
    folder, slash, rest = begin.rpartition("/")
    found = Path(f"{folder}{slash}" or ".").expanduser().iterdir()
    hits = [path for path in found if path.name.startswith(rest) and (rest or not path.name.startswith("."))]
    return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in hits]


def _named(kind: str) -> Callable[[click.Context, str], Iterable[str]]:
    def give(ctx: click.Context, incomplete: str) -> Iterable[str]:
        del ctx, incomplete
        from sshd_keepalive import registry

        return registry.list_names(kind)

    return give


#: Parameter, named alike on every command → what it offers.
_OFFERS: Final[dict[str, _Offered]] = {
    "inventory": _Offered(_sources),
    "limit": _Offered(_hosts, several=True),
    "hosts": _Offered(_hosts, several=True),
    "jump": _Offered(_hosts, several=True),
    "format": _Offered(_named("reports")),
    "out": _Offered(_outputs),
    "notify": _Offered(_sinks),
    "benchmark": _Offered(_benchmarks),
    "engine": _Offered(_named("engines")),
    "private_key": _Offered(_files),
    "resume": _Offered(_own_runs),
    "run_id": _Offered(_own_runs),
    "run": _Offered(_recorded_runs),
    "words": _Offered(_recorded_runs),
    "log": _Offered(_files),
    "store": _Offered(_files),
}


def offer(command: click.Command) -> click.Command:
    """Let the parameters of a command be completed, those that are plain text so far."""
    for parameter in command.params:
        if parameter.name in _OFFERS and type(parameter.type) is click.types.StringParamType:
            parameter.type = _OFFERS[parameter.name]
    return command


@click.command("completion", cls=Command, short_help="Print completion for a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
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
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not supported")
    click.echo(found(root.command, {}, "sshd-keepalive", COMPLETES).source())
