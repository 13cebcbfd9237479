"""The bar on a terminal: how far the run is, how fast, how long it will take, and what the detail of a rollout is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

#: The rate is that of the last so many seconds: long enough not to jump, short enough to show a stall.
_RATE_OVER_S: Final = 30.0
_REDRAWN_PER_S: Final = 4.0


@contextmanager
def bar(command: str, total: int, detail: Callable[[], str], console: Console) -> Iterator[Callable[[], None]]:
    """Show it on standard error until the end of the context; yields a function to call for each finished host.

    Args:
        detail: asked at every redraw, `wave 2 of 4, 1 failed of 3 allowed`; from another thread.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Words(ProgressColumn):
        """Rate and detail."""

        def render(self, task: Task) -> Text:
            return Text(", ".join(filter(None, (rate(task.finished_speed or task.speed), detail()))))

    columns = (
        TextColumn(command),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        Words(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=_REDRAWN_PER_S,
        speed_estimate_period=_RATE_OVER_S,
        # Lines for a terminal are written above the bar; those for a file or a pipe must arrive there.
        redirect_stdout=sys.stdout.isatty(),
    ) as shown:
        task = shown.add_task("", total=total)
        yield lambda: shown.advance(task)


def rate(per_s: float | None) -> str:
    """`12 hosts/s`, `40 hosts/min`: as whole a number as the rate allows."""
    if not per_s:
        return ""
    return f"{per_s:.0f} hosts/s" if per_s >= 3 else f"{per_s * 60:.0f} hosts/min"
