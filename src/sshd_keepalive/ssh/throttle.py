"""Limit the logins in progress: a few at first, more after each success, fewer after each ban.

Three things count logins in progress: sshd itself (MaxStartups 10:30:100 turns some away from the eleventh on,
sshd_config(5)), sshd again by source (PerSourceMaxStartups), where a jump host is one source for all hosts behind it,
and firewalls that take many new connections for an attack. So there is a limit for each server, for each jump host,
and one for each network that grows with every successful login.
"""

from __future__ import annotations

import ipaddress
import math
import random
import threading
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Final

from sshd_keepalive.deadline import waiting
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind, Host
from sshd_keepalive.ssh.errors import LoginCause

#: Half of MaxStartups' ten: sshd notices a little later than we do that a login is over, and others log in as well.
SERVER_MAX: Final = 5
JUMP_MAX: Final = 8  # behind one jump host; most of them go to different servers
START: Final = 8  # logins in progress in one network before the first has succeeded
#: Before each further try of a connection that sshd turned away: between so many seconds. Only connections are tried
#: again, never a login.
WAITS_S: Final = ((1.0, 3.0), (4.0, 12.0))
#: Before the one further try of a connection that may have met a bar: PerSourcePenalties last 15 s at least.
SLOW_S: Final = (20.0, 40.0)


class LoginThrottle:
    """How many logins may be in progress. Thread-safe."""

    def __init__(self, limit: int, ceiling: float = math.inf) -> None:
        self.limit = float(limit)
        self.n_users = 0  # logins in progress or waiting; counted by `_pass`
        self._ceiling = ceiling
        self._n = 0
        self._changed = threading.Condition()

    @property
    def is_as_new(self) -> bool:
        """Whether it has nothing to remember."""
        return self.limit == self._ceiling

    @contextmanager
    def step(self) -> Iterator[None]:
        """Wait until a login may begin; how the block ends decides the next limit."""
        with self._changed:
            while self._n >= int(self.limit):
                with waiting():
                    self._changed.wait()
            self._n += 1
        limit = self.limit
        try:
            yield
            limit = self.limit + 1
        except HostError as error:
            # A host that is merely down limits nothing.
            limit = self.limit / 2 if error.kind is FailureKind.BANNED else self.limit + 1
            raise
        finally:
            with self._changed:
                self._n -= 1
                self.limit = max(1.0, min(self._ceiling, limit))
                self._changed.notify_all()


@contextmanager
def throttle(host: Host) -> Iterator[None]:
    """Enter when a login to this host may begin; leave when it has succeeded or failed."""
    with ExitStack() as steps:
        for key, limit, ceiling in _list_limits(host):
            steps.enter_context(_pass(key, limit, ceiling))
        yield


def choose_wait_s(error: HostError, n_tries: int) -> float | None:
    """Choose how long to wait before a connection is tried again; None: it is not tried again.

    Args:
        n_tries: how often it was tried so far.
    """
    if error.cause == LoginCause.LOST_IN_QUESTION and n_tries == 1:  # its key is on file now
        return 0.0
    if error.cause == LoginCause.TURNED_AWAY and n_tries == 1:
        return random.uniform(*SLOW_S)  # noqa: S311
    if error.cause != LoginCause.BUSY or n_tries > len(WAITS_S):
        return None
    return random.uniform(*WAITS_S[n_tries - 1])  # noqa: S311 (so that those turned away do not come back together)


def _list_limits(host: Host) -> tuple[tuple[Hashable, int, float], ...]:
    """List the limits of a login: key, first limit, ceiling. All logins pass them in the same order."""
    if host.jump:
        return ((("jump", *((hop.address, hop.port) for hop in host.jump)), JUMP_MAX, JUMP_MAX),)
    network = ("network", find_network(host.address))
    return (network, START, math.inf), (("server", host.address, host.port), SERVER_MAX, SERVER_MAX)


@lru_cache(maxsize=4096)
def find_network(address: str) -> str:
    """Find the network of an address: /24, /48; of a name its domain."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.partition(".")[2].lower() or address.lower()
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


@contextmanager
def _pass(key: Hashable, limit: int, ceiling: float) -> Iterator[None]:
    with _lock:
        throttle = _throttles.setdefault(key, LoginThrottle(limit, ceiling))
        throttle.n_users += 1
    try:
        with throttle.step():
            yield
    finally:
        with _lock:
            throttle.n_users -= 1
            if throttle.n_users == 0 and throttle.is_as_new:  # most servers are met once
                del _throttles[key]


_throttles: dict[Hashable, LoginThrottle] = {}
_lock = threading.Lock()
