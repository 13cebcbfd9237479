"""A control group for each host, so that two hosts' `ssh.service` never share one.

`systemd-nspawn --keep-unit` puts a host below the group nspawn itself is in; hosts started from one process would
share it, and a service manager would wait for its neighbour's processes to end. systemd in a host wants the hierarchy
that the machine uses: the unified one (v2), or the `systemd` one beside it (v1, hybrid).
Source: systemd, src/nspawn/nspawn-cgroup.c.
"""

import os
from pathlib import Path

CGROUPS_VARIABLE = "KEEPALIVE_LAB_CGROUPS"
_TOP = Path("/sys/fs/cgroup")
_PREFIX = "sshd-keepalive-lab-"


def is_unified() -> bool:
    """Does this machine have the single hierarchy of version 2?"""
    return (_TOP / "cgroup.controllers").exists()


def own_cgroups() -> tuple[Path, ...]:
    """Name this process's group in each hierarchy, and remove the groups of earlier processes that died."""
    hierarchies = [_TOP] if is_unified() else [_TOP / name for name in ("systemd", "unified") if (_TOP / name).exists()]
    for hierarchy in hierarchies:
        for stale in hierarchy.glob(f"{_PREFIX}*"):
            if not Path("/proc", stale.name.removeprefix(_PREFIX)).exists():
                remove_cgroups((stale,))
    return tuple(hierarchy / f"{_PREFIX}{os.getpid()}" for hierarchy in hierarchies)


def make_cgroups(name: str) -> tuple[Path, ...]:
    """Make the groups of one host; a process that is about to become nspawn writes itself into their cgroup.procs."""
    tops = filter(None, os.environ.get(CGROUPS_VARIABLE, "").split(os.pathsep))
    groups = tuple(Path(top) / name for top in tops)
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def remove_cgroups(groups: tuple[Path, ...]) -> None:
    """Remove groups and all below them; one that still holds a process stays."""
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue
