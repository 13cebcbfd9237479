"""One history, two databases: the same promises on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, text

from sshd_keepalive import registry
from sshd_keepalive.engines import report_not_begun
from sshd_keepalive.errors import ConfigError, StoreError
from sshd_keepalive.history.changes import Recorded
from sshd_keepalive.model import (
    End,
    Failure,
    Host,
    HostReport,
    Losses,
    Place,
    Run,
    Scope,
    SessionEnd,
    SessionGroup,
    State,
)
from sshd_keepalive.store import Store, parse_address, tables
from sshd_keepalive.store.database import Database
from tests.contract.test_reports import FULL, a_run
from tests.support.fleets import NOW, a_fleet, pair
from tests.support.postgresql import PASSWORD, Postgresql, programs

pytestmark = pytest.mark.slow

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.sshd)]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgresql]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: make packages-postgresql")
    with Postgresql() as server:
        yield server


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty history is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/history.db"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.new()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(parse_address(url))
    yield opened
    opened.close()


def one(name: str, interval: str, **more: Any) -> HostReport:
    """A host with one value, wanted 300."""
    findings = pair(interval, "3")
    verdict = State.OK if interval == "300" else State.DRIFT
    return HostReport(host=Host(name=name, address="192.0.2.1"), findings=findings, **({"state": verdict} | more))


def a_check(number: int, *hosts: HostReport, command: str = "check", **more: Any) -> Run:
    """The run of one day; the days are counted from NOW."""
    at = NOW + number * DAY
    run = Run(id=f"{at:%Y%m%d}-{number}", command=command, started_at=at, ended_at=at, exit_code=0, hosts=hosts)
    return replace(run, **({"selection": "-i /srv/hosts.yaml"} | more))


# ------------------------------------------------------------------------------------- write and read


def test_a_run_comes_back_as_it_was_without_the_way_in(store: Store) -> None:
    fleet = a_fleet(60, command="plan")
    secret = replace(fleet.hosts[0].host, password="env:PW", identity_file="/root/key", jump=(fleet.hosts[1].host,))
    sent = replace(fleet, hosts=(replace(fleet.hosts[0], host=secret), *fleet.hosts[1:]), past=())
    store.save(sent)
    assert store.load(fleet.id) == replace(fleet, past=())


def test_hostile_words_are_kept_and_every_report_shows_them(store: Store) -> None:
    run = replace(a_run((FULL,)), past=(), selection="\udc80\0")
    store.save(run)
    found = store.load("r")
    assert found == run
    for name in registry.list_names("reports"):
        registry.load("reports", name).render(found).encode("utf-8")
    assert store.list_records(store.list_hosts()[0])[0].report == FULL


def test_runs_are_listed_by_their_start_and_compared_with_those_of_their_selection(store: Store) -> None:
    for run in (
        a_check(1, one("a", "300"), one("b", "0")),
        a_check(2, one("a", "300")),
        a_check(3, one("a", "300"), selection="other"),
        a_check(4, exit_code=130),
        a_check(5, one("a", "300"), command="apply"),
    ):
        store.save(run)
    listed = store.list_runs()
    assert [run.id[-1] for run in listed] == ["1", "2", "3", "4", "5"]
    assert [run.id[-1] for run in store.list_runs(2)] == ["4", "5"]
    assert (listed[0].counts, listed[0].started_at) == ({"ok": 1, "drift": 1}, NOW + DAY)
    assert [run.id[-1] for run in store.list_previous("-i /srv/hosts.yaml")] == ["1", "2"]
    assert store.load(listed[1].id).past == listed[:1]


def test_counts_of_sessions_are_kept_without_names_and_are_no_record_of_the_policy(store: Store) -> None:
    groups = tuple(
        SessionGroup(account=name, address="192.0.2.9", end=SessionEnd.CUT, is_new=False, n=2, lengths=((350, 2),))
        for name in ("alice", "bob")
    )
    counted = Losses(
        days=30, first_at=NOW, last_at=NOW, in_effect_since=None, run_id="", groups=groups, clusters=(),
        unanswering=("192.0.2.9",), was_cut=False,
    )  # fmt: skip
    report = HostReport(host=Host(name="a", address="192.0.2.1"), state=State.OK, losses=counted)
    store.save(a_check(1, one("a", "300")))
    store.save(a_check(2, report, command="losses"))
    kept = store.list_records("a")[-1].report.losses
    assert kept == counted.without_names()
    assert kept is not None
    assert (kept.count(SessionEnd.CUT), kept.unanswering) == (4, ())
    assert store.find_last(["a"])["a"].report == store.find_last(["a"], judged=True)["a"].report == one("a", "300")
    passed = store.find_last_ok("a")
    assert passed is not None
    assert passed.run_id == a_check(1).id


def test_a_clock_that_went_backwards_loses_nothing(store: Store) -> None:
    store.save(a_check(9, one("a", "300")))
    store.save(a_check(2, one("a", "0")))
    assert [run.id[-1] for run in store.list_runs()] == ["2", "9"]
    assert store.find() == a_check(2).id
    assert store.find_last(["a"])["a"].report == one("a", "0")
    assert [past.id[-1] for past in store.load(a_check(2).id).past] == ["9"]


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    for number in (1, 2, 30):
        store.save(a_check(number))
    assert store.find("20260202") == "20260202-2"
    with pytest.raises(ConfigError, match="beginning of several runs"):
        store.find("202602")
    for word in ("2027", "%", "2026020_"):
        with pytest.raises(ConfigError, match="is recorded"):
            store.find(word)
    with pytest.raises(ConfigError, match="is recorded"):
        store.load("20260202")


def test_the_life_of_a_host(store: Store) -> None:
    lost = one("a", "300", state=State.UNKNOWN, failure=Failure(kind="tcp", message="refused"))
    unbegun = report_not_begun(Host(name="b", address="192.0.2.1"), "interrupted", "the run was interrupted")
    store.save(a_check(1, one("a", "300"), unbegun))
    store.save(a_check(2, one("a", "0", seconds_s=2.5)))
    store.save(a_check(3, lost))
    life = store.list_records("a")
    assert [record.report.state for record in life] == [State.OK, State.DRIFT, State.UNKNOWN]
    assert life[1] == Recorded(
        run_id=a_check(2).id, command="check", started_at=NOW + 2 * DAY, report=one("a", "0", seconds_s=2.5)
    )
    assert store.list_records("a", 1) == life[-1:]
    assert store.find_last_ok("a") == life[0]
    assert store.find_last(["a", "c"]) == {"a": life[2]}
    assert store.find_last(["a"], judged=True) == {"a": life[1]}
    assert (store.list_hosts(), store.list_records("b"), store.find_last_ok("b")) == (("a",), (), None)


def test_what_apply_replaced_is_remembered_and_what_undo_did_is_not(store: Store) -> None:
    gone = (
        replace(
            pair("0", "3")[0], scope=Scope(text="Match User \udc80", place=Place(path="/etc/ssh/sshd_config", line=9))
        ),
    )
    store.save(a_check(1, one("a", "300", end=End.APPLIED, replaced=gone), command="apply"))
    store.save(a_check(2, one("a", "300", end=End.ROLLED_BACK, replaced=gone), command="apply"))
    store.save(a_check(3, one("a", "0", end=End.APPLIED, replaced=gone), command="undo"))
    (found,) = store.list_replaced(["a", "b"])["a"]
    assert (found.run_id, found.scope.text, found.value) == (a_check(1).id, r"Match User \x80", "0")


def test_between_two_runs_only_hosts_that_differ_are_reported(store: Store) -> None:
    store.save(a_check(1, one("same", "300"), one("worse", "300"), one("gone", "300")))
    store.save(a_check(2, one("new", "0"), one("worse", "0"), one("same", "300", seconds_s=9.0)))
    told = {name: (before, after) for name, before, after in store.compare(a_check(1).id, a_check(2).id)}
    assert list(told) == ["gone", "new", "worse"]
    assert (told["gone"][1], told["new"][0]) == (None, None)
    before, after = told["worse"]
    assert before is not None
    assert after is not None
    assert (before.report, after.report) == (one("worse", "300"), one("worse", "0"))


def test_a_result_that_is_the_same_is_kept_once(url: str, store: Store) -> None:
    for number in range(5):
        store.save(a_check(number, one("a", "300", seconds_s=number), one("b", "300")))
    assert _count(url, "results") == 10
    assert _count(url, "documents") == 2


def test_what_is_older_than_wanted_is_forgotten_with_all_that_only_it_named(url: str, store: Store) -> None:
    gone = pair("0", "3")[:1]
    store.save(a_check(1, one("a", "0", end=End.APPLIED, replaced=gone), command="apply"))
    for number in (2, 3, 8, 9):
        store.save(a_check(number, one("a", "300")))
    assert store.prune(6 * DAY, NOW + 9 * DAY) == 1
    assert [run.id[-1] for run in store.list_runs()] == ["2", "3", "8", "9"]
    counted = {name: _count(url, name) for name in ("results", "documents", "replaced")}
    assert counted == {"results": 4, "documents": 1, "replaced": 0}
    assert store.prune(DAY, NOW + 900 * DAY) == 2  # the clock jumped: counted from the newest run but one
    assert [run.id[-1] for run in store.list_runs()] == ["8", "9"]


# ----------------------------------------------------------------------------------- several at once

_WRITER = """
import sys
import tempfile
from dataclasses import replace
from sshd_keepalive.store import Store, parse_address
from tests.support.fleets import a_fleet
store = Store(parse_address(sys.stdin.readline().strip()))
for number in range(int(sys.argv[2])):
    store.save(replace(a_fleet(40, n_past=0, seed=number), id=f"{sys.argv[1]}-{number}"))
