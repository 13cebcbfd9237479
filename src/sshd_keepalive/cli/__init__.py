"""The command line: a group whose commands, one file each in `commands/`, are imported when they are called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final, cast

import click

from sshd_keepalive import __version__
from sshd_keepalive.cli.base import CommandGroup, find_options, write_sections
from sshd_keepalive.errors import ExtraError, KeepaliveError, StoreError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ExitCode(IntEnum):
    """What the program ends with; of several the highest."""

    OK = 0
    DRIFT = 1
    USAGE = 2
    UNKNOWN = 3  # also: output or the history could not be written
    ROLLED_BACK = 4
    UNPROVED = 5  # the state that a change left on a host could not be proved
    DEFECT = 70  # of this program, and no host was changed
    INTERRUPTED = 130


class HostsAtRisk(Exception):
    """A defect of this program while hosts were changed: their state was not reported."""


@contextmanager
def changing_hosts() -> Iterator[None]:
    """Turn a defect inside the block into HostsAtRisk. Ctrl-C only ends the output."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except (KeepaliveError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        raise HostsAtRisk(f"{type(error).__name__}: {error}") from error


#: What the help shows, in this order.
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Inspect": ("check", "plan", "why", "hosts"),
    "Change": ("apply", "confirm", "undo"),
    "Monitor": ("history", "report", "schedule"),
    "Troubleshoot": ("probe", "sessions", "losses", "diagnose"),
    "Set up": ("demo", "client-config", "config", "completion"),
}
COMMANDS: Final = tuple(name for names in SECTIONS.values() for name in names)
#: Commands of other programs → what they are called here.
_OTHER_NAMES: Final = {"diff": "plan", "status": "check", "rollback": "undo", "revert": "undo", "version": "--version"}

#: Set while a shell asks what Tab means; the name is click's.
COMPLETES = "_SSHD_KEEPALIVE_COMPLETE"


class _Commands(CommandGroup):
    """Imports a command when it is called: `--version` and completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"sshd_keepalive.cli.commands.{cmd_name.replace('-', '_')}")
        if COMPLETES in os.environ:
            from sshd_keepalive.cli.completion import add_completion

            add_completion(module.command)
        return cast(click.Command, module.command)

    def main(self, *args: Any, **extra: Any) -> Any:
        if COMPLETES in os.environ:
            from sshd_keepalive.cli import completion as completion  # registers our bash with click
        return super().main(*args, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names only: a description would cost the import of every command."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        sections = ((heading, [self.summarize(ctx, name) for name in names]) for heading, names in SECTIONS.items())
        write_sections(formatter, sections)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        try:
            return super().parse_args(ctx, _move_config(args))
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            name = error.option_name
            text = (
                f"{name} is not an option of the program; one of a command goes after it: sshd-keepalive check {name} …"
            )
            raise click.UsageError(text, ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from sshd_keepalive.spelling import did_you_mean

            meant = _OTHER_NAMES.get(name.casefold())
            ctx.fail(f"no such command {name!r}" + did_you_mean(meant or name, (meant,) if meant else COMMANDS))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeepaliveError as error:
            if isinstance(error, ExtraError):
                from sshd_keepalive import program

                error.hint = program.suggest_extra(error.extra)
            raise (StoreFailed if isinstance(error, StoreError) else UsageFailed)(error) from None


def _move_config(args: list[str]) -> list[str]:
    """Move --config in front of the command: it is an option of the program, but may follow the command."""
    end = args.index("--") if "--" in args else len(args)
    for at, word in enumerate(args[:end]):
        if word == "--config" or word.startswith("--config="):
            after = at + (2 if word == "--config" else 1)
            return [*args[at:after], *args[:at], *args[after:]]
    return args


class UsageFailed(click.ClickException):
    """A wrong command line, inventory or configuration: exit code 2, no traceback."""

    exit_code = ExitCode.USAGE

    def __init__(self, error: KeepaliveError) -> None:
        super().__init__(str(error))
        self.hint = error.hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Write message and hint on standard error."""
        from sshd_keepalive.cli.output import render_error

        click.echo(render_error(self.message, self.hint), err=True, file=file, nl=False)


def _phrase(error: click.ClickException) -> KeepaliveError:
    """Phrase a mistake that click found as every other: lower case, no full stop, the help as the next step."""
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        from sshd_keepalive.spelling import did_you_mean

        text = f"no such option {error.option_name}{did_you_mean(error.option_name, error.possibilities or ())}"
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "sshd-keepalive"
    return KeepaliveError(text[:1].lower() + text[1:].removesuffix("."), hint=f"{path} --help")


