"""The wait for many silent sessions on a terminal: how long it lasts, how many live, how many are lost."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sshd_keepalive.cli.options import Options
from sshd_keepalive.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Task

_REDRAWN_PER_S: Final = 2.0  # more is felt by nobody and costs CPU for minutes


class Countdown:
    """Counts what the silences tell; any thread may call it. Time is monotonic: a clock that jumps changes nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_s: float | None = None
        self._until_s = 0.0
        self.n_quiet = self.n_alive = self.n_lost = 0

    def quiet(self, until_s: float) -> None:
        """One host is silent until then."""
        with self._lock:
            self._began_s = self._began_s if self._began_s is not None else time.monotonic()
            self._until_s = max(self._until_s, until_s)
            self.n_quiet += 1

    def over(self, *, alive: bool) -> None:
        """Its silence is over."""
        with self._lock:
            self.n_quiet -= 1
            self.n_alive += alive
            self.n_lost += not alive

    @property
    def left_s(self) -> float:
        """Until the last silence that has begun is over."""
        return max(0.0, self._until_s - time.monotonic())

    @property
    def share(self) -> float:
        """How much of the wait is over, 0 to 1."""
        if self._began_s is None or self._until_s <= self._began_s:
            return 0.0
        return min(1.0, (time.monotonic() - self._began_s) / (self._until_s - self._began_s))

    def __str__(self) -> str:
        if self._began_s is None:
            return "logging in"
        left_s = int(self.left_s + 0.999)
        lost = f", {self.n_lost} lost" if self.n_lost else ""
        return f"{left_s // 60}:{left_s % 60:02d} left, {self.n_quiet} quiet, {self.n_alive} alive{lost}"


class WatchedOutput(Output):
    """Output whose progress bar is a countdown, shown for a single host as well: the wait is long."""

    def __init__(self, options: Options, command: str, board: Countdown) -> None:
        super().__init__(options, command)
        self._board = board

    @contextmanager
    def progress(self, total: int, detail: Callable[[], str] = str) -> Iterator[Any]:
        """The countdown on a terminal, nothing otherwise."""
        if self.options.no_progress or self.options.quiet or not sys.stderr.isatty():
            yield lambda: None
            return
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.table import Column
        from rich.text import Text

        board = self._board

        class Words(ProgressColumn):
            def render(self, task: Task) -> Text:
                del task
                return Text(str(board))

        class Bar(BarColumn):
            def render(self, task: Task) -> Any:
                task.completed = board.share
                return super().render(task)

        # On a narrow terminal the bar gives way, not the words.
        columns = (TextColumn(self.command), Bar(bar_width=None), Words(table_column=Column(no_wrap=True)))
        with Progress(
            *columns,
            console=self.console(),
            transient=True,
            refresh_per_second=_REDRAWN_PER_S,
            redirect_stdout=sys.stdout.isatty(),
        ) as bar:
            bar.add_task("", total=1.0)
            yield lambda: None
