"""`config`: the options that are set, command by command, and where each value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from sshd_keepalive.cli import COMMANDS
from sshd_keepalive.cli.base import Command, find_options
from sshd_keepalive.cli.options import format_options
from sshd_keepalive.config import options as files
from sshd_keepalive.config.values import is_reference
from sshd_keepalive.quoting import printable

_PASSWORD = re.compile(r"(://[^/:@]*:).*(?=@)|(password=)[^&]*")
_DEFAULT = "default"


class _Row(NamedTuple):
    """One option of one command."""

    command: str
    option: str
    value: Any
    origin: str


@click.command(
    "config",
    cls=Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Show which options are set, and where.",
)
@format_options("text", "json")
@click.argument("words", nargs=-1, metavar="[COMMAND [OPTION]...]", type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], format: str) -> None:  # noqa: A002 (the option's name)
    """Show the options that are set, command by command, and where each value comes from.

    \b
    sshd-keepalive config
    sshd-keepalive config apply --forks 5

    With a COMMAND, also show its options that have their default. The command line wins over the environment, and the
    environment over the configuration file. Keys of the file and variables are spelled as the long options: dry-run,
    SSHD_KEEPALIVE_DRY_RUN.
    """
    if words and words[0] not in COMMANDS:
        from sshd_keepalive.spelling import did_you_mean

        ctx.fail(f"no such command {words[0]!r}{did_you_mean(words[0], COMMANDS)}")
    root = ctx.find_root()
    source = files.find(root.params.get("config"))
    path = None if source is None else str(source.path)
    places = {} if source is None else files.find_places(source)
    rows = [row for name in words[:1] or COMMANDS for row in _find_rows(root, name, words[1:], places)]
    if format == "json":
        options = [row._asdict() for row in rows]
        click.echo(json.dumps({"schema_version": 1, "command": "config", "file": path, "options": options}, indent=1))
        return
    click.echo(f"file: {printable(path) if path else 'none'}")
    rows = [row for row in rows if words or row.origin != _DEFAULT]
    width = max((len(row.option) for row in rows), default=0)
    for name, its_rows in groupby(rows, lambda row: row.command):
        click.echo(f"\n{name}")
        for row in its_rows:
            click.echo(printable(f"  {row.option:<{width}}  {_format(row.value)}  ({row.origin})"))
    if not rows:
        click.echo("every option has its default; sshd-keepalive config check shows those of check")


def _find_rows(
    root: click.Context, name: str, words: tuple[str, ...], places: Mapping[tuple[str, str], str]
) -> Iterator[_Row]:
    group = root.command
    command = group.get_command(root, name) if isinstance(group, click.Group) else None
    if command is None:
        return
    # Without words, arguments that the command requires may be missing.
    context = command.make_context(name, list(words), parent=root, resilient_parsing=not words)
    for spelling, option in find_options(command).items():
        origin = _describe_origin(context, option, places.get((name, spelling)) or places.get(("", spelling), ""))
        yield _Row(name, spelling, _mask(spelling, context.params.get(option.name or "")), origin)


def _mask(option: str, value: Any) -> Any:
    """Hide what may be a secret: the password of a URL, and the target of a notice that is not a reference."""
    if isinstance(value, (tuple, list)):
        return tuple(_mask(option, one) for one in value)
    if not isinstance(value, str):
        return value
    if option == "notify":
        kind, colon, target = value.partition(":")
        return value if is_reference(target) else f"{kind}{colon}***" if colon else "***"
    return _PASSWORD.sub(r"\1\2***", value)


def _describe_origin(context: click.Context, option: click.Option, place: str) -> str:
    source = context.get_parameter_source(option.name or "")
    if source is ParameterSource.COMMANDLINE:
        return "command line"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment, {option.envvar}"
    return place if source is ParameterSource.DEFAULT_MAP else _DEFAULT


def _format(value: Any) -> str:
    if value is None or value in ((), ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
