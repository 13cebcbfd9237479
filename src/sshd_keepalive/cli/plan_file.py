"""A plan on disk: `plan --out FILE` writes it, and `apply FILE` does that and nothing else.

The file holds no secret, but lines of sshd_config, which not every account may read: its mode is 0600. A host is
recognised by its address, its file and its policy; its content by a fingerprint of the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from sshd_keepalive import files, serialization
from sshd_keepalive.cli.options import CHOOSING, LOGIN, Options
from sshd_keepalive.cli.records import make_absolute
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host, HostReport, Policy, Run, State
from sshd_keepalive.quoting import quote

_MARK: Final = '{"sshd_keepalive_plan":'
_VERSION: Final = 1
_KEPT: Final = ("hosts", *CHOOSING, *LOGIN)  # of the options
_RECOGNISED: Final = ("address", "port", "sshd_config", "policy")  # of the host, beside its name
_PLANNED: Final = ("fingerprint", "diff", "value_diff", "restarts")  # of its report
#: A word of the command line that is a file and not a host: @FILE, !PATTERN, &PATTERN and ~REGEX choose hosts.
_MEANS_FILE: Final = re.compile(r"^~?/|^[^@!&~].*(/|\.json$|\.plan$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHost:
    """The change of one host. No field has a default: a damaged file is refused before a host is contacted."""

    name: str
    address: str
    port: int
    sshd_config: str
    policy: Policy
    fingerprint: str  # see planning.plan.compute_plan_fingerprint
    diff: str
    value_diff: str
    restarts: bool

    def find_changes(self, host: Host | None) -> str:
        """Name what the inventory says otherwise now; empty: nothing that matters."""
        if host is None:
            return "is no longer among the hosts of the inventory"
        changed = [name for name in _RECOGNISED if getattr(host, name) != getattr(self, name)]
        return f"has another {', '.join(changed)} than when the plan was made" if changed else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan for many hosts. Hosts with nothing to do, and those that could not be planned, are not in it."""

    sshd_keepalive_plan: int  # version of this format
    run_id: str
    made_at: datetime
    options: Options  # what chose the hosts, what they should get, and how to log in
    hosts: tuple[PlannedHost, ...]

    def select(self, hosts: Iterable[Host]) -> tuple[Host, ...]:
        """Give the planned hosts among those of the inventory.

        Raises:
            ConfigError: the inventory or the policy says something else than when the plan was made.
        """
        by_name = {host.name: host for host in hosts}
        changes = [(planned.name, planned.find_changes(by_name.get(planned.name))) for planned in self.hosts]
        if mistakes := [f"{name} {change}" for name, change in changes if change]:
            raise ConfigError("\n".join(mistakes), hint="make the plan again")
        return tuple(by_name[planned.name] for planned in self.hosts)

    def to_reports(self, hosts: Iterable[Host]) -> tuple[HostReport, ...]:
        """Give what `plan` reported of these hosts."""
        changes = {one.name: {name: getattr(one, name) for name in _PLANNED} for one in self.hosts}
        return tuple(HostReport(host=host, state=State.DRIFT, **changes[host.name]) for host in hosts)

    def override(self, options: Options) -> Options:
        """Give the options of `apply` with those of the plan. A login may be given again."""
        logins = {name for name in LOGIN if getattr(options, name) != getattr(Options(), name)}
        return replace(options, **{name: getattr(self.options, name) for name in {*_KEPT} - logins})


def make_plan(run: Run, options: Options) -> PlanFile:
    """Make the content of the file from a run of `plan`."""
    saved = {name: getattr(options, name) for name in _KEPT if not name.startswith("ask_")}
    saved["inventory"] = tuple(map(make_absolute, options.inventory))
    if options.private_key:
        saved["private_key"] = str(Path(options.private_key).expanduser().absolute())
    return PlanFile(
        sshd_keepalive_plan=_VERSION,
        run_id=run.id,
        made_at=run.started_at,
        options=Options(**saved),
        hosts=tuple(
            PlannedHost(
                name=report.host.name,
                **{name: getattr(report.host, name) for name in _RECOGNISED},
                **{name: getattr(report, name) for name in _PLANNED},
            )
            for report in run.hosts
            if report.diff or report.restarts
        ),
    )


def find_plan(words: tuple[str, ...]) -> Path | None:
    """Find the plan that the words of a command line name: a single file that begins as one.

    Raises:
        ConfigError: a word can only be meant as a file, and is not a plan, or is not alone.
    """
    if len(words) == 1 and _is_plan(path := Path(words[0]).expanduser()):
        return path
    for word in words:
        if _MEANS_FILE.search(word):
            path = Path(word).expanduser()
            if not path.exists():
                hint = f"write it first: sshd-keepalive plan -i hosts.yaml --out {quote(word)}"
                raise ConfigError(f"plan {word}: the file does not exist", hint=hint)
            if not _is_plan(path):  # do not suggest to write over it
                hint = "write one: sshd-keepalive plan -i hosts.yaml --out change.plan"
                raise ConfigError(f"plan {word}: this file is not a plan", hint=hint)
            raise ConfigError(f"plan {word}: the plan names the hosts: leave out the others")
    return None


def _is_plan(path: Path) -> bool:
    """Whether a file begins as a plan."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MARK)).decode("ascii", "replace") == _MARK


def read_plan(path: Path) -> PlanFile:
    """Read a plan.

    Raises:
        ConfigError: another account may have written it, or it is damaged or of another release's format.
    """
    if stranger := files.find_stranger(path):
        raise ConfigError(
            f"plan {path} is not carried out: {stranger}", hint=f"read the plan, then: chmod go-w {quote(str(path))}"
        )
    try:
        plan = serialization.read(path.read_text(encoding="ascii"), PlanFile)
    except (OSError, ValueError) as error:
        raise ConfigError(f"plan {path} cannot be read: {error}", hint="make the plan again") from None
    if plan.sshd_keepalive_plan != _VERSION:
        raise ConfigError(f"plan {path} was written by another release of this program", hint="make the plan again")
    return plan
