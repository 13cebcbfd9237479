"""What the HTML report says, without a browser: the rest is in tests/readers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from lxml import html as reader

from sshd_keepalive import __version__
from sshd_keepalive.model import Run, State
from sshd_keepalive.reports import html
from tests.contract.test_reports import FULL, a_run
from tests.support.fleets import a_fleet

FLEET = a_fleet(60)


def parsed(run: Run) -> reader.HtmlElement:
    return reader.fromstring(html.render(run))


def test_the_policy_names_exactly_the_style_and_the_script_that_are_there() -> None:
    page = parsed(FLEET)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for rule, path in (("style-src", "//style"), ("script-src", "//script[not(@type)]")):
        (element,) = page.xpath(path)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not page.xpath("//*[@style] | //*[starts-with(name(@*), 'on')]")


def test_nothing_is_named_that_a_browser_would_load() -> None:
    page = parsed(FLEET)
    assert page.xpath("//link | //img | //iframe | //object | //@src | //*[name() != 'a']/@href") == []
    assert set(page.xpath("//a/@href")) == {"#hosts"}


def test_waived_and_unknown_hosts_do_not_count_as_wanted() -> None:
    passing = sum(report.state is State.OK for report in FLEET.hosts)
    assert 0 < passing < len(FLEET.hosts)
    assert parsed(FLEET).xpath("//h1//span/text()") == [f"{1000 * passing // 60 / 10:g} %"]


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "none"), (0, 3, "0 %"), (9999, 10000, "99.9 %"), (3, 3, "100 %"), (1, 8, "12.5 %")],
)
def test_all_of_them_is_said_only_when_it_is_all_of_them(part: int, whole: int, said: str) -> None:
    assert html._format_percent(part, whole) == said


def test_a_clock_that_went_backwards_changes_neither_this_run_nor_the_one_before() -> None:
    late = replace(FLEET.past[-1], started_at=FLEET.started_at + timedelta(days=2), counts={"ok": 30, "drift": 30})
    page = parsed(replace(FLEET, past=(*FLEET.past, late)))
    assert "In the previous run: " in page.text_content()
    share = round(250 * (1 - sum(r.state is State.OK for r in FLEET.hosts) / 60), 1)
    (x,) = page.xpath("//circle/@cx")
    (y,) = page.xpath("//circle/@cy")
    assert float(y) == share
    assert float(x) < 720  # a later run is to the right of it
    points = [float(point.split(",")[0]) for point in page.xpath("//polyline/@points")[0].split()]
    assert points == sorted(points)


def test_a_run_that_is_recorded_already_is_in_the_chart_once() -> None:
    again = replace(FLEET.past[-1], id=FLEET.id)
    page = parsed(replace(FLEET, past=(*FLEET.past, again)))
    assert len(page.xpath("//table[@class='numbers']/tbody/tr")) == len(FLEET.past) + 1


def test_each_different_part_travels_once_and_leads_back_to_the_host() -> None:
    run = replace(a_run((FULL, FULL, *FLEET.hosts)), benchmarks=())
    (text,) = re.findall(r'<script type="application/json" id="details">(.*?)</script>', html.render(run), re.DOTALL)
    assert "<" not in text
    data = json.loads(text)
    assert len({json.dumps(part) for part in data["parts"]}) == len(data["parts"])
    assert len(data["parts"]) < len(run.hosts) * 2
    names = parsed(run).xpath("//table[@id='table']/tbody/tr/th/button/text()")
    number = names.index("etl-0000")
    (interval, _) = (data["parts"][found] for found in data["hosts"][number]["findings"])
    assert interval[:6] == ["ClientAliveInterval", "global", "0", "300", "drift", "/etc/ssh/sshd_config:90"]


def test_the_page_says_which_hosts_who_ran_it_with_which_version_and_how_they_are_sorted() -> None:
    ported = replace(FLEET.hosts[0], host=replace(FLEET.hosts[0].host, address="192.0.2.7", port=2222))
    page = parsed(replace(FLEET, selection="-i /srv/<hosts>.yaml", by="ops@controller", hosts=(ported, *FLEET.hosts)))
    assert page.findtext(".//title").endswith("compliant – -i /srv/<hosts>.yaml")
    text = page.text_content()
    assert f"run by ops@controller, version {__version__}" in text
    assert "unproved, rolled_back, unreachable, unknown, refused" in text
    assert "192.0.2.7:2222" in page.xpath("//span[@class='address']/text()")


def test_a_chart_of_one_day_has_one_date() -> None:
    past = tuple(
        replace(one, started_at=FLEET.started_at - timedelta(minutes=5 + n)) for n, one in enumerate(FLEET.past)
    )
    count = len(parsed(FLEET).xpath("//*[local-name()='text' and contains(@class, 'tick')]"))
    assert (
        len(parsed(replace(FLEET, past=past)).xpath("//*[local-name()='text' and contains(@class, 'tick')]"))
        == count - 1
    )
