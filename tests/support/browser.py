"""Debian's chromium, driven by Playwright: nothing is downloaded, and it never speaks to the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

expect.set_options(timeout=60_000)  # milliseconds; Playwright's 5 s are few on a busy machine


@contextmanager
def browser() -> Iterator[Browser]:
    """One chromium, without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        try:
            yield chromium
        finally:
            chromium.close()
