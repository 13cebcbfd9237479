"""The HTML report in a real browser, as somebody uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from sshd_keepalive import registry
from sshd_keepalive.config import benchmarks
from sshd_keepalive.model import Failure, Finding, Host, HostReport, PastRun, Place, Run, Scope, State, Step, Subject
from tests.support.browser import browser
from tests.support.fleets import NOW, a_fleet

pytestmark = pytest.mark.readers

FLEET = replace(a_fleet(240, command="plan"), benchmarks=benchmarks.choose(["cis-debian-12", "stig-rhel-9", "dev-sec"]))


class Opened:
    """Opens the page of a run, and remembers what the console said and what was asked of the network."""

    def __init__(self, chromium: Browser, folder: Path) -> None:
        self._chromium = chromium
        self._file = folder / "report.html"
        self.said: list[str] = []
        self.contexts: list[BrowserContext] = []

    def __call__(self, run: Run = FLEET, *, width: int = 1280, scheme: str = "light", script: bool = True) -> Page:
        self._file.write_text(registry.load("reports", "html").render(run), encoding="utf-8")
        url = self._file.as_uri()
        size = {"width": width, "height": 900}
        context = self._chromium.new_context(viewport=size, color_scheme=scheme, java_script_enabled=script)
        self.contexts.append(context)
        context.add_init_script("window.hits = []; window.hit = () => { hits.push(document.currentScript); }")
        page = context.new_page()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: None if request.url == url else self.said.append(request.url))
        page.goto(url)
        return page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(chromium, tmp_path)
    yield opened
    for context in opened.contexts:
        context.close()
    assert opened.said == []


def names(page: Page) -> list[str]:
    return page.locator("#table tbody th button").all_inner_texts()


# ------------------------------------------------------------------------------------------------ to find


def test_the_worst_host_comes_first(opened: Opened) -> None:
    page = opened()
    assert page.locator("#table tbody .word").first.inner_text() == "unreachable"
    expect(page.get_by_role("status")).to_have_text("240 hosts")
    assert len(names(page)) == 100


def test_what_is_wrong_is_reported_once_for_hosts_that_are_alike(opened: Opened) -> None:
    page = opened()
    wrong = page.locator(".alike")
    first = wrong.locator("div").first
    expect(first).to_contain_text("unreachable 9 hosts: db-0002, edge-0055")
    expect(first).to_contain_text("These are the lines of db-0002")
    expect(wrong).to_contain_text(
        "ClientAliveInterval 120, wanted 300  /etc/ssh/sshd_config.d/50-cloudimg-settings.conf:1"
    )
    assert wrong.get_by_text("waived").count() == 0
    fine = replace(FLEET, hosts=tuple(r for r in FLEET.hosts if r.state is State.OK and not r.changes))
    assert opened(fine).locator(".alike").count() == 0


def test_search_takes_every_word_of_a_name_an_address_or_a_file(opened: Opened) -> None:
    page = opened()
    search = page.get_by_label("Search")
    search.fill("ETL-0000")
    assert names(page) == ["etl-0000"]
    expect(page.get_by_role("status")).to_have_text("1 of 240 hosts")
    search.fill("10.0.8.7")
    assert names(page) == ["etl-0008"]
    search.fill("prod 50-cloudimg")
    found = names(page)
    assert found
    assert all("/etc/ssh/sshd_config.d/" in row for row in page.locator("#table tbody .why").all_inner_texts())
    search.fill("no such thing")
    assert names(page) == []
    expect(page.get_by_role("status")).to_have_text("0 of 240 hosts")
    page.get_by_role("button", name="Show all hosts").click()
    expect(page.get_by_role("status")).to_have_text("240 hosts")
    assert search.input_value() == ""


def test_state_group_and_change_narrow_each_other(opened: Opened) -> None:
    page = opened()
    page.get_by_role("checkbox", name="ok ").uncheck()
    wrong = sum(report.state is not State.OK for report in FLEET.hosts)
    expect(page.get_by_role("status")).to_have_text(f"{wrong} of 240 hosts")
    page.get_by_role("button", name="web", exact=True).click()
    web = [r for r in FLEET.hosts if r.state is not State.OK and "web" in r.host.groups]
    assert sorted(names(page)) == sorted(report.host.name for report in web)
    assert page.evaluate("document.activeElement.id") == "hosts"
    page.get_by_role("checkbox", name="only changed").check()
    assert sorted(names(page)) == sorted(report.host.name for report in web if report.changes)


def test_sorting_by_a_head_turns_round_at_the_second_click(opened: Opened) -> None:
    page = opened()
    head = page.get_by_role("columnheader", name="Host")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[:2] == ["bastion-0004", "bastion-0012"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[:2] == ["web-0233", "web-0225"]
    page.get_by_role("columnheader", name="Changes").get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert page.locator("#table tbody tr").first.locator("td").last.inner_text() == "2"
    page.get_by_role("columnheader", name="Interval").get_by_role("button").click()
    assert page.locator("#table tbody tr").first.locator("td").nth(2).inner_text() == "300"


def test_pages_turn_and_paper_has_them_all(opened: Opened) -> None:
    page = opened()
    seen = names(page)
    assert page.get_by_role("button", name="Previous").is_disabled()
    while page.get_by_role("button", name="Next").is_enabled():
        page.get_by_role("button", name="Next").click()
        seen += names(page)
    assert len(seen) == len(set(seen)) == 240
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(names(page)) == 240
    page.emulate_media(media="print")
    assert not page.get_by_role("search").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(names(page)) == 40


# ------------------------------------------------------------------------------------------------ to open


def test_a_host_opens_by_keyboard_and_shows_line_diff_change_and_benchmarks(opened: Opened) -> None:
    page = opened()
    page.get_by_label("Search").fill("etl-0000")
    button = page.get_by_role("button", name="etl-0000")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    detail = page.locator("#table .detail")
    expect(detail.get_by_role("row", name="ClientAliveInterval")).to_contain_text("/etc/ssh/sshd_config:90")
    expect(detail.locator("pre .gone")).to_have_text("-ClientAliveInterval 0")
    expect(detail.locator("pre .added")).to_have_text("+ClientAliveInterval 300")
    expect(detail).to_contain_text("went from 300 to 0")
    expect(detail).to_contain_text("stig-rhel-9 drift")
    page.keyboard.press("Space")
    assert button.get_attribute("aria-expanded") == "false"
    assert detail.count() == 0


def test_an_open_host_stays_open_while_the_table_is_filtered_and_sorted(opened: Opened) -> None:
    page = opened()
    page.get_by_label("Search").fill("etl")
    page.get_by_role("button", name="etl-0000").click()
    page.get_by_role("columnheader", name="Host").get_by_role("button").click()
    row = page.get_by_role("button", name="etl-0000").locator("xpath=ancestor::tr/following-sibling::tr[1]")
    assert row.get_attribute("class") == "detail"


# ------------------------------------------------------------------------------------------------ hostile


EVIL = (
    "<img src=x onerror=hit()>",
    "</script><script>hit()</script>",
    '"><svg onload=hit()>',
    "'onmouseover='hit()",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>",
    "javascript:hit()",
    "]]>\u2028\u202e\x1b[31m\udcff",
)


def evil_host(text: str) -> HostReport:
    place = Place(path=text, line=1)
    found = Finding(
        setting=Subject.SESSION,
        scope=Scope(text=text),
        wanted=text,
        value=text,
        state=State.DRIFT,
        place=place,
        hides=(place,),
        reason=text,
    )
    return HostReport(
        host=Host(name=text, address=text, groups=(text, "group " + text)),
        state=State.DRIFT,
        findings=(found,),
        diff=f"+{text}\n",
        value_diff=f"-{text}\n",
        steps=(Step(name=text, ok=False, detail=text),),
        facts=((text, text),),
        notes=(text,),
        changes=(text,),
        failure=Failure(kind=text, message=text, hint=text),
    )


def test_no_text_of_a_host_runs(opened: Opened) -> None:
    past = tuple(PastRun(id=text, command=text, started_at=NOW, counts={"ok": 1, "drift": 1}) for text in EVIL)
    hosts = tuple(evil_host(text) for text in EVIL)
    run = Run(id=EVIL[0], command=EVIL[1], started_at=NOW, ended_at=NOW, exit_code=1, hosts=hosts, past=past)
    page = opened(run)
    for button in page.locator("#table [aria-expanded]").all():
        button.click()
        button.hover()
    assert page.locator(".detail").count() == len(EVIL)
    assert page.evaluate("window.hits.length") == 0
    assert page.locator("img, .detail script, .detail svg, table script").count() == 0
    shown = names(page)
    assert set(EVIL[:-1]) <= set(shown)
    assert "]]> \\u202e\\x1b[31m\\xff" in shown
    page.locator("#group").select_option(EVIL[0])
    assert names(page) == [EVIL[0]]


def test_the_policy_of_the_page_forbids_every_other_script(opened: Opened) -> None:
    page = opened()
    page.evaluate(
        """() => {
            window.violations = [];
            document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            document.body.setAttribute("onclick", "window.ran = true");
            document.body.click();
            document.body.setAttribute("style", "color: red");
        }"""
    )
    page.wait_for_function("violations.length >= 3")
    assert page.evaluate("window.ran") is None
    assert set(page.evaluate("violations")) == {"script-src-elem", "script-src-attr", "style-src-attr"}
    assert len(opened.said) == 3
    opened.said.clear()


# ---------------------------------------------------------------------------------------------- everybody


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(opened: Opened, scheme: str, width: int) -> None:
    page = opened(width=width, scheme=scheme)
    page.locator("#table [aria-expanded]").first.click()
    page.get_by_role("button", name="etl-0000").click()
    page.locator("details summary").click()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("run", [FLEET, replace(FLEET, hosts=(), past=())], ids=["fleet", "none"])
def test_a_narrow_screen_scrolls_in_one_direction_only(opened: Opened, run: Run) -> None:
    page = opened(run, width=400)
    for button in page.locator("#table [aria-expanded]").all()[:20]:
        button.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_the_chart_says_in_words_what_it_shows(opened: Opened) -> None:
    page = opened()
    chart = page.get_by_role("img", name="Share of hosts compliant from 2026-01-01 to 2026-01-31")
    expect(chart).to_be_visible()
    page.locator("details summary").click()
    assert page.locator(".numbers tbody tr").count() == len(FLEET.past) + 1
    first = opened(replace(FLEET, past=()))
    expect(first.get_by_text("No earlier run is recorded")).to_be_visible()


def test_without_a_script_the_whole_table_is_there(opened: Opened) -> None:
    page = opened(script=False)
    assert page.locator("#table tbody tr").count() == 240
    assert not page.get_by_role("search").is_visible()
