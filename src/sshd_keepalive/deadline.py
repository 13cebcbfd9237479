"""Time limits: a deadline to query, a reaper that enforces it, and a stopwatch for each host.

paramiko waits without a limit in several places (`exec_command` is one), so every wait on it happens with the
reaper armed: at the deadline it runs an action, usually the shutdown of the socket, which wakes every waiter.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final


class Deadline:
    """A time on the monotonic clock. An alarm that was armed with it keeps the time of that moment."""

    __slots__ = ("at_s",)

    def __init__(self, after_s: float) -> None:
        self.at_s = time.monotonic() + after_s

    def left_s(self, at_most_s: float = float("inf")) -> float:
        """Give the seconds that are left, never negative, never more than `at_most_s`."""
        return min(at_most_s, max(0.0, self.at_s - time.monotonic()))

    def extend(self, by_s: float) -> None:
        """Move the deadline by time that does not count for the host."""
        self.at_s += by_s

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self.at_s


class Stopwatch:
    """The time that one host has used. It stops inside `waiting`."""

    __slots__ = ("_began_s", "_stopped_at_s", "_stopped_s")

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start at zero; the calling thread works on this host from now on."""
        self._began_s = time.monotonic()
        self._stopped_s = 0.0
        self._stopped_at_s: float | None = None
        _of_thread.watch = self

    @property
    def seconds_s(self) -> float:
        """How long it has run, seconds; safe in any thread."""
        stopped_at_s = self._stopped_at_s
        now_s = time.monotonic() if stopped_at_s is None else stopped_at_s
        return now_s - self._began_s - self._stopped_s

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop for the block."""
        self._stopped_at_s = began_s = time.monotonic()
        try:
            yield
        finally:
            self._stopped_s += time.monotonic() - began_s
            self._stopped_at_s = None


_of_thread = threading.local()


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Do not count the block for the host: it waits for the user or for the login throttle."""
    watch: Stopwatch | None = getattr(_of_thread, "watch", None)
    if watch is None or watch._stopped_at_s is not None:
        yield
        return
    with watch.stopped():
        yield


class Alarm:
    """One armed action; `cancel` is safe at any time and from any thread."""

    __slots__ = ("_action", "_reaper", "fired")

    def __init__(self, action: Callable[[], None], reaper: Reaper) -> None:
        self._action: Callable[[], None] | None = action
        self._reaper = reaper
        self.fired = False

    def cancel(self) -> None:
        """Drop the action and everything it refers to."""
        if self._action is not None:
            self._action = None
            self._reaper.blank()

    def fire(self) -> None:
        """Run the action unless it was cancelled; its errors are ignored."""
        action, self._action = self._action, None
        if action is None:
            return
        self.fired = True
        with contextlib.suppress(Exception):  # for example a closed socket; the reaper must continue
            action()


class Reaper:
    """One daemon thread for all deadlines of the process, started by the first one."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._n_blank = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def arm(self, deadline: Deadline, action: Callable[[], None]) -> Alarm:
        """Run `action` at the deadline in the reaper's thread; it must not block."""
        alarm = Alarm(action, self)
        with self._changed:
            heapq.heappush(self._heap, (deadline.at_s, next(self._order), alarm))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is alarm:
                self._changed.notify()
        return alarm

    def blank(self) -> None:
        """Count a cancelled alarm and drop all of them when they are more than half of the heap."""
        with self._changed:
            self._n_blank += 1
            if self._n_blank * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2]._action is not None]
                heapq.heapify(self._heap)
                self._n_blank = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = None
                if self._heap and self._heap[0][0] <= now:
                    due = heapq.heappop(self._heap)[2]
                else:
                    self._changed.wait(self._heap[0][0] - now if self._heap else None)
            if due is not None:
                due.fire()


REAPER: Final = Reaper()


class Limit:
    """A deadline with its armed action, whose clock stops while the user is asked."""

    def __init__(self, deadline: Deadline, action: Callable[[], None]) -> None:
        self._deadline = deadline
        self._action = action
        self._alarm = REAPER.arm(deadline, action)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for the block."""
        self._alarm.cancel()
        started_s = time.monotonic()
        try:
            with waiting():
                yield
        finally:
            self._deadline.extend(time.monotonic() - started_s)
            self._alarm = REAPER.arm(self._deadline, self._action)

    def cancel(self) -> None:
        """Drop the action."""
        self._alarm.cancel()
