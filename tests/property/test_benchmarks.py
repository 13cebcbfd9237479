"""The arbiter against counting: every pair of a small grid is asked one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive import benchmarks
from sshd_keepalive.benchmarks import BenchmarkConflict, Common
from sshd_keepalive.config import benchmarks as table
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Benchmark, Finding, Scope, Span, State, Subject
from sshd_keepalive.planning.policy import from_mapping
from tests.support.fleets import a_fleet, pair

TOP = 9
GRID = [(interval, count) for interval in range(TOP + 3) for count in range(TOP + 3)]
ROW = table.load_table()[0]

spans = st.builds(
    lambda low, more: Span(low, None if more is None else low + more),
    st.integers(0, TOP),
    st.none() | st.integers(0, TOP),
)
rows = st.builds(lambda i, c: replace(ROW, interval_s=i, count_max=c), spans, spans)
some = st.lists(rows, max_size=5)


@given(some)
def test_common_pairs_are_those_that_every_benchmark_allows(chosen: list[Benchmark]) -> None:
    found = benchmarks.common(chosen)
    by_hand = [one for one in GRID if all(benchmarks.allows(row, one) for row in chosen)]
    if isinstance(found, BenchmarkConflict):
        assert by_hand == []
    else:
        assert by_hand == [one for one in GRID if one in found]
        assert by_hand  # every span that is left begins inside the grid


@given(some)
def test_a_conflict_names_two_that_exclude_each_other(chosen: list[Benchmark]) -> None:
    found = benchmarks.common(chosen)
    if isinstance(found, BenchmarkConflict):
        again = benchmarks.common([found.lower, found.upper])
        assert isinstance(again, BenchmarkConflict)
        lower, upper = benchmarks.span(found.lower, found.setting), benchmarks.span(found.upper, found.setting)
        assert lower.high is not None
        assert lower.high < upper.low


@given(some, st.sampled_from(GRID))
def test_the_nearest_pair_is_allowed_and_none_is_nearer(chosen: list[Benchmark], asked: tuple[int, int]) -> None:
    found = benchmarks.common(chosen)
    if isinstance(found, Common):
        near = found.nearest(asked)
        assert near in found

        def distance(one: tuple[int, int]) -> int:
            return abs(one[0] - asked[0]) + abs(one[1] - asked[1])

        assert distance(near) == min(distance(one) for one in GRID if one in found)


@given(rows, st.sampled_from(GRID))
def test_a_host_passes_exactly_when_its_pair_does(row: Benchmark, values: tuple[int, int]) -> None:
    verdict = benchmarks.judge(row, pair(*map(str, values)))
    assert verdict is (State.OK if benchmarks.allows(row, values) else State.DRIFT)


def one(setting: Subject, value: str, verdict: State = State.DRIFT) -> Finding:
    number = int(value) if value.isdecimal() else None
    scope = Scope(text="Match User root")
    return Finding(setting=setting, scope=scope, wanted="1", value=value, number=number, state=verdict)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((), State.UNKNOWN),
        ((*pair("300", "3"), one(Subject.COUNT_MAX, "0")), State.DRIFT),
        ((*pair("300", "3"), one(Subject.INTERVAL, "", State.UNKNOWN)), State.UNKNOWN),
        ((*pair("0", "3"), one(Subject.INTERVAL, "", State.UNKNOWN)), State.DRIFT),
        ((*pair("300", "3"), one(Subject.DAEMON, "older files")), State.UNKNOWN),
        ((*pair("300", "3"), one(Subject.MAX_SESSIONS, "900")), State.OK),
        (pair("-1294967296", "3"), State.DRIFT),
    ],
)
def test_what_could_not_be_determined_is_never_a_pass(found: tuple[Finding, ...], verdict: State) -> None:
    assert benchmarks.judge(replace(ROW, interval_s=Span(1, None), count_max=Span(1, None)), found) is verdict


# ---------------------------------------------------------------------------------------------- the table


def test_every_row_is_whole() -> None:
    assert len({row.name for row in table.load_table()}) == len(table.load_table())
    for row in table.load_table():
        assert row.checked in ("text", "copy", "unverified"), row
        assert row.source
        for span in (row.interval_s, row.count_max):
            assert span.low <= (span.low if span.high is None else span.high), row
        assert 0 not in row.interval_s, row  # 0 sends nothing


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["dev-sec"], ["dev-sec"]),
        (["HSS", "stig-rhel"], ["stig-rhel-7", "stig-rhel-8", "stig-rhel-9", "hss-1.12"]),
        (["cis-dil", "cis-dil"], ["cis-dil"]),
        ([], []),
    ],
)
def test_a_name_or_its_beginning_chooses(names: list[str], chosen: list[str]) -> None:
    assert [row.name for row in table.choose(names)] == chosen
    assert table.choose(["all"]) == table.load_table()


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="--benchmark dev-sek: not known, did you mean 'dev-sec'") as caught:
        table.choose(["cis", "dev-sek"])
    assert "hss-1.12" in (caught.value.hint or "")
    with pytest.raises(ConfigError):
        table.choose(["ci"])  # a beginning ends at a hyphen


def test_the_conclusion_says_what_would_satisfy_all() -> None:
    def said(*names: str) -> str:
        return benchmarks.conclude(replace(a_fleet(4), benchmarks=table.choose(names)))

    assert said() == ""
    assert "ClientAliveInterval 1 to 300 with ClientAliveCountMax 1 to 3 satisfies all of them; 300/3 does" in said(
        "cis-debian-12", "hss"
    )
    assert said("stig-rhel-9") == (
        "ClientAliveInterval 1 to 600 with ClientAliveCountMax 1 satisfies it; nearest to 300/3 is 300/1"
    )
    assert (
        "no pair satisfies all benchmarks: for ClientAliveCountMax, stig-rhel-9 requires 1 and dev-sec requires 3"
        in said("stig-rhel-9", "dev-sec")
    )
    assert "Beware: with a count of 0" in said("telekom-psa")


def test_a_policy_by_effect_is_held_against_benchmarks_as_the_release_of_each_host_needs_it() -> None:
    run = a_fleet(2)
    policy = from_mapping({"keep_alive_every": 300})
    late, plain = (replace(report, host=replace(report.host, policy=policy)) for report in run.hosts)
    late = replace(
        late,
        findings=tuple(
            replace(f, wanted_number={300: 150}.get(f.wanted_number, f.wanted_number)) for f in pair("0", "3")
        ),
    )
    plain = replace(plain, findings=pair("0", "3"))
    assert benchmarks.wanted_pairs(replace(run, hosts=(late, plain, plain))) == ((150, 3), (300, 3))
    assert benchmarks.wanted_pairs(replace(run, hosts=(replace(late, findings=()),))) == ((300, 3),)
