"""The values that Tab offers: hosts and groups of the inventory, kinds of sources, reports, engines.

click asks the type of a parameter for its values; `add_completion` sets the types by the names of the parameters.
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
    split_arg_string,
)

from sshd_keepalive import registry

MOST: Final = 1000  # more than a person reads, few enough for every shell

#: What begins a new word for bash, as far as it can stand in a host, a pattern or a source (COMP_WORDBREAKS).
_BASH_BREAKS: Final = ":=@"
#: bash runs the completed word at the next Enter: `%q` makes it one word that means itself, which it would not be
#: inside quotes. `mapfile` neither splits nor expands the output of the program.
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
    """bash splits `yaml:hosts` into three words; this class splits the line again, and answers only the last part."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the finished words, and the one under the cursor."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1].isspace() else ""
        self._n_answered = max(incomplete.rfind(letter) for letter in _BASH_BREAKS) + 1
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Give the type, and the text that replaces the last word of bash."""
        return f"{item.type},{item.value[self._n_answered :] if item.type == 'plain' else item.value}"


add_completion_class(Bash)


#: Asks the shell to complete paths by itself.
_FILES: Final = ("\0files",)

_Values = Callable[[click.Context, str], Iterable[str]]


class _Completed(click.types.StringParamType):
    """A text with values to offer.

    Args:
        list_values: gives all values, or `_FILES`, from the context and the word so far.
        is_list: the text is values joined by commas: only the last one is completed.
    """

    def __init__(self, list_values: _Values, *, is_list: bool = False) -> None:
        self._list_values = list_values
        self._is_list = is_list

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """List the values that begin with the word so far."""
        before, comma, last = incomplete.rpartition(",") if self._is_list else ("", "", incomplete)
        word = last.lstrip("!&") if self._is_list else last
        kept = f"{before}{comma}{last.removesuffix(word)}"
        try:
            values = tuple(self._list_values(ctx, word))
        except Exception:  # the command itself reports a broken inventory
            return []
        if values == _FILES:
            return [CompletionItem(incomplete, type="file")]
        # A line end would be a line of its own for the shell, a control character a key press.
        matching = sorted({value for value in values if value.startswith(word) and value.isprintable()})
        return [CompletionItem(kept + value) for value in matching[:MOST]]


def _list_hosts(ctx: click.Context, _word: str) -> Iterable[str]:
    """List hosts and groups of the inventory of this command line, the environment or the configuration file."""
    from sshd_keepalive import inventories
    from sshd_keepalive.config import options

    sources: Any = ctx.params.get("inventory") or options.peek_inventory(
        ctx.info_name or "", ctx.find_root().params.get("config")
    )
    hosts = inventories.list_known(sources or ())
    names = [name for host in hosts for name in (host.name, *host.groups)]
    return [*names, "all"] if names else []


def _list_own_runs(_ctx: click.Context, _word: str) -> Iterable[str]:
    """List the runs of this account that changed hosts."""
    from sshd_keepalive.cli import journal

    return journal.list_runs()


def _list_recorded_runs(ctx: click.Context, _word: str) -> Iterable[str]:
    """List the runs in the history, where it is a file: a database may be far away."""
    from sshd_keepalive.cli.records import open_to_read

    address = str(ctx.params.get("store") or "")
    return [] if "://" in address else [run.id for run in open_to_read(address).list_runs(MOST)]


def _list_benchmarks(_ctx: click.Context, _word: str) -> Iterable[str]:
    from sshd_keepalive.config import benchmarks

    return [benchmarks.ALL, *(row.name for row in benchmarks.load_table())]


def _list_outputs(_ctx: click.Context, word: str) -> Iterable[str]:
    """List kinds of reports, then paths: without a kind it is not a value of --out."""
    kinds = [f"{kind}:" for kind in registry.list_names("reports")]
    return _list_arguments("reports", word) if ":" in word else kinds


def _list_arguments(extensions: str, word: str) -> Iterable[str]:
    """List `KIND:` where one begins like this, paths after it, else files."""
    kinds = registry.list_names(extensions)
    kind, colon, argument = word.partition(":")
    if colon and kind in kinds:
        return [f"{kind}:{path}" for path in _list_paths(argument)]
    matching = [f"{kind}:" for kind in kinds if word and kind.startswith(word)]
    return matching if matching and not any(_list_paths(word)) else _FILES


def _list_paths(word: str) -> list[str]:
    folder, slash, name = word.rpartition("/")
    paths = Path(f"{folder}{slash}" or ".").expanduser().iterdir()
    matching = [path for path in paths if path.name.startswith(name) and (name or not path.name.startswith("."))]
    return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in matching]


_HOSTS: Final = _Completed(_list_hosts, is_list=True)
_OWN_RUNS: Final = _Completed(_list_own_runs)
_RECORDED_RUNS: Final = _Completed(_list_recorded_runs)
_PATHS: Final = _Completed(lambda _ctx, _word: _FILES)
#: Parameter, named alike on every command → what it offers.
_TYPES: Final[dict[str, _Completed]] = {
    "inventory": _Completed(lambda _ctx, word: _list_arguments("inventories", word)),
    "limit": _HOSTS,
    "hosts": _HOSTS,
    "jump": _HOSTS,
    "format": _Completed(lambda _ctx, _word: registry.list_names("reports")),
    "out": _Completed(_list_outputs),
    "notify": _Completed(lambda _ctx, word: _list_arguments("notifiers", word)),
    "benchmark": _Completed(_list_benchmarks),
    "engine": _Completed(lambda _ctx, _word: registry.list_names("engines")),
    "private_key": _PATHS,
    "log": _PATHS,
    "store": _PATHS,
    "resume": _OWN_RUNS,
    "run_id": _OWN_RUNS,
    "run": _RECORDED_RUNS,
    "words": _RECORDED_RUNS,
}


def add_completion(command: click.Command) -> None:
    """Let the parameters of a command be completed, those that are plain text so far."""
    for parameter in command.params:
        if parameter.name in _TYPES and type(parameter.type) is click.types.StringParamType:
            parameter.type = _TYPES[parameter.name]