"""


def _python(code: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_writers_at_once_lose_nothing_not_even_when_they_make_the_history(url: str, store: Store) -> None:
    writers = [_python(_WRITER, name, "8") for name in ("first", "second", "third")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(f"{url}\n")
        writer.stdin.flush()
    for writer in writers:
        said = writer.communicate(timeout=120)[1]
        assert writer.returncode == 0, said
    assert len(store.list_runs()) == 24
    assert _count(url, "results") == 24 * 40
    for number in range(8):
        found = [store.load(f"{name}-{number}").hosts for name in ("first", "second", "third")]
        assert found == [a_fleet(40, seed=number).hosts] * 3


_STOPS = """
import sys
import tempfile
from sqlalchemy import Engine, event
@event.listens_for(Engine, "after_cursor_execute")
def written(connection, cursor, statement, *rest):
    if statement.startswith("INSERT INTO results"):
        print("written", flush=True)
        sys.stdin.read()
"""


def test_a_writer_killed_in_the_middle_loses_only_its_own_run(url: str, store: Store) -> None:
    store.save(a_check(1, one("a", "300")))
    writer = _python(_STOPS + _WRITER, "killed", "1")
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{url}\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "written\n"
    assert [run.id for run in store.list_runs()] == [a_check(1).id]  # nobody sees half a run, nobody waits for it
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    store.save(a_check(2, one("a", "300")))
    assert [run.id for run in store.list_runs()] == [a_check(1).id, a_check(2).id]
    assert (_count(url, "results"), _count(url, "documents")) == (2, 1)


# -------------------------------------------------------------------------------------------- schema


def test_the_migrations_make_the_tables_that_the_program_believes_in(url: str, store: Store) -> None:
    assert store.list_runs() == ()
    with _connection(url) as connection:
        options = {"version_table": tables.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata) == []


def test_a_newer_history_is_left_alone(url: str, store: Store) -> None:
    store.save(a_check(1, one("a", "300")))
    _tell(url, f"UPDATE {tables.VERSION_TABLE} SET version_num = '0099'")
    for opened in (store, Store(parse_address(url))):
        opened.close()
    newer = Store(parse_address(url))
    for use in (newer.list_runs, lambda: newer.save(a_check(2))):
        with pytest.raises(StoreError, match="schema 0099, this release knows"):
            use()
    newer.close()
    assert _count(url, "runs") == 1


# ------------------------------------------------------------------------------------------- trouble


def test_a_history_that_somebody_holds_is_locked(url: str, store: Store) -> None:
    store.save(a_check(1))
    impatient = Store(parse_address(url), wait_s=3)
    holder = Database(parse_address(url))
    with holder.writing(), pytest.raises(StoreError, match="is locked") as caught:
        impatient.save(a_check(2))
    assert caught.value.hint
    impatient.save(a_check(3))
    assert len(store.list_runs()) == 2
    holder.close()
    impatient.close()


def test_a_record_that_cannot_be_read_is_damage(url: str, store: Store) -> None:
    store.save(a_check(1, one("a", "300")))
    _tell(url, "UPDATE documents SET text = '{\"host\": 7}'")
    with pytest.raises(StoreError, match="damaged"):
        store.list_records("a")


def test_a_locked_file_is_waited_for_and_the_wait_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    reports: list[str] = []
    with closing(sqlite3.connect(path)) as holder:

        def release() -> None:
            reports.append("locked")
            holder.rollback()

        store = Store(parse_address(str(path)), report_wait=release)
        for mode in ("delete", "wal"):
            holder.execute(f"PRAGMA journal_mode = {mode}")
            holder.execute("BEGIN EXCLUSIVE")
            store.save(a_check(len(reports)))
            store.close()
    assert reports == ["locked", "locked"]
    assert len(store.list_runs()) == 2
    store.close()


@pytest.mark.sshd
def test_tables_that_a_stranger_locked_are_waited_for_and_the_wait_is_reported(postgresql: Postgresql) -> None:
    url = postgresql.new()
    reports: list[str] = []

    def release() -> None:
        reports.append("locked")
        holder.rollback()

    store = Store(parse_address(url), report_wait=release)
    store.save(a_check(1))
    with create_engine(parse_address(url).url, poolclass=NullPool).connect() as holder:
        for use in (store.list_runs, lambda: store.save(a_check(2))):
            holder.execute(text("LOCK TABLE results IN ACCESS EXCLUSIVE MODE"))
            use()
    assert reports == ["locked", "locked"]
    assert len(store.list_runs()) == 2
    store.close()


@pytest.mark.parametrize("harm", ["not a database at all, but long enough to be read " * 100, "middle"])
def test_a_damaged_file_is_reported_and_kept(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "history.db"
    store = Store(parse_address(str(path)))
    store.save(a_fleet(400))
    store.close()
    if harm == "middle":
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        path.write_bytes(content)
    else:
        path.write_text(harm)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"{path} is damaged") as caught:
        store.load(a_fleet(1).id)
    store.close()
    assert caught.value.hint
    assert path.read_bytes() == before


_READ_ONLY = """
import os, sys
from sshd_keepalive.store import Store, parse_address
from sshd_keepalive.errors import StoreError
from tests.support.fleets import a_fleet
Store(parse_address(sys.argv[2])).save(a_fleet(1))  # all that is imported when it is needed may be root's alone
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    Store(parse_address(sys.argv[1])).save(a_fleet(1))
except StoreError as error:
    print(error, "|", error.hint)
