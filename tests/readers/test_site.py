"""The documentation site in a real browser: links, search, a narrow window, the dark scheme."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from lxml import html
from playwright.sync_api import Browser, expect

from tests.support.browser import browser

pytestmark = pytest.mark.readers

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, built and served on loopback."""
    subprocess.run([sys.executable, ROOT / "tools/build-site"], check=True, capture_output=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=SITE)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


def test_every_link_and_anchor_leads_somewhere(address: str) -> None:
    pages = {path: html.parse(path) for path in SITE.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    for path, page in pages.items():
        here = urljoin(address, f"{path.parent.relative_to(SITE)}/")
        for link in page.xpath("//a/@href"):
            url, anchor = urldefrag(urljoin(here, link))
            if not url.startswith(address):
                continue
            target = SITE / unquote(url.removeprefix(address))
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path}: {link}"
            if anchor and target in pages:
                assert pages[target].xpath("//*[@id=$name]", name=unquote(anchor)), f"{path}: {link}"


def test_search_finds_the_guard(address: str, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(address)
    page.keyboard.press("/")
    expect(page.locator("input:focus")).to_have_count(1)  # what is typed before is a shortcut: n is the next page
    page.keyboard.type("confirm-timeout")
    expect(
        page.get_by_role("link", name=re.compile("Commands|locked out|guaranteed", re.IGNORECASE)).first
    ).to_be_visible()
    page.close()


@pytest.mark.parametrize("place", ["", "docs/", "docs/reference/commands/", "docs/guarantees/"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_needs_no_sideways_scroll(address: str, chromium: Browser, place: str, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    outside: list[str] = []
    page.on("request", lambda request: request.url.startswith((address, "data:")) or outside.append(request.url))
    page.goto(urljoin(address, place))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert outside == []
    context.close()
