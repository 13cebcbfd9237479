"""The options that several commands share: a field of `Options` declares its option, and a command names its fields."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import click
from click.core import ParameterSource

from sshd_keepalive.cli.duration import DAY_S, Duration, SecondsRange
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Action, BecomeMethod, HostKeyRule, Strategy
from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE
from sshd_keepalive.sshd_config.values import INT_MAX

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


def option(default: Any, *names: str, **attributes: Any) -> Any:
    """Declare a field and its option.

    Args:
        default: also says whether the option is a flag, can be repeated, and shows its default.
        names: the first one is written in suggested commands; without any, the long option alone.
        attributes: those of click.
    """
    return field(default=default, metadata={"names": names, "attributes": attributes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values of the shared options; a command that lacks an option has its default."""

    hosts: tuple[str, ...] = option((), nargs=-1, metavar="[HOST]...")  # an argument
    inventory: tuple[str, ...] = option((), "-i", metavar="SOURCE", help="A file, or KIND:ARGUMENT; repeatable.")
    limit: str | None = option(
        None, "--limit", "-l", metavar="PATTERN", help="Only these hosts or groups: a,b  web*  !db  @FILE."
    )
    user: str | None = option(None, "-u", metavar="NAME", help="Log in as this account; overrides the inventory.")
    port: int | None = option(None, "-p", metavar="PORT", type=click.IntRange(1, 65535), help="Connect to this port.")
    private_key: str | None = option(None, metavar="FILE", help="Log in with this key.")
    ask_pass: bool = option(False, "-k", help="Ask once for the login password, and log in with it.")
    become: BecomeMethod | None = option(
        None, "-b", type=click.Choice(("sudo", "doas", "none")), help="How the login becomes root."
    )
    ask_become_pass: bool = option(False, "-K", help="Ask once for the sudo password.")
    jump: str | None = option(None, "-J", metavar="HOPS", help="Go through user@host:port[,…]; none: directly.")
    host_keys: HostKeyRule | None = option(
        None,
        type=click.Choice(("strict", "accept-new")),
        help="strict: refuse unknown host keys; accept-new: write them to known_hosts; without it you are asked.",
    )
    timeout: float = option(
        60.0,
        metavar="SECONDS",
        type=SecondsRange(1, 3600),
        help="Time limit of one login, and of one script that runs over it.",
    )
    keep_alive_every: float | None = option(
        None,
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="Require a keep-alive at least this often, for example 5m; the host's release decides the interval.",
    )
    drop_dead_after: float | None = option(
        None,
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="With --keep-alive-every: require that a dead session is dropped within this time, for example 20m.",
    )
    interval: float | None = option(
        None, metavar="TIME", type=Duration(0, INT_MAX, whole=True), help="Require this ClientAliveInterval."
    )
    count: int | None = option(None, metavar="N", type=click.IntRange(0), help="Require this ClientAliveCountMax.")
    strategy: str | None = option(
        None,
        type=click.Choice([strategy.value for strategy in Strategy]),
        help="edit: change the line that decides; drop-in: write a file that sshd reads first, if it knows Include.",
    )
    out: tuple[str, ...] = option((), metavar="KIND:FILE", help="Write a report to a file as well; repeatable.")
    format: str = option("text")  # see `format_options`
    quiet: bool = option(False, "-q", help="Show only the hosts that are not compliant.")
    verbose: int = option(0, "-v", count=True, help="Show every host and step; -vv: also what was read.")
    color: str = option(
        "auto",
        type=click.Choice(("auto", "always", "never")),
        help="Colour the output; auto: on a terminal, unless NO_COLOR is set.",
    )
    no_progress: bool = option(False, help="No progress bar.")
    forks: int = option(20, "-f", metavar="N", type=click.IntRange(1, 1000), help="Hosts at a time.")
    engine: str = option(
        "thread",
        metavar="KIND",
        help="How hosts run in parallel: thread, dask (a process for each processor), dask:tls://SCHEDULER.",
    )
    record: bool = option(
        False, help="Keep the result in the history, and show what changed since the last recorded run."
    )
    store: str = option(
        "",
        metavar="URL",
        help="Where the history is kept: a file, postgresql://…, or a reference to it: env:NAME, file:PATH.",
    )
    keep: float | None = option(
        None,
        metavar="TIME",
        type=Duration(DAY_S, 36500 * DAY_S),
        help="With --record: delete runs that are older than this, for example 400d. Without it no run is deleted.",
    )
    yes: bool = option(False, "-y", help="Do not ask. Needed without a terminal.")
    confirm_timeout: int = option(
        60,
        metavar="SECONDS",
        type=click.IntRange(5, 3600),
        help="A host that no new login has confirmed within this time reverts by itself.",
    )
    no_rehearsal: bool = option(False, help="Do not try a login through the new files before they are installed.")
    service_action: str = option(
        Action.RESTART.value,
        type=click.Choice([action.value for action in Action]),
        help="reload: SIGHUP, not before OpenSSH 8.0; none: the files only, a restart stays pending.",
    )
    canary: int = option(0, metavar="N", type=click.IntRange(0), help="Change N hosts first, in a wave of their own.")
    serial: str = option(
        "100%", metavar="SIZES", help="Change hosts in waves of these sizes: 1,10%,100%, or by label:NAME."
    )
    soak: float = option(0.0, metavar="SECONDS", type=SecondsRange(0), help="Wait and check again after each wave.")
    max_fail: str | None = option(
        None,
        metavar="N|P%",
        help="Start no more hosts when more hosts than this failed; unreachable ones count. "
        "[default: 0 with waves, no limit without]",
    )
    on_failure: str = option(
        "stop",
        type=click.Choice(("stop", "continue", "undo")),
        help="After more failures than --max-fail: start no more hosts, continue, or revert what this run changed.",
    )
    resume: str | None = option(
        None, metavar="RUN", help="Skip the hosts that an earlier, interrupted run has finished."
    )
    watch: float = option(
        0.0,
        metavar="TIME",
        type=Duration(1, DAY_S),
        help="Wait this long after the change, for example 25m, then look for sessions that the new values dropped.",
    )
    on_loss: str = option(
        "report",
        type=click.Choice(("report", "undo")),
        help="With --watch: report such a host, or revert it to the old values.",
    )

    @property
    def policy(self) -> dict[str, int | str]:
        """What replaces the policy of every host for this run, by the names of `planning.policy`."""
        values = {key: getattr(self, name) for name, key in POLICY_KEYS.items()}
        return {
            key: int(value) if isinstance(value, float) else value for key, value in values.items() if value is not None
        }