"""


@pytest.mark.parametrize("where", ["file", "directory", "new"])
def test_a_place_that_cannot_be_written_is_reported(where: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's own, which nobody else may enter
        path = Path(folder) / "history.db"
        if where != "new":
            store = Store(parse_address(str(path)))
            store.save(a_check(1))
            store.close()
        path.parent.chmod(0o555 if where != "file" else 0o755)
        if where != "new":
            path.chmod(0o444)
        said = _python(_READ_ONLY, str(path), str(tmp_path / "other.db")).communicate(timeout=60)
        path.parent.chmod(0o755)
    assert f"the history {path} cannot be " in said[0], said
    assert "--store PATH" in said[0]


@pytest.mark.sshd
def test_a_server_that_takes_no_writes_or_cannot_be_reached_never_shows_the_password(postgresql: Postgresql) -> None:
    url = postgresql.new()
    store = Store(parse_address(url))
    store.save(a_check(1))
    store.close()
    name = url.partition("?")[0].rpartition("/")[2]
    postgresql.tell("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    messages = []
    for wrong, said in (
        (url, "cannot be written"),
        (postgresql.url(name, PASSWORD + "x"), "password authentication failed"),
        (postgresql.url("nowhere"), "does not exist"),
        (url.partition("?")[0] + "?host=/nowhere", "cannot be reached"),
        (f"postgresql://keeper@/{name}?host=/nowhere&password=hidden", "cannot be reached"),
    ):
        broken = Store(parse_address(wrong))
        with pytest.raises(StoreError, match=said) as caught:
            broken.save(a_check(2))
        broken.close()
        messages.append(f"{caught.value} {caught.value.hint} {broken.address!r} {broken.address}")
        assert caught.value.__cause__ is None
    assert all("keeper" in message for message in messages)
    for spelled in ("s3cret", "w%rd", "w%25rd", "hidden"):
        assert not [message for message in messages if spelled in message]


@pytest.mark.parametrize(
    "wrong", ["mysql://u:s3cret@h/d", "postgresql://u:s3cret@h:port/d", "sqlite://", "sqlite:///:memory:", "x:/s3cret"]
)
def test_an_invalid_address_is_reported_without_what_may_be_a_password(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(wrong)
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_the_file_is_the_accounts_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    store = Store(parse_address())
    assert not store.is_begun()
    store.save(a_check(1))
    assert store.is_begun()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state/sshd-keepalive").iterdir()}
    store.close()
    assert modes == {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}
    assert (tmp_path / "state/sshd-keepalive").stat().st_mode & 0o777 == 0o700


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = create_engine(parse_address(url).url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def _tell(url: str, statement: str) -> None:
    with _connection(url) as connection:
        connection.execute(text(statement))


def _count(url: str, name: str) -> int:
    with _connection(url) as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {name}")))
