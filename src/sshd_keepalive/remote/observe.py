"""Observe a host over an open login: one round trip, and another one for each level of missed Includes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from sshd_keepalive import registry, services
from sshd_keepalive.deadline import Deadline
from sshd_keepalive.errors import HostError, MomentaryError
from sshd_keepalive.model import FailureKind, ServiceChoice, Snapshot
from sshd_keepalive.planning import judge
from sshd_keepalive.scripts import guard, survey
from sshd_keepalive.scripts.records import read_output
from sshd_keepalive.scripts.survey import Condition
from sshd_keepalive.ssh.shell import Shell
from sshd_keepalive.sshd_config.reading import Reading, read
from sshd_keepalive.sshd_config.tree import find_missing_globs

_ATTEMPTS = 5  # one; three more for Includes within Includes that only our own reading finds; one for a doubt
_PAUSE_S = 0.5  # before a doubtful observation is repeated: a restart of sshd is mostly over then


def observe(
    shell: Shell,
    now: datetime,
    *,
    timeout_s: float,
    again: bool = False,
    expected: Reading | None = None,
    confirms: Condition | None = None,
) -> Reading:
    """Observe the host; write nothing there, unless `confirms` lets the guard confirm.

    While the host is observed, a file may be written or sshd restarted: some of the output is then older than the rest.
    An observation that contradicts itself, or that `sshd -T` reads differently, is repeated once.

    Args:
        again, confirms: see `scripts.survey.build_script`.
        expected: see `sshd_config.reading.read`.
    Raises:
        HostError: kinds observe, banner, and those of `Shell.run`.
    """
    if "OpenSSH" not in shell.server_version:
        raise HostError(
            f"the server is {shell.server_version!r}, not OpenSSH",
            kind=FailureKind.BANNER,
            cause="not-openssh",
            hint="this program supports OpenSSH only; leave the host out: -l '!HOST'",
        )
    extra: tuple[str, ...] = ()
    deadline = Deadline(timeout_s)
    doubted = False
    for n_left in reversed(range(_ATTEMPTS)):
        try:
            snapshot = _look(shell, now, extra, deadline.left_s(), again=again, confirms=confirms)
            reading = read(snapshot, expected)
            missing = find_missing_globs(reading.tree)
            if missing:
                extra = (*extra, *missing)
                continue
            if doubted or not n_left or judge.find_contradiction(reading) is None:
                return reading
        except MomentaryError:
            if doubted or not n_left:
                raise
        doubted = True
        time.sleep(min(_PAUSE_S, deadline.left_s() / 2))
    raise HostError(
        f"cannot read all files: Include {missing[0]} is nested too deeply",
        kind=FailureKind.OBSERVE,
        cause="include",
        hint="copy the host's /etc/ssh, run sshd-keepalive why --file COPY, and report the output",
    )


def _look(
    shell: Shell, now: datetime, extra: tuple[str, ...], timeout_s: float, *, again: bool, confirms: Condition | None
) -> Snapshot:
    host = shell.host
    users = tuple(dict.fromkeys(("root", host.user or "root")))
    script = survey.build_script(
        host,
        build_functions(host.service),
        users=users,
        extra=extra,
        banner=shell.server_version,
        again=again,
        confirms=confirms,
    )
    completed = shell.run(script, timeout_s=timeout_s)
    snapshot = survey.parse(read_output(completed), host, now, banner=shell.server_version)
    if snapshot.manager and snapshot.manager not in _list_managers(host.service):
        raise HostError(
            f"the host reported the service manager {snapshot.manager!r}, which this program did not ask for",
            kind=FailureKind.OBSERVE,
            cause="output-cut",
            hint="name one in the inventory, service: {manager: …}",
        )
    return replace(snapshot, facts=(*snapshot.facts, ("login", shell.login_method)))


@lru_cache(maxsize=256)
def build_functions(service: ServiceChoice) -> str:
    """Build the service managers' shell functions for one choice of the inventory."""
    return services.build_functions(
        {name: registry.load("services", name) for name in _list_managers(service)}, service
    )


def _list_managers(service: ServiceChoice) -> tuple[str, ...]:
    """List the managers to detect: the built-in ones, or the one that the inventory names."""
    return (service.manager,) if service.manager else tuple(registry.list_built_in("services"))


@lru_cache(maxsize=256)
def build_guard_functions(manager: str, name: str, directory: str, after_s: int) -> str:
    """Build the functions with which a guard outlives its login; without the manager of the machine, those of all.

    Args:
        manager: what restarts sshd; empty where none was found.
    """
    is_one = bool(manager) and services.is_init(registry.load("services", manager))
    names = (manager,) if is_one else registry.list_built_in("services")
    managers = {key: registry.load("services", key) for key in names}
    expire, boot = guard.build_timed_command(directory, "expire"), guard.build_timed_command(directory, "boot")
    return services.build_guard_functions(managers, name, expire, boot, after_s)


def find_service(snapshot: Snapshot) -> ServiceChoice:
    """Give the host's service, with the detected manager and unit."""
    return replace(snapshot.host.service, manager=snapshot.manager or None, unit=snapshot.unit or None)
