"""What every command has in common: options under headings, read at any width, and also from the environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click
from click.core import ParameterSource

#: Headings of a command's help in their order, and the options below each; others stand first, without one.
HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "Which hosts": ("inventory", "limit", "file", "openssh"),
    "Policy": (
        *("keep-alive-every", "drop-dead-after", "interval", "count"),
        *("strategy", "as-if", "benchmark"),
    ),
    "Log in": (
        *("user", "port", "private-key", "ask-pass", "become", "ask-become-pass"),
        *("jump", "host-keys", "timeout"),
    ),
    "Rollout": ("yes", "dry-run", "canary", "serial", "soak", "max-fail", "on-failure", "resume", "watch", "on-loss"),
    "Output": (
        *("format", "json", "out", "quiet", "verbose", "color", "no-progress"),
        *("record", "store", "keep", "notify", "notify-on", "help"),
    ),
    "Advanced": ("forks", "engine", "confirm-timeout", "no-confirm", "no-rehearsal", "service-action"),
}
#: Options without a meaning unless another one is given as well.
NEEDS: Final[Mapping[str, str]] = {
    **{"keep": "record", "store": "record", "notify-on": "notify"},
    **{"concurrency": "deep", "openssh": "file", "on-loss": "watch"},
}
#: Below this width the explanation of a term stands below it, not beside it.
_NARROW: Final = 60
_MAX_WIDTH: Final = 100


def spell(parameter: click.Parameter) -> str:
    """Give a parameter's name as people type it: its long option without the dashes."""
    return next((name[2:] for name in parameter.opts if name.startswith("--")), parameter.name or "")


def find_options(command: click.Command) -> dict[str, click.Option]:
    """Find the options that can also come from the environment and from the configuration file, by their spelling."""
    return {
        spell(parameter): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.envvar
    }


class _Formatter(click.HelpFormatter):
    """Lays out a help text for the terminal's width, narrow ones included."""

    def __init__(self, *, width: int | None = None, max_width: int | None = None) -> None:
        columns = width or min(shutil.get_terminal_size().columns, max_width or _MAX_WIDTH) - 1
        super().__init__(width=columns)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their explanations."""
        super().write_dl(list(rows), 4 if self.width < _NARROW else col_max, col_spacing)


class HelpContext(click.Context):
    """A context whose help text fits the terminal."""

    formatter_class = _Formatter


class Command(click.Command):
    """A command whose options also come from SSHD_KEEPALIVE_…; spaces divide several values."""

    context_class = HelpContext

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for parameter in self.params:
            if isinstance(parameter, click.Option) and parameter.expose_value and spell(parameter) != "json":
                parameter.envvar = f"SSHD_KEEPALIVE_{spell(parameter).upper().replace('-', '_')}"
            if isinstance(parameter.type, click.IntRange | click.FloatRange):
                parameter.type.name = "number"  # click: 'x' is not a valid integer range

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, and refuse an option that was typed without the one that gives it a meaning."""
        rest = super().parse_args(ctx, args)
        options = {spell(parameter): parameter.name or "" for parameter in self.params}
        for name, needed in NEEDS.items():
            is_typed = name in options and ctx.get_parameter_source(options[name]) is ParameterSource.COMMANDLINE
            if is_typed and needed in options and not ctx.params.get(options[needed]) and not ctx.resilient_parsing:
                raise click.UsageError(f"--{name} needs --{needed}", ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        options = (one for one in self.get_params(ctx) if isinstance(one, click.Option))
        rows = {spell(one): row for one in options if (row := one.get_help_record(ctx)) is not None}
        headed = [(heading, [rows.pop(name) for name in names if name in rows]) for heading, names in HEADINGS.items()]
        write_sections(formatter, [("Options", list(rows.values())), *headed])


def write_sections(formatter: click.HelpFormatter, sections: Iterable[tuple[str, list[tuple[str, str]]]]) -> None:
    """Write the sections that hold something."""
    for heading, rows in sections:
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


class CommandGroup(click.Group):
    """A command of commands, such as `schedule install`."""

    context_class = HelpContext
    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their whole summaries."""
        write_sections(formatter, [("Commands", [self.summarize(ctx, name) for name in self.list_commands(ctx)])])

    def summarize(self, ctx: click.Context, name: str) -> tuple[str, str]:
        """Give a command's name and the first sentence of its help."""
        command = self.get_command(ctx, name)
        text = (command.short_help or command.help or "") if command else ""
        return name, " ".join(text.split("\n\n")[0].split()).partition(". ")[0].removesuffix(".") + "."
