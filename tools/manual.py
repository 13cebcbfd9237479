"""The man pages, made from the command line itself: one for the program and one for each command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from sshd_keepalive import __version__
from sshd_keepalive.cli import COMMANDS, command

PROGRAM = "sshd-keepalive"
ENVIRONMENT = """\
Every option can also come from a variable: SSHD_KEEPALIVE_ and the option in capitals, for example
SSHD_KEEPALIVE_INVENTORY or SSHD_KEEPALIVE_KEEP_ALIVE_EVERY. Spaces separate several values. The command line wins over
the environment, and the environment over the configuration file."""
FILES = (
    ("./sshd-keepalive.yaml", "Options for runs in this directory; only harmless ones are read."),
    ("~/.config/sshd-keepalive/config.yaml", "Options of this account."),
    ("~/.local/state/sshd-keepalive/history.db", "The history, written with --record."),
    ("/var/lib/sshd-keepalive", "On a host that was changed: backups and the script that reverts a change."),
)


def render_pages(day: str, readme: str) -> dict[str, str]:
    """Render every page.

    Args:
        day: the date that the pages carry, 2026-01-31.
        readme: the text of README.md; its table of exit codes is the one that the pages show.

    Returns:
        File name, for example `sshd-keepalive-check.1`, and text of each page.
    """
    program = click.Context(command, info_name=PROGRAM, **command.context_settings)
    exit_codes = re.findall(r"^\| (\d+) \| (\w+) \| (.+) \|$", readme, re.MULTILINE)
    pages = {f"{PROGRAM}.1": _render_page(program, day, exit_codes)}
    for name in COMMANDS:
        subject = command.get_command(program, name)
        assert subject is not None
        context = click.Context(subject, info_name=name, parent=program)
        pages[f"{PROGRAM}-{name}.1"] = _render_page(context, day, exit_codes)
    return pages


def _render_page(context: click.Context, day: str, exit_codes: list[tuple[str, str, str]]) -> str:
    name = context.command_path.replace(" ", "-")
    summary = context.command.get_short_help_str(limit=200).rstrip(".").replace("`", "")
    others = [PROGRAM, *(f"{PROGRAM}-{other}" for other in COMMANDS)]
    references = [f".BR {other} (1)," for other in others if other != name]
    lines = [
        f'.TH "{name.upper()}" "1" "{day}" "{PROGRAM} {__version__}" "User Commands"',
        ".ad l",
        ".nh",
        ".SH NAME",
        f"{_escape(name)} \\- {_escape(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        *_render_synopsis(context),
        ".SH DESCRIPTION",
        *_render_text(context.command.help or ""),
        ".SH OPTIONS",
        *_render_options(context),
        *_render_commands(context),
        ".SH ENVIRONMENT",
        *_render_text(ENVIRONMENT),
        ".SH FILES",
        *(line for path, text in FILES for line in (".TP", f".I {_escape(path)}", *_render_text(text))),
        ".SH EXIT STATUS",
        "Of several hosts the highest code counts.",
        *(line for code, word, text in exit_codes for line in (".TP", f'.BR {code} " ({word})"', *_render_text(text))),
        ".SH SEE ALSO",
        *references,
        ".BR sshd_config (5),",
        ".BR ssh_config (5),",
        ".BR sshd (8)",
    ]
    return "\n".join(lines) + "\n"


def _render_synopsis(context: click.Context) -> Iterator[str]:
    yield f".B {_escape(context.command_path)}"
    yield _escape(" ".join(context.command.collect_usage_pieces(context)))


def _render_options(context: click.Context) -> Iterator[str]:
    for option in context.command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            names, text = record
            yield from (".TP", f"\\fB{_escape(names)}\\fR", *_render_text(text))


def _render_commands(context: click.Context) -> Iterator[str]:
    """Render the commands of a group: those of the program have pages of their own, others are a section each."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    yield ".SH COMMANDS"
    for name in group.list_commands(context):
        subject = group.get_command(context, name)
        assert subject is not None
        if context.parent is None:
            yield from (".TP", f".BR {_escape(f'{PROGRAM}-{name}')} (1)")
            yield from _render_text(subject.get_short_help_str(limit=200))
        else:
            inner = click.Context(subject, info_name=name, parent=context)
            yield f".SS {_escape(name)}"
            yield from _render_synopsis(inner)
            yield ".PP"
            yield from _render_text(subject.help or "")
            yield from _render_options(inner)


def _render_text(text: str) -> Iterator[str]:
    """Render paragraphs; click keeps the lines of one that begins with `\\b` as they are."""
    paragraphs = [lines for part in re.split(r"\n\s*\n", text) if (lines := part.strip("\n").splitlines())]
    for number, lines in enumerate(paragraphs):
        if number:
            yield ".PP"
        if lines[0].strip() == "\b":
            yield from (".nf", *(_escape(line.strip()) for line in lines[1:]), ".fi")
        else:
            yield from (_escape(line.strip()) for line in lines)


def _escape(text: str) -> str:
    """Escape what roff reads as a request, an escape or a typographic sign; `x` becomes bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text