#: Option → its key in `planning.policy`.
POLICY_KEYS: Final = {
    **dict(zip(("interval", "count", "keep_alive_every", "drop_dead_after"), (*BY_VALUE, *BY_EFFECT), strict=True)),
    "strategy": "strategy",
}
POLICY: Final = tuple(POLICY_KEYS)
#: Options that choose hosts and say what they should get.
CHOOSING: Final = ("inventory", "limit", *POLICY)
LOGIN: Final = (
    *("user", "port", "private_key", "ask_pass", "become", "ask_become_pass", "jump", "host_keys", "timeout"),
)
OUTPUT: Final = ("out", "format", "quiet", "verbose", "color")
#: Of a command that connects to one host after the other.
ONE_BY_ONE: Final = ("inventory", "limit", *LOGIN, *OUTPUT)
#: Of a command that connects to many hosts at a time.
FLEET: Final = ("hosts", *ONE_BY_ONE, "no_progress", "forks", "engine")
RECORD: Final = ("record", "store", "keep")
CHANGE: Final = (
    *("yes", "confirm_timeout", "no_rehearsal", "service_action", "canary", "serial", "soak", "max_fail"),
    *("on_failure", "resume"),
)


def list_names(name: str, value_type: type = Options) -> tuple[str, ...]:
    """List the names of an option as they are typed, the one of suggested commands first."""
    names: tuple[str, ...] = value_type.__dataclass_fields__[name].metadata["names"]  # type: ignore[attr-defined]
    return names if any(one.startswith("--") for one in names) else (*names, f"--{name.replace('_', '-')}")


def _declare(value_type: type, name: str, default: Any, attributes: Mapping[str, Any]) -> Decorator:
    """Make a decorator that adds the option of one field."""
    if "nargs" in attributes:
        return click.argument(name, **attributes)
    if name == "format":
        return format_options()
    implied: dict[str, Any] = {"default": default, "show_default": bool(default)}
    if default is False:
        implied = {"is_flag": True}
    elif default == ():
        implied = {"multiple": True}
    return click.option(*list_names(name, value_type), name, **implied, **attributes)


def option_group(parameter: str, value_type: type, *names: str, **changed: Mapping[str, Any]) -> Decorator:
    """Make a decorator that adds options to a command, which gets them as one value.

    Args:
        parameter: of the command, for that value.
        names: fields of the type; without any, all.
        changed: option → its attributes on this command, if they differ.
    """
    declared = {one.name: one for one in fields(value_type) if one.name in (names or value_type.__annotations__)}

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(**params: Any) -> Any:
            return function(**{parameter: value_type(**{name: params.pop(name) for name in declared})}, **params)

        wrapped: Function = call
        for name, one in reversed(declared.items()):
            attributes = {**one.metadata["attributes"], **changed.get(name, {})}
            wrapped = _declare(value_type, name, one.default, attributes)(wrapped)
        return wrapped

    return decorate


#: Adds options of `Options`; the parameter is `options`.
shared_options = functools.partial(option_group, "options", Options)


def format_options(*formats: str) -> Decorator:
    """Make a decorator that adds --format and --json.

    Args:
        formats: the formats; empty: every kind of report.
    """
    kind = click.Choice(formats) if formats else click.STRING
    about = "Standard output as text, json, jsonl or another report." if not formats else "Standard output."
    shown = click.option(
        "--format", metavar=None if formats else "FORMAT", type=kind, default="text", show_default=True, help=about
    )
    short = click.option("--json", "format", flag_value="json", help="Short for --format json.")
    return lambda function: short(shown(function))


def refuse_typed(names: Iterable[str], other: str, *, hint: str) -> None:
    """Refuse options that were typed beside another choice; a configuration file may set them for other runs.

    Raises:
        ConfigError.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{name.replace('_', '-')} cannot be combined with {other}", hint=hint)
