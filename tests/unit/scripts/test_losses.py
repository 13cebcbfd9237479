"""What a host counts in its own log: lines of every OpenSSH generation, four shells, hostile lines, many sources."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from sshd_keepalive.diagnosis.losses import judge, study
from sshd_keepalive.errors import HostError
from sshd_keepalive.model import SessionEnd, SessionGroup, State
from sshd_keepalive.scripts import losses
from sshd_keepalive.scripts.losses import SessionLog
from tests.support.shell import SYSTEM_PATH, LocalShell, installed_shells, write_command

CASES = Path(__file__).parents[2] / "cases" / "losses"
EXPECTED = yaml.safe_load((CASES / "expected.yaml").read_text())
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
EFFECT = datetime(2026, 1, 20, 9, 30, tzinfo=UTC)


def count(
    folder: Path,
    *,
    journal: str | None = None,
    shell: str = "dash",
    zone: str = "+0000",
    days: int = 60,
    path: str = SYSTEM_PATH,
    loaded_at: datetime | None = EFFECT,
) -> SessionLog:
    """Count in the text logs of a folder and in a journal, at a fixed time."""
    fence = folder / "fence"
    body = f'case $* in +%s) echo {int(NOW.timestamp())} ;; +%z) echo {zone} ;; *) exec /bin/date "$@" ;; esac'
    write_command(fence, "date", body)
    if journal is None:
        write_command(fence, "journalctl", "exit 1")
    else:
        (folder / "journal").write_text(journal)
        write_command(fence, "journalctl", f"exec cat {folder}/journal")
    logs = folder / "log"
    logs.mkdir(exist_ok=True)
    for number, log in enumerate(sorted(logs.iterdir(), key=lambda log: -len(log.name))):
        os.utime(log, (time.time() - 1000 + number,) * 2)  # the rotated ones are older
    script = losses.build_script(
        days=days, loaded_at=loaded_at, limit_s=60, state_dir=str(folder / "state"), directory=str(logs)
    )
    completed = LocalShell(shell=shell, fence=fence, path=path).run(script, timeout_s=60)
    assert completed.status == 0, completed.noise
    return losses.parse(completed.stdout)


def write_log(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / "log" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def words(group: SessionGroup) -> str:
    lengths = " ".join(f"{seconds}*{n}" for seconds, n in group.lengths)
    period = "new" if group.is_new else "old"
    return f"{group.account} {group.address} {group.end} {period} {group.n} {lengths}".strip()


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize("case", EXPECTED)
def test_lines_of_each_release_are_counted(case: str, shell: str, tmp_path: Path) -> None:
    write_log(tmp_path, "messages" if "alpine" in case else "auth.log", (CASES / case).read_text())
    found = count(tmp_path, shell=shell)
    assert sorted(map(words, found.groups)) == sorted(EXPECTED[case])
    assert (found.sources, found.unread, found.was_cut) == (("1 text log",), (), False)


BEGIN = "Jan 20 0{}:00:00 h sshd[{}]: Accepted publickey for etl from 192.0.2.9 port {} ssh2: ED25519 SHA256:AAAA\n"
END = "Jan 20 0{}:05:00 h sshd[{}]: Timeout, client not responding from user etl 192.0.2.9 port {}\n"


def test_a_session_is_followed_through_rotated_and_compressed_logs(tmp_path: Path) -> None:
    write_log(tmp_path, "secure", END.format(4, 410, 4))
    write_log(tmp_path, "secure-1", END.format(3, 310, 3) + BEGIN.format(4, 400, 4))
    write_log(tmp_path, "secure.2222.gz", gzip.compress((END.format(2, 210, 2) + BEGIN.format(3, 300, 3)).encode()))
    write_log(tmp_path, "secure.33333.xz", lzma.compress((END.format(1, 110, 1) + BEGIN.format(2, 200, 2)).encode()))
    write_log(tmp_path, "secure.444444.bz2", bz2.compress(BEGIN.format(1, 100, 1).encode()))
    (group,) = count(tmp_path).groups
    assert (group.end, group.n, group.lengths) == (SessionEnd.TIMEOUT, 4, ((300, 4),))


def test_the_journal_continues_a_text_log_and_nothing_counts_twice(tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", "".join(BEGIN.format(h, h, h) + END.format(h, h, h) for h in (1, 2, 3)))
    lines = "".join(BEGIN.format(h, h, h) + END.format(h, h, h) for h in (3, 4))
    journal = re.sub(r"Jan 20 (\S+)", r"2026-01-20T\1+0000", lines)
    found = count(tmp_path, journal=journal)
    assert found.sources == ("1 text log", "journal")
    assert [(group.n, group.lengths) for group in found.groups] == [(4, ((300, 4),))]
    assert found.first_at == datetime(2026, 1, 20, 1, tzinfo=UTC)


@pytest.mark.parametrize("began_s", [0, 1])
def test_a_line_of_the_second_in_which_the_journal_begins_counts_once(began_s: int, tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", "".join(BEGIN.format(1, n, n) for n in (1, 2)) + END.format(1, 1, 1))
    begin = BEGIN.partition("h ")[2].format(2, 2)
    journal = (
        f"2026-01-20T01:00:0{began_s}+0000 h {begin}"
        "2026-01-20T01:05:00+0000 h sshd[1]: Timeout, client not responding from user etl 192.0.2.9 port 1\n"
        "2026-01-20T01:05:00+0000 h sshd[2]: Disconnected from user etl 192.0.2.9 port 2\n"
    )
    found = count(tmp_path, journal=journal)
    assert sorted(map(words, found.groups)) == ["etl 192.0.2.9 peer old 1", "etl 192.0.2.9 timeout old 1 300*1"]


def test_the_zone_of_a_text_log_is_that_of_the_host(tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", BEGIN.format(9, 1, 1) + END.format(9, 1, 1))
    assert count(tmp_path).first_at == datetime(2026, 1, 20, 9, tzinfo=UTC)
    west = count(tmp_path, zone="-0330")
    assert west.first_at == datetime(2026, 1, 20, 12, 30, tzinfo=UTC)
    assert [group.is_new for group in west.groups] == [True]


def test_sessions_are_divided_where_the_last_confirmed_change_came_into_effect(tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", "".join(BEGIN.format(h, h, h) + END.format(h, h, h) for h in (1, 3, 8)))
    assert (count(tmp_path).in_effect_since, count(tmp_path).run_id) == (EFFECT, "")
    runs = {"20260120T010000Z-aa": ("applied", 1), "20260120T020000Z-bb": ("applied", 2)}
    runs |= {"20260120T070000Z-cc": ("rolled_back", 7), "not-a-run": ("applied", 7)}
    for name, (how, hour) in runs.items():
        decided = tmp_path / "state" / name / "decided"
        decided.mkdir(parents=True)
        (decided / "how").write_text(f"{how}\n")
        os.utime(decided / "how", (datetime(2026, 1, 20, hour, tzinfo=UTC).timestamp(),) * 2)
    restarted = count(tmp_path)
    assert restarted.in_effect_since == datetime(2026, 1, 20, 2, tzinfo=UTC), "sshd was started again at 9:30"
    assert restarted.run_id == "20260120T020000Z-bb"
    assert sorted(words(group) for group in restarted.groups) == [
        "etl 192.0.2.9 timeout new 2 300*2",
        "etl 192.0.2.9 timeout old 1 300*1",
    ]
    by_hand = count(tmp_path, loaded_at=datetime(2026, 1, 20, 0, tzinfo=UTC))
    assert by_hand.run_id == "", "the change left sshd as it ran"
    assert count(tmp_path, loaded_at=None).in_effect_since is None


def test_what_is_older_than_asked_for_does_not_count(tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", BEGIN.format(1, 1, 1) + END.format(1, 1, 1))
    assert count(tmp_path, days=11).groups == ()
    assert len(count(tmp_path, days=12).groups) == 1


@pytest.mark.skipif("busybox" not in installed_shells(), reason="busybox is not installed")
def test_a_log_that_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    write_log(tmp_path, "auth.log", BEGIN.format(1, 1, 1) + END.format(1, 1, 1))
    write_log(tmp_path, "auth.log.22.zst", b"(\xb5/\xfd")
    found = count(tmp_path, shell="busybox", path="/nowhere")  # busybox has no zstd
    assert len(found.groups) == 1
    assert found.unread == (f"{tmp_path}/log/auth.log.22.zst",)


@pytest.mark.slow
def test_a_log_of_a_gigabyte_is_counted_in_bounded_memory(tmp_path: Path) -> None:
    """Sessions, and four times as many logins that failed; the bound on the time is one that a hang would break."""
    (tmp_path / "log").mkdir()
    block = b"".join(_busy_day())
    n_blocks = (1 << 30) // len(block)
    with (tmp_path / "log" / "auth.log").open("wb") as file:
        for _ in range(n_blocks):
            file.write(block)
    write_command(tmp_path / "fence", "journalctl", "exit 1")
    script = losses.build_script(days=365, loaded_at=None, limit_s=1000, directory=f"{tmp_path}/log")
    completed = LocalShell(fence=tmp_path / "fence").run(f"ulimit -v 262144\n{script}", timeout_s=600)
    found = losses.parse(completed.stdout)
    assert (sum(group.n for group in found.groups), found.was_cut) == (n_blocks * 10_000, False)


def _busy_day() -> Iterator[bytes]:
    for number in range(10_000):
        clock, address = f"{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}", f"192.0.2.{number % 250}"
        line = f"Jan 20 {clock} h sshd[{number + 2}]: "
        bad = f"{line}Connection closed by invalid user admin 198.51.100.7 port {number} [preauth]\n"
        yield f"{line}Accepted publickey for u{number % 99} from {address} port {number} ssh2\n{bad * 4}".encode()
        yield f"{line}Timeout, client not responding from user u{number % 99} {address} port {number}\n".encode()


@pytest.mark.slow
def test_sessions_beyond_the_bound_are_left_out_and_reported(tmp_path: Path) -> None:
    line = "Jan 20 01:00:00 h sshd[{0}]: Accepted publickey for etl from 192.0.2.{1} port {2} ssh2\n"
    lines = (line.format(n + 2, n // 60_000, n % 60_000) for n in range(100_003))
    write_log(tmp_path, "auth.log", "".join(lines))
    found = count(tmp_path)
    assert (sum(group.n for group in found.groups), found.n_left_out, found.was_cut) == (100_000, 3, False)
    studied = study(found, days=60, known=None, name="h")
    assert studied.was_cut
    assert [finding.state for finding in judge(studied)] == [State.UNKNOWN]


def test_a_host_without_a_log_says_so(tmp_path: Path) -> None:
    found = count(tmp_path)
    assert (found.groups, found.sources, found.first_at) == ((), (), None)


@pytest.mark.parametrize(
    "said", ["group new timeout etl", "group new lost etl 192.0.2.9 1", "seen a 1 2", "group old cut a b 1 3x1"]
)
def test_what_a_hostile_host_says_is_refused(said: str) -> None:
    with pytest.raises(HostError):
        losses.parse(b"counts %d\n%s\n" % (len(said), said.encode()))


def test_groups_are_bounded() -> None:
    said = "\n".join(f"group old cut u{number} 192.0.2.9 1" for number in range(5001)).encode()
    with pytest.raises(HostError, match="5000 groups"):
        losses.parse(b"counts %d\n%s\n" % (len(said), said))
