"""The options that several commands share, their types, and the hosts they select."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet.report import RepeatedWords
from sshd_keepalive.history.notice import When
from sshd_keepalive.model import Action, Become, Host, Strategy
from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE, override, refuse_mixture
from sshd_keepalive.sshd_config.values import INT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values of the shared options; a command that lacks an option has its default."""

    inventory: tuple[str, ...] = ()
    limit: str | None = None
    forks: int = 1
    user: str | None = None
    port: int | None = None
    private_key: str | None = None
    host_keys: str | None = None
    jump: str | None = None
    ask_pass: bool = False
    become: str | None = None
    ask_become_pass: bool = False
    timeout: float = 60.0
    format: str = "text"
    out: tuple[str, ...] = ()
    quiet: bool = False
    verbose: int = 0
    color: str = "auto"
    no_progress: bool = True
    engine: str = "thread"
    interval: float | None = None
    count: int | None = None
    keep_alive_every: float | None = None
    drop_dead_after: float | None = None
    strategy: str | None = None

    @property
    def policy(self) -> dict[str, int | str]:
        """What replaces the policy of every host for this run, by the names of `planning.policy`."""
        values = {key: getattr(self, name) for name, key in _POLICY_KEYS.items()}
        return {
            key: int(value) if isinstance(value, float) else value for key, value in values.items() if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """The options of `apply` and `undo`."""

    yes: bool
    confirm_timeout: int
    no_rehearsal: bool
    service_action: str
    canary: int
    serial: str
    soak: float
    max_fail: str | None
    on_failure: str
    resume: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """The options for the time after a change."""

    watch: float = 0.0  # seconds
    on_loss: str = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The options of the history."""

    record: bool = False
    store: str = ""
    keep: float | None = None  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifying:
    """The options of notices."""

    notify: tuple[str, ...]
    notify_on: str


Function = Callable[..., Any]

_DAY_S: Final = 86400
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """Seconds, or a number with a unit; several parts add up."""

    name = "duration"

    def __init__(self, least_s: float, most_s: float, *, whole: bool = False) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a duration."""
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip().lower()
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is not a valid duration; write 90, 90s, 6m or 1h30m", param, ctx)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if not self._least_s <= seconds <= self._most_s:
            self.fail(f"{value} is not between {self._least_s:g} s and {self._most_s:g} s", param, ctx)
        if self._whole and seconds != int(seconds):
            self.fail(f"{value} is not a whole number of seconds", param, ctx)
        return float(seconds)


_SELECTION = (
    click.option("-i", "--inventory", metavar="SOURCE", multiple=True, help="A file, or KIND:ARGUMENT; repeatable."),
    click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts or groups: a,b  web*  !db  @FILE."),
)
_LOGIN = (
    click.option("-u", "--user", metavar="NAME", help="Log in as this account; overrides the inventory."),
    click.option("-p", "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Connect to this port."),
    click.option("--private-key", metavar="FILE", help="Log in with this key."),
    click.option("-k", "--ask-pass", is_flag=True, help="Ask once for the login password, and log in with it."),
    click.option("-b", "--become", type=click.Choice(("sudo", "doas", "none")), help="How the login becomes root."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask once for the sudo password."),
    click.option("-J", "--jump", metavar="HOPS", help="Go through user@host:port[,…]; none: directly."),
    click.option(
        "--host-keys",
        type=click.Choice(("strict", "accept-new")),
        help="strict: refuse unknown host keys; accept-new: write them to known_hosts; without it you are asked.",
    ),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(1, 3600),
        default=60.0,
        show_default=True,
        help="Time limit of one login, and of one script that runs over it.",
    ),
)
#: Option → its key in `planning.policy`.
_POLICY_KEYS: Final = {
    **dict(zip(("interval", "count", "keep_alive_every", "drop_dead_after"), (*BY_VALUE, *BY_EFFECT), strict=True)),
    "strategy": "strategy",
}
_POLICY = (
    click.option(
        "--keep-alive-every",
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="Require a keep-alive at least this often, for example 5m; the host's release decides the interval.",
    ),
    click.option(
        "--drop-dead-after",
        metavar="TIME",
        type=Duration(1, INT_MAX, whole=True),
        help="With --keep-alive-every: require that a dead session is dropped within this time, for example 20m.",
    ),
    click.option(
        "--interval", metavar="TIME", type=Duration(0, INT_MAX, whole=True), help="Require this ClientAliveInterval."
    ),
    click.option("--count", metavar="N", type=click.IntRange(0), help="Require this ClientAliveCountMax."),
    click.option(
        "--strategy",
        type=click.Choice([strategy.value for strategy in Strategy]),
        help="edit: change the line that decides; drop-in: write a file that sshd reads first, if it knows Include.",
    ),
)


def format_options(*formats: str) -> Callable[[Function], Function]:
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


_OUT = click.option("--out", metavar="KIND:FILE", multiple=True, help="Write a report to a file as well; repeatable.")
_PLAN_OUT = click.option(
    "--out",
    metavar="[KIND:]FILE",
    multiple=True,
    help="Write the plan to a file for `apply FILE`, or with a KIND a report; repeatable.",
)
_SHOWN = (
    format_options(),
    click.option("-q", "--quiet", is_flag=True, help="Show only the hosts that are not compliant."),
    click.option("-v", "--verbose", count=True, help="Show every host and step; -vv: also what was read."),
    click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        show_default=True,
        help="Colour the output; auto: on a terminal, unless NO_COLOR is set.",
    ),
)
_FLEET = (
    click.option("--no-progress", is_flag=True, help="No progress bar."),
    click.option(
        "-f",
        "--forks",
        metavar="N",
        type=click.IntRange(1, 1000),
        default=20,
        show_default=True,
        help="Hosts at a time.",
    ),
)
_ENGINE = (
    click.option(
        "--engine",
        metavar="KIND",
        default="thread",
        show_default=True,
        help="How hosts run in parallel: thread, dask (a process for each processor), dask:tls://SCHEDULER.",
    ),
)
_CHANGING = (
    click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal."),
    click.option(
        "--confirm-timeout",
        metavar="SECONDS",
        type=click.IntRange(5, 3600),
        default=60,
        show_default=True,
        help="A host that no new login has confirmed within this time reverts by itself.",
    ),
    click.option(
        "--no-rehearsal", is_flag=True, help="Do not try a login through the new files before they are installed."
    ),
    click.option(
        "--service-action",
        type=click.Choice([action.value for action in Action]),
        default=Action.RESTART.value,
        show_default=True,
        help="reload: SIGHUP, not before OpenSSH 8.0; none: the files only, a restart stays pending.",
    ),
    click.option(
        "--canary", metavar="N", type=click.IntRange(0), default=0, help="Change N hosts first, in a wave of their own."
    ),
    click.option(
        "--serial",
        metavar="SIZES",
        default="100%",
        help="Change hosts in waves of these sizes: 1,10%,100%, or by label:NAME.",
    ),
    click.option(
        "--soak", metavar="SECONDS", type=click.FloatRange(0), default=0.0, help="Wait and check again after each wave."
    ),
    click.option(
        "--max-fail",
        metavar="N|P%",
        help="Start no more hosts when more hosts than this failed; unreachable ones count. "
        "[default: 0 with waves, no limit without]",
    ),
    click.option(
        "--on-failure",
        type=click.Choice(("stop", "continue", "undo")),
        default="stop",
        show_default=True,
        help="After more failures than --max-fail: start no more hosts, continue, or revert what this run changed.",
    ),
    click.option("--resume", metavar="RUN", help="Skip the hosts that an earlier, interrupted run has finished."),
)
_WATCHING = (
    click.option(
        "--watch",
        metavar="TIME",
        type=Duration(1, _DAY_S),
        default=0.0,
        show_default=False,
        help="Wait this long after the change, for example 25m, then look for sessions that the new values dropped.",
    ),
    click.option(
        "--on-loss",
        type=click.Choice(("report", "undo")),
        default="report",
        show_default=True,
        help="With --watch: report such a host, or revert it to the old values.",
    ),
)
STORE_OPTION = click.option(
    "--store",
    metavar="URL",
    default="",
    help="Where the history is kept: a file, postgresql://…, or a reference to it: env:NAME, file:PATH.",
)
_RECORDING = (
    click.option(
        "--record",
        is_flag=True,
        help="Keep the result in the history, and show what changed since the last recorded run.",
    ),
    STORE_OPTION,
    click.option(
        "--keep",
        metavar="TIME",
        type=Duration(_DAY_S, 36500 * _DAY_S),
        help="With --record: delete runs that are older than this, for example 400d. Without it no run is deleted.",
    ),
)
_NOTIFYING = (
    click.option(
        "--notify",
        metavar="KIND:TARGET",
        multiple=True,
        help="Send a notice: apprise:env:NAME (an URL by reference) or command:PROGRAM; repeatable.",
    ),
    click.option(
        "--notify-on",
        type=click.Choice([when.value for when in When]),
        default=When.CHANGE.value,
        show_default=True,
        help="When to send a notice: a change since the last recorded run, a host that is not compliant, every run.",
    ),
)


