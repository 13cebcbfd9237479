"""The status line: how it is laid out, and that it stays below what is written."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from sshd_keepalive.cli.progress import draw_bar, show_status
from tests.support.terminal import Terminal

#: Ctrl-C after Python's last look for signals: the signal and the wait are one call, without a bytecode in between.
ASKS = """
import ctypes, operator, select, signal, sys
from functools import partial
from sshd_keepalive.cli.prompts import PROMPTS
interrupt, wait = partial(ctypes.CDLL(None)["raise"], signal.SIGINT), select.select
select.select = lambda *streams: [*map(operator.call, (interrupt, partial(wait, *streams)))][1]
try:
    getattr(PROMPTS, sys.argv[1])("question")
except KeyboardInterrupt:
    raise SystemExit(130)
"""


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_on_a_narrow_terminal_the_bar_gives_way_and_the_words_stay(columns: int) -> None:
    line = draw_bar("check", 0.5, "37/50", columns)
    assert len(line) <= columns
    assert line.endswith("37/50")
    assert ("[" in line) is (columns >= 40)


def test_a_bar_is_as_full_as_the_work_is_done() -> None:
    assert "#" not in draw_bar("check", 0.0, "0/2", 80)
    assert "." not in draw_bar("check", 1.0, "2/2", 80)


def test_output_is_above_the_line_and_the_end_erases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "80")
    drawn = threading.Event()

    def render(columns: int) -> str:
        drawn.set()
        return f"working {columns}"

    with show_status(render, every_s=0.01):
        assert drawn.wait(10)
        sys.stderr.write("a warning\n")
        drawn.clear()
        assert drawn.wait(10)
        sys.stderr.write("password: ")
        n_asked = len(shown.getvalue())
        assert not threading.Event().wait(0.1)
        assert len(shown.getvalue()) == n_asked, "nothing is drawn over a question"
    assert sys.stderr is shown
    text = shown.getvalue()
    assert "\rworking 79\x1b[K\r\x1b[Ka warning\n\rworking 79\x1b[K" in text
    assert text.endswith("\r\x1b[Kpassword: ")


@pytest.mark.parametrize("question", ["confirm", "ask_secret"])
def test_ctrl_c_ends_a_question_at_whatever_moment_it_comes(question: str) -> None:
    with Terminal(program=(sys.executable, "-c", ASKS, question)) as terminal:
        terminal.wait_for("question")
        assert terminal.end() == 130


@pytest.mark.parametrize(
    ("typed", "expected"), [("y", True), ("YES", True), ("n", False), ("", False), ("maybe", None)]
)
def test_what_counts_as_yes(typed: str, expected: bool | None) -> None:
    asks = "from sshd_keepalive.cli.prompts import PROMPTS; raise SystemExit(PROMPTS.confirm('go?'))"
    with Terminal(program=(sys.executable, "-c", asks)) as terminal:
        terminal.wait_for("go? [y/N]: ")
        terminal.answer(typed)
        if expected is None:
            terminal.wait_for("type y or n\n")
            terminal.answer("y")
        assert bool(terminal.end()) is (expected is not False)
