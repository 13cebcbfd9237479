"""The sessions in the log of a host, counted there: the script, and the parser of its output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sshd_keepalive.model import SessionEnd, SessionGroup
from sshd_keepalive.scripts import compose
from sshd_keepalive.scripts.records import legible, read_records
from sshd_keepalive.sshd_config.limits import make_too_large
from sshd_keepalive.sshd_config.tokens import decode

_MOST_GROUPS: Final = 5_000
_SHARE: Final = 0.6  # of the time of an exchange: the rest is for the login shell, sudo and the way back


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLog:
    """The sessions in the log of a host."""

    groups: tuple[SessionGroup, ...]
    first_at: datetime | None  # of the first line of sshd; None: there is none
    last_at: datetime | None
    sources: tuple[str, ...]  # "journal", "2 text logs"; empty: the host has no log
    unread: tuple[str, ...]  # text logs that this account or host cannot read
    was_cut: bool  # there is more than was read
    n_left_out: int = 0  # sessions that began while 100,000 others had no end in the log
    in_effect_since: datetime | None = None  # the groups are divided there
    run_id: str = ""  # of the change that came into effect then; empty: sshd read its values for another reason


def build_script(
    *, days: int, loaded_at: datetime | None, limit_s: float, state_dir: str = "", directory: str = "/var/log"
) -> str:
    """Build the script that counts.

    Args:
        days: how far to look back.
        loaded_at: when sshd read its values. Sessions that began before that, or before the last confirmed change
            where that is earlier, are counted apart. None: not known.
        limit_s: of the exchange.
        state_dir: where the host keeps its runs.
        directory: of the text logs.
    """
    values = {
        "DAYS": str(days),
        "EFFECT": str(int(loaded_at.timestamp())) if loaded_at else "0",
        "STATE": state_dir,
        "LIMIT_S": str(max(1, int(limit_s * _SHARE))),
        "LOGS": directory,
    }
    return compose("losses", values)


@legible("its sessions")
def parse(stdout: bytes) -> SessionLog:
    """Read the script's records. All times are the host's own.

    Raises:
        HostError: kind `observe`, the output is cut, or names too many groups.
    """
    groups: list[SessionGroup] = []
    unread: list[str] = []
    sources: tuple[str, ...] = ()
    was_cut = False
    n_left_out, first_at, last_at = 0, None, None
    in_effect_since, run_id = None, ""
    for kind, value in read_records(stdout):
        text = decode(value)
        if kind == "unread":
            unread.append(text)
        elif kind == "cut":
            was_cut = True
        elif kind == "effect":
            seconds, _, run_id = text.partition(" ")
            in_effect_since = _read_time(seconds)
        elif kind == "sources":
            n_logs, _, journal = text.partition(" ")
            logs = (f"{n_logs} text log{'s' * (int(n_logs) != 1)}",) if int(n_logs) else ()
            sources = (*logs, "journal") if journal else logs
        elif kind == "counts":
            for words in map(str.split, text.splitlines()):
                if words[0] == "group":
                    groups.append(_read_group(words))
                elif words[0] == "cut":
                    was_cut = True
                elif words[0] == "left-out":
                    n_left_out = int(words[1])
                elif words[0] == "seen":
                    first_at, last_at = map(_read_time, words[1:3])
    if len(groups) > _MOST_GROUPS:
        raise make_too_large(f"its log has more than {_MOST_GROUPS} groups of sessions")
    groups.sort(key=lambda group: (-group.n, group.account, group.address, group.end, group.is_new))
    return SessionLog(
        groups=tuple(groups),
        first_at=first_at,
        last_at=last_at,
        sources=sources,
        unread=tuple(unread),
        was_cut=was_cut,
        n_left_out=n_left_out,
        in_effect_since=in_effect_since,
        run_id=run_id,
    )


def _read_time(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if int(seconds) else None


def _read_group(words: list[str]) -> SessionGroup:
    """`group new timeout etl 192.0.2.9 3 300*2 301*1`."""
    lengths = sorted((int(seconds), int(n)) for seconds, n in (word.split("*") for word in words[6:]))
    return SessionGroup(
        account=words[3],
        address=words[4],
        end=SessionEnd(words[2]),
        is_new=words[1] == "new",
        n=int(words[5]),
        lengths=tuple(lengths),
    )