class StoreFailed(UsageFailed):
    """The history cannot be read or written: exit code 3, as for a host that could not be reached."""

    exit_code = ExitCode.UNKNOWN


def _note_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta["sshd_keepalive.verbose"] = value


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(f"sshd-keepalive, version {__version__}")
    if ctx.meta["sshd_keepalive.verbose"]:
        import platform
        from importlib.metadata import version

        click.echo(f"Python {platform.python_version()} ({platform.platform()})")
        for name in ("paramiko", "cryptography", "click"):
            click.echo(f"{name} {version(name)}")
    ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 drift, 2 usage, 3 unknown, 4 rolled_back, 5 unproved, 70 defect, 130 interrupted.",
)
@click.option("-v", "verbose", is_flag=True, is_eager=True, hidden=True, expose_value=False, callback=_note_verbose)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit; with -v also those of Python, paramiko, cryptography and click.",
)
@click.option("--config", metavar="FILE", envvar="SSHD_KEEPALIVE_CONFIG", help="Options from this file, YAML.")
@click.pass_context
def command(ctx: click.Context, config: str | None) -> None:
    """Make SSH servers keep quiet sessions alive, without ever locking anybody out.

    \b
    Check one host, without an inventory:
      sshd-keepalive check ops@192.0.2.11
    Show what would change on many:
      sshd-keepalive plan -i hosts.yaml
    Change, restart, verify or revert:
      sshd-keepalive apply -i hosts.yaml
    """
    _mark_warnings()
    _warn_of_unknown_variables(ctx)
    ctx.default_map = _read_config(ctx, config)


def _mark_warnings() -> None:
    """Begin what modules log with the word of every other warning; `-vv` installs a handler of its own."""
    import logging  # not for --version

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))


def _find_variables(command: click.Command) -> set[str]:
    """Find the variables that set options of a command or of its commands."""
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return {str(option.envvar) for one in (command, *inner) for option in find_options(one).values()}


def find_all_options(ctx: click.Context) -> dict[str, dict[str, click.Option]]:
    """Find the options that may be configured: command → spelling → option. Imports every command."""
    commands = {name: command.get_command(ctx, name) for name in COMMANDS}
    return {name: find_options(one) for name, one in commands.items() if one is not None}


def _warn_of_unknown_variables(ctx: click.Context) -> None:
    """Warn of variables that look like ours and mean nothing, as a misspelled option would be refused."""
    from sshd_keepalive.config.options import VARIABLE

    invoked = command.get_command(ctx, ctx.invoked_subcommand or "")
    variables = {VARIABLE} | (_find_variables(invoked) if invoked else set())
    if not (unknown := {name for name in os.environ if name.startswith("SSHD_KEEPALIVE_")} - variables):
        return
    variables.update(*(_find_variables(one) for name in COMMANDS if (one := command.get_command(ctx, name))))
    from sshd_keepalive.spelling import did_you_mean

    for name in sorted(unknown - variables):
        click.echo(f"warning: {name} is not the variable of any option{did_you_mean(name, variables)}", err=True)


def _read_config(ctx: click.Context, path: str | None) -> dict[str, Any] | None:
    """Read the configuration file, if there is one: command → parameter → default value."""
    from sshd_keepalive.config import options

    source = options.find(path)
    if source is None:
        return None
    by_command = find_all_options(ctx)
    values = options.read(
        source,
        {name: {spelling: one.multiple for spelling, one in those.items()} for name, those in by_command.items()},
    )
    applied = values.get(ctx.invoked_subcommand or "", {})
    if applied and not source.is_named:
        click.echo(f"options from ./{source.path}: {', '.join(applied)}", err=True)
    return {
        name: {by_command[name][spelling].name or "": value for spelling, value in those.items()}
        for name, those in values.items()
    }


def run() -> int:
    """Run the command line and give the exit code; raises nothing."""
    try:
        code = command(prog_name="sshd-keepalive", standalone_mode=False)
        return code if isinstance(code, int) else ExitCode.OK
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except (UsageFailed, click.exceptions.NoArgsIsHelpError) as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        UsageFailed(_phrase(error)).show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("\ninterrupted: nothing was changed\n")
        return ExitCode.INTERRUPTED
    except Exception as error:  # Python would end with 1, and that says drift
        import traceback

        traceback.print_exc()
        at_risk = isinstance(error, HostsAtRisk)
        hosts = "hosts may have been changed" if at_risk else "no host was changed"
        step = "run check on these hosts, then report the lines above" if at_risk else "report the lines above"
        sys.stderr.write(f"error: this is a defect of sshd-keepalive; {hosts}\nnext: {step}\n")
        return ExitCode.UNPROVED if at_risk else ExitCode.DEFECT
