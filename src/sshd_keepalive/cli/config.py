"""`config show`: every option, its value, and where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from sshd_keepalive.cli._options import named_in_environment
from sshd_keepalive.cli._results import REFERENCES
from sshd_keepalive.config import options as files
from sshd_keepalive.quoting import printable

_PASSWORD = re.compile(r"(://[^/:@]*:).*(?=@)|(password=)[^&]*")
#: Options of every command that are not the user's to keep.
_APART = ("help",)


class _Row(NamedTuple):
    """One option of one command."""

    command: str
    option: str
    value: Any
    origin: str


@click.group("config")
def command() -> None:
    """Look at the configuration: `config show --origin`."""


@command.command(
    "show", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, epilog="\b\n"
)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--format", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.argument("words", nargs=-1, metavar="[COMMAND [OPTION]...]", type=click.UNPROCESSED)
@click.pass_context
def show(ctx: click.Context, words: tuple[str, ...], origin: bool, format: str) -> None:  # noqa: A002 (the option's name)
    """Show every option with its value: of all commands, or of one command with its options.

    \b
    sshd-keepalive config show --origin
    sshd-keepalive config show --origin apply --forks 5

    The command line goes before the environment, that before the configuration file, and that before the default.
    """
    from sshd_keepalive.cli import COMMANDS

    if words and words[0] not in COMMANDS:
        from sshd_keepalive.spelling import did_you_mean

        ctx.fail(f"no such command {words[0]!r}{did_you_mean(words[0], COMMANDS)}")
    names = words[:1] or tuple(name for name in COMMANDS if name != "config")
    rows = [row for name in names for row in _rows(ctx.find_root(), name, words[1:])]
    source = files.find(ctx.find_root().params.get("config"))
    path = source.path if source else None
    if format == "json":
        shown = [{key: value for key, value in row._asdict().items() if origin or key != "origin"} for row in rows]
        file = None if path is None else str(path)
        click.echo(json.dumps({"schema_version": 1, "command": "config", "file": file, "options": shown}, indent=1))
        return
    if origin:
        click.echo(f"file: {printable(str(path)) if path else 'none'}")
    lines = list(_merged(rows))
    width = max((len(name) for name, _, _ in lines), default=0)
    wide = min(40, max((len(value) for _, value, _ in lines), default=0))
    for name, value, place in lines:
        click.echo(
            printable(f"{name:<{width}}  {value:<{wide}}  {place}" if origin else f"{name:<{width}}  {value}").rstrip()
        )


def _rows(root: click.Context, name: str, words: tuple[str, ...]) -> Iterator[_Row]:
    group = root.command
    found = group.get_command(root, name) if isinstance(group, click.Group) else None
    if found is None:
        return
    asked = [parameter for parameter in found.params if isinstance(parameter, click.Option)]
    # with words their mistakes are told; without, what a command cannot do without may be missing
    context = found.make_context(name, list(words), parent=root, resilient_parsing=not words)
    lines = files.find_places(root.params.get("config"))
    for parameter in asked:
        option = parameter.name or ""
        if option in _APART:
            continue
        value = _masked(option, context.params.get(option))
        yield _Row(name, option.replace("_", "-"), value, _origin(context, parameter, name, lines))


def _masked(option: str, value: Any) -> Any:
    """Hide what may be a secret: the password of a URL, and the target of a notice that is not a reference."""
    if isinstance(value, (tuple, list)):
        return tuple(_masked(option, one) for one in value)
    if not isinstance(value, str):
        return value
    if option == "notify":
        kind, colon, target = value.partition(":")
        return value if target.startswith(REFERENCES) else f"{kind}{colon}***" if colon else "***"
    return _PASSWORD.sub(r"\1\2***", value)


def _origin(context: click.Context, parameter: click.Option, name: str, lines: dict[tuple[str, str], str]) -> str:
    option = parameter.name or ""
    source = context.get_parameter_source(option)
    if source is ParameterSource.COMMANDLINE:
        return "command line"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment, {parameter.envvar}"
    if source is ParameterSource.DEFAULT_MAP:
        return lines.get((name, option)) or lines.get(("", option), "configuration file")
    return "default"


def _merged(rows: list[_Row]) -> Iterator[tuple[str, str, str]]:
    """One line for what is alike on all commands that have the option, else one for each command."""
    options: dict[str, list[_Row]] = {}
    for row in rows:
        options.setdefault(row.option, []).append(row)
    for option, found in sorted(options.items()):
        kinds = {(_text(row.value), row.origin) for row in found}
        if len(kinds) == 1:
            yield option, *kinds.pop()
            continue
        for row in found:
            yield f"{row.command} {option}", _text(row.value), row.origin


def _text(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


named_in_environment(show)
