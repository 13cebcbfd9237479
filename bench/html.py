"""What the HTML report of a fleet costs: to render, to keep, to open, to filter. Writes bench/html.md.

Run it alone: `python -m bench.html`. The browser is Debian's chromium, without a window.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser

from sshd_keepalive.config import benchmarks
from sshd_keepalive.reports import html
from tests.support.browser import browser
from tests.support.fleets import a_fleet

from .measure import describe_setup, write_page

SIZES = (400, 5_000)
ROUNDS = 5
HELD = benchmarks.choose(["cis", "stig", "hss"])
#: What is typed: nothing that matches, few, many, and everything again.
WORDS = ("no such host", "etl-00", "web", "50-cloudimg", "")
_TIMED = """async (words) => {
    const field = document.getElementById("search");
    const took = [];
    for (const word of words) {
        field.value = word;
        const begin = performance.now();
        field.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.getBoundingClientRect();  // the layout is part of the answer
        took.push(performance.now() - begin);
        await new Promise(requestAnimationFrame);
    }
    return took;
}"""
_LOADED = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def measure(chromium: Browser, n_hosts: int, folder: Path) -> tuple[str, ...]:
    """One row of the table; the worst of all rounds, since a promise is about the worst."""
    run = replace(a_fleet(n_hosts, n_past=365, command="plan"), benchmarks=HELD)
    render_s = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        text = html.render(run)
        render_s.append(time.perf_counter() - begin)
    file = folder / f"{n_hosts}.html"
    file.write_text(text, encoding="utf-8")
    page = chromium.new_page()
    page.goto(file.as_uri())
    opened_ms = float(page.evaluate(_LOADED))
    filter_ms = [took for _ in range(ROUNDS) for took in page.evaluate(_TIMED, list(WORDS))]
    page.close()
    return (
        f"{n_hosts:,}",
        f"{max(render_s):.2f} s",
        f"{file.stat().st_size / 1e6:.2f} MB",
        f"{opened_ms:.0f} ms",
        f"{max(filter_ms):.0f} ms",
        f"{statistics.median(filter_ms):.1f} ms",
    )


def main() -> None:
    """Measure every size and write the page."""
    load = os.getloadavg()[0]
    head = ("hosts", "rendered in", "size", "opened in", "filter, slowest", "filter, median")
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        rows = [measure(chromium, n_hosts, Path(folder)) for n_hosts in SIZES]
        version = chromium.version
    lines = [
        "# The HTML report",
        "",
        describe_setup("html", f"Chromium {version}", load=load)
        + f"A plan with a year of recorded runs and {len(HELD)} benchmarks, the slowest of {ROUNDS} rounds.",
        "Promised for 5,000 hosts: rendered in less than 3 s, less than 6 MB, a filter answers in less than 100 ms.",
        "",
        f"| {' | '.join(head)} |",
        f"| {' | '.join(['---:'] * len(head))} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    write_page(Path(__file__).with_name("html.md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
