"""The options of the commands that read an inventory or connect to hosts; all of them have the same values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

import click
from click.core import ParameterSource

from sshd_keepalive.cli.duration import Duration, SecondsRange
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import BecomeMethod, HostKeyRule, Strategy
from sshd_keepalive.planning.policy import BY_EFFECT, BY_VALUE
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
    host_keys: HostKeyRule | None = None
    jump: str | None = None
    ask_pass: bool = False
    become: BecomeMethod | None = None
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
        values = {key: getattr(self, name) for name, key in POLICY_KEYS.items()}
        return {
            key: int(value) if isinstance(value, float) else value for key, value in values.items() if value is not None
        }


Function = Callable[..., Any]

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
        type=SecondsRange(1, 3600),
        default=60.0,
        show_default=True,
        help="Time limit of one login, and of one script that runs over it.",
    ),
)
#: Option → its key in `planning.policy`.
POLICY_KEYS: Final = {
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


def refuse_typed(names: Iterable[str], other: str, *, hint: str) -> None:
    """Refuse options that were typed beside another choice; a configuration file may set them for other runs.

    Raises:
        ConfigError.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{name.replace('_', '-')} cannot be combined with {other}", hint=hint)


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
#: The same, where --out also writes the plan itself.
plan_options = option_group("options", Options, *_POLICY, *_SELECTION, *_LOGIN, _PLAN_OUT, *_SHOWN, *_FLEET, *_ENGINE)
#: Of a command that connects to no host, but has a report.
output_options = option_group("options", Options, *_OUTPUT)