def option_group(
    name: str, value_type: type, *options: Callable[[Function], Function]
) -> Callable[[Function], Function]:
    """Make a decorator that adds options to a command, which gets them as one value under `name`."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(**params: Any) -> Any:
            values = {field.name: params.pop(field.name) for field in fields(value_type) if field.name in params}
            return function(**{name: value_type(**values)}, **params)

        wrapped: Function = call
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


_OUTPUT = (_OUT, *_SHOWN)
#: Of a command that reads the inventory and connects to no host.
inventory_options = option_group("options", Options, *_SELECTION, format_options("text", "json", "jsonl"))
#: Of a command that connects to one host after the other.
host_options = option_group("options", Options, *_SELECTION, *_LOGIN, *_OUTPUT)
#: Of `probe`, which holds many hosts from one process.
probe_options = option_group("options", Options, *_SELECTION, *_LOGIN, *_OUTPUT, *_FLEET)
#: Of a command that connects to many hosts.
fleet_options = option_group("options", Options, *_SELECTION, *_LOGIN, *_OUTPUT, *_FLEET, *_ENGINE)
#: The same, and those that replace the policy for one run.
policy_options = option_group("options", Options, *_POLICY, *_SELECTION, *_LOGIN, *_OUTPUT, *_FLEET, *_ENGINE)
plan_options = option_group("options", Options, *_POLICY, *_SELECTION, *_LOGIN, _PLAN_OUT, *_SHOWN, *_FLEET, *_ENGINE)
#: Of a command that connects to no host, but has a report.
output_options = option_group("options", Options, *_OUTPUT)
change_options = option_group("changing", Changing, *_CHANGING)
watch_options = option_group("watching", Watching, *_WATCHING)
recording_options = option_group("recording", Recording, *_RECORDING)
notify_options = option_group("notifying", Notifying, *_NOTIFYING)


def select_hosts(options: Options, arguments: Sequence[str] = ()) -> tuple[Host, ...]:
    """Select the hosts of a command line.

    With an inventory, arguments are patterns like those of `--limit`; without one they are targets, `user@host` or an
    alias of ~/.ssh/config, reached as ssh(1) reaches them.

    Raises:
        ConfigError: the inventory, a pattern, a target or an option is wrong, or no host was named.
    """
    from sshd_keepalive import inventories
    from sshd_keepalive.hosts import jump, limit

    _refuse_contradiction(options)
    if options.inventory:
        hosts = inventories.load(options.inventory)
        for pattern in (options.limit, ",".join(arguments)):
            if pattern:
                hosts = limit.select(hosts, pattern)
    elif arguments:
        hosts = inventories.resolve_targets(arguments)
        if options.limit:
            hosts = limit.select(hosts, options.limit)
    else:
        raise ConfigError("no hosts were named", hint="give an inventory, -i hosts.yaml, or a target, user@host")
    if options.jump:
        hosts = jump.override_jump(hosts, options.jump)
    return tuple(_override_settings(host, options) for host in hosts)


def _refuse_contradiction(options: Options) -> None:
    """Refuse options that contradict each other, or a key that cannot be read."""
    if options.ask_become_pass and options.become in ("doas", "none"):
        raise ConfigError(f"--ask-become-pass is for sudo, not for --become {options.become}", hint="leave out one")
    try:
        refuse_mixture(options.policy)
    except ValueError as error:
        raise ConfigError(_spell_policy(str(error), options)) from None
    if options.private_key:
        key = Path(options.private_key).expanduser()
        is_with_agent = key.with_name(f"{key.name}.pub").is_file() and not key.exists()
        if not (is_with_agent or (os.access(key, os.R_OK) and key.is_file())):
            reason = "no permission to read it" if key.is_file() else "the file does not exist"
            raise ConfigError(f"--private-key {options.private_key}: {reason}", hint="ls -l ~/.ssh")


def _spell_policy(text: str, options: Options) -> str:
    """Name the options that were typed in place of the keys that they stand for."""
    for name, key in _POLICY_KEYS.items():
        if getattr(options, name) is not None:
            text = text.replace(key, f"--{name.replace('_', '-')}")
    return text


def _override_settings(host: Host, options: Options) -> Host:
    """Replace settings of the inventory by options."""
    if options.user:
        host = replace(host, user=options.user)
    if options.port:
        host = replace(host, port=options.port)
    if options.ask_pass:
        host = replace(host, password="prompt")  # noqa: S106 (a reference)
    if options.host_keys:
        hops = tuple(replace(hop, host_keys=options.host_keys) for hop in host.jump)
        host = replace(host, host_keys=options.host_keys, jump=hops)
    if options.become and options.become != host.become.method:
        host = replace(host, become=Become(method=options.become))
    if options.private_key:
        host = replace(host, identity_file=str(Path(options.private_key).expanduser()))
    if options.policy:
        try:
            host = replace(host, policy=override(host.policy, options.policy))
        except ConfigError as error:
            raise ConfigError(_spell_policy(str(error), options), hint=error.hint) from None
    if options.ask_become_pass:
        host = replace(host, become=Become(method=host.become.method, password="prompt"))  # noqa: S106 (a reference)
    return host


#: Options that choose hosts and say what they should get, and those that log in, as fields of `Options`.
CHOOSING: Final = ("inventory", "limit", *_POLICY_KEYS)
LOGIN: Final = (
    *("user", "port", "private_key", "ask_pass", "become", "ask_become_pass", "jump", "host_keys", "timeout"),
)
_SHORT: Final = {"inventory": "-i", "user": "-u", "port": "-p", "ask_pass": "-k", "become": "-b"} | {
    "ask_become_pass": "-K",
    "jump": "-J",
}


def repeat_words(options: Options, arguments: Sequence[str]) -> RepeatedWords:
    """Spell again what chooses hosts, their policy and the login."""
    return RepeatedWords(
        config=repeat_config(),
        inventory=tuple(_spell(options, "inventory")),
        policy=tuple(_spell(options, *_POLICY_KEYS)),
        login=tuple(_spell(options, *LOGIN)),
        hosts=(*_spell(options, "limit"), *arguments),
    )


def repeat_config() -> tuple[str, ...]:
    """Spell the option again that names the configuration file; a variable still names it for the next command."""
    root = click.get_current_context().find_root()
    is_typed = root.get_parameter_source("config") is ParameterSource.COMMANDLINE
    return ("--config", root.params["config"]) if is_typed else ()


def _spell(options: Options, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(options, name)
        if value == getattr(Options(), name):  # the default
            continue
        for one in value if isinstance(value, tuple) else (value,):
            yield _SHORT.get(name, f"--{name.replace('_', '-')}")
            if one is not True:  # a flag has no value
                yield f"{one:g}" if isinstance(one, float) else str(one)
