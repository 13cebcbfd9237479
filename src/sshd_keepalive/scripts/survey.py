"""One look at a host: the script that takes it and the parser that reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sshd_keepalive.agents import AGENTS
from sshd_keepalive.errors import HostError, MomentaryError
from sshd_keepalive.model import (
    BLANK,
    DEFAULT_CONFIG,
    Context,
    Daemon,
    Dump,
    FailureKind,
    Glob,
    Host,
    PendingChange,
    Phase,
    Plan,
    RemoteFile,
    RevertedChange,
    Snapshot,
)
from sshd_keepalive.scripts import compose
from sshd_keepalive.scripts.records import Record, legible, parse_clock, read_records
from sshd_keepalive.sshd_config import command_line
from sshd_keepalive.sshd_config.limits import (
    MAX_CONFIG_BYTES,
    MAX_FILES,
    MAX_GLOBS,
    MAX_RECORDS,
    check_files,
    make_too_large,
)
from sshd_keepalive.sshd_config.tokens import decode, encode

#: Clock ticks are 10 ms wide and the two clocks are read one after the other: this much earlier proves nothing.
_TICK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a host confirms a change by itself: it prints exactly these records, and sshd has read its files since."""

    expected: str  # the records that can be predicted; empty: the host never confirms by itself
    guard: str  # path of guard.sh


def build_script(
    host: Host,
    functions: str,
    *,
    users: tuple[str, ...],
    extra: tuple[str, ...] = (),
    banner: str = "",
    again: bool = False,
    confirms: Condition | None = None,
) -> str:
    """Build the script that observes a host.

    Args:
        functions: shell functions of the service managers, `services.build_functions`.
        users: accounts to ask `sshd -T -C` for when a Match block is there.
        extra: absolute Include patterns that the last look missed.
        again: this run has looked at the host already; how sshd would start is not asked again.
        confirms: the login verifies a change, and may confirm it.
    """
    manager = host.service.manager
    values = {
        "CONFIG": host.sshd_config,
        "CONFIG_GIVEN": "no" if host.sshd_config == DEFAULT_CONFIG else "yes",
        "SSHD": host.sshd or "",
        "PIDFILE": host.service.pidfile or "",
        "LOOK": {"command": "no", "pidfile": "pidfile"}.get(manager or "", "yes"),
        "BANNER": banner,
        "AGAIN": "yes" if again else "no",
        "CR": "\r",
        "EXTRA": "\n".join(extra),
        "AGENTS": "\n".join(f"{agent.name}|{path}" for agent in AGENTS for path in agent.paths),
        "USERS": " ".join(user for user in users if _USER.fullmatch(user)),
        "EXPECTED": confirms.expected if confirms else "",
        "VARIES": " ".join(_VARIES),
        "GUARD": confirms.guard if confirms else "",
    }
    return compose("survey", values, functions)


#: Kinds of records that no plan predicts. The options of `command` show in the answers of sshd.
_VARIES: Final = ("command", "described", "details", "loaded", "pending", "pid", "start")
#: A longer prediction would not save a round trip (ten segments, RFC 6928), and the script copies it for each record.
_MOST_EXPECTED_BYTES: Final = 32 * 1024


def predict_records(snapshot: Snapshot, plan: Plan) -> str:
    """Predict what `survey.sh` prints and keeps once a plan is in effect, except what varies.

    Empty if that is not possible: a file is added or removed, sshd did not answer, or the plan predicts no answer.
    """
    files = snapshot.contents
    if not snapshot.active or any(content.gone or content.path not in files for content in plan.contents):
        return ""
    files |= {content.path: content.after for content in plan.contents}
    answers = {prediction.context: prediction.after for prediction in plan.predictions}
    expected, context = b"", BLANK
    paths: list[str] = []
    for kind, value in snapshot.records:
        if kind == "path":
            paths.append(decode(value))
        elif kind == "content":
            expected += b"".join(b"%d\n" % len(files[path]) for path in paths)
            value, paths = b"".join(files[path] for path in paths), []
        elif kind == "dump":
            context = _read_context(decode(value))
        elif kind == "answer" and context in answers:
            for keyword, number in answers[context]:
                value = re.sub(rb"(?im)^(%s) .*" % keyword.encode(), rb"\1 " + number.encode(), value)
        elif kind in ("answer", "refusal"):
            return ""
        if kind not in _VARIES:
            expected += b"%s %d\n%s\n" % (kind.encode(), len(value), value)
        if b"\0" in value or len(expected) > _MOST_EXPECTED_BYTES:
            return ""
    return decode(expected)


_VERSION = re.compile(r"OpenSSH_(?:for_[^\W_]{1,32}_)?(\d{1,4}\.\d{1,4}(?:p\d{1,4})?)(?!\d)")
_REVERTED = re.compile(r"(\S+) ([0-9-]{10}T[0-9:]{8})Z (.+)")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.$-]*")


#: Kind of record → the most bytes of its value; what is not named here is a short word.
_MOST_BYTES: Final = {
    "content": MAX_CONFIG_BYTES,
    "answer": 128 * 1024,  # of `sshd -T`: 6 KiB, and a line for each word of AllowUsers
    "confirmation": 256 * 1024,
    "details": 128 * MAX_FILES,
    "loaded": 128 * MAX_FILES,
    "folders": 128 * MAX_FILES,
    "described": 64 * 1024,
    "command": 16 * 1024,
    "start": 16 * 1024,
    **dict.fromkeys(("path", "real", "glob", "match", "directory"), 4 * 1024),  # PATH_MAX
}
_WORD_BYTES: Final = 1024
#: What is only shown to people is cut, not refused.
_SHOWN_BYTES: Final = {
    "refusal": 16 * 1024,
    **dict.fromkeys(("os", "system", "agents", "taken", "lost", "nosshd", "elsewhere"), _WORD_BYTES),
    **dict.fromkeys(("unreadable", "dangling", "irregular"), _WORD_BYTES),
}
#: Kind of record → how many there may be. sshd follows 16 levels of Include, and is asked about three connections.
_MOST: Final = {
    "path": MAX_FILES,
    "glob": MAX_GLOBS,
    "directory": MAX_FILES,
    **dict.fromkeys(("details", "content"), 32),
    **dict.fromkeys(("dump", "answer", "refusal"), 8),
}


@dataclass(slots=True)
class _Look:
    """What was read from the records so far."""

    words: dict[str, str] = field(default_factory=dict)
    files: list[RemoteFile] = field(default_factory=list)
    globs: list[tuple[str, list[str]]] = field(default_factory=list)
    dumps: list[Dump] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    pending: list[tuple[str, str | None]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    details: list[list[str]] = field(default_factory=list)


@legible("itself")
def parse(stdout: bytes, host: Host, taken_at: datetime, *, banner: str = "") -> Snapshot:
    """Read the script's records.

    Args:
        banner: what the server said of itself; Debian's `sshd -V` leaves out the patch level, the banner has it.
    Raises:
        MomentaryError: a file or the daemon changed while the host was read.
        HostError: kind `observe`: no sshd, a file that cannot be read.
    """
    look = _Look()
    context = BLANK
    for kind, value in _limit_records(stdout):
        look.records.append((kind, value))
        match kind:
            case "path":
                look.pending.append((decode(value), None))
            case "real":
                look.pending[-1] = (look.pending[-1][0], decode(value))
            case "details":
                look.details = [line.split() for line in decode(value).splitlines()]
            case "content":
                _take_files(look, value)
            case "glob":
                look.globs.append((decode(value), []))
            case "match":
                look.globs[-1][1].append(decode(value))
            case "directory":
                look.directories.append(decode(value))
            case "dump":
                context = _read_context(decode(value))
            case "answer":
                answer = decode(value)
                look.dumps.append(Dump(context=context, settings=_read_settings(answer), text=answer))
            case "refusal":
                look.dumps.append(Dump(context=context, error=decode(value) or "sshd -T failed without a message"))
            case "unreadable" | "dangling" | "irregular":
                raise _report_unusable(kind, decode(value))
            case "nosshd":
                raise _make_error(
                    f"found no sshd on the host ({decode(value)})",
                    cause="no-sshd",
                    hint="name the binary in the inventory: sshd: /path/to/sshd",
                )
            case "elsewhere":
                raise _make_error(
                    f"the running sshd reads {decode(value)}, not {host.sshd_config}",
                    cause="other-config",
                    hint="correct sshd_config in the inventory, or leave it out to use the file of the running sshd",
                )
            case _:
                look.words[kind] = decode(value)
    return _build_snapshot(look, host, taken_at, banner)


def _limit_records(stdout: bytes) -> Iterator[Record]:
    """Give the records; refuse one that is larger or comes more often than any real host's.

    Raises:
        HostError: kind `observe`, cause `too_large`.
    """
    n_of: Counter[str] = Counter()
    for kind, value in read_records(stdout):
        n_of[kind] += 1
        if n_of[kind] > _MOST.get(kind, MAX_RECORDS):
            raise make_too_large(f"its answer has more than {_MOST[kind]} records of kind {kind}")
        if kind in _SHOWN_BYTES:
            value = value[: _SHOWN_BYTES[kind]]
        elif len(value) > _MOST_BYTES.get(kind, _WORD_BYTES):
            raise make_too_large(f"its answer has {len(value)} bytes of kind {kind}")
        yield kind, value


def _report_unusable(kind: str, path: str) -> HostError:
    why, hint = {
        "unreadable": ("cannot be read by this login", "log in as root, or set become: sudo"),
        "dangling": ("is a broken symbolic link: sshd would not start with it", "remove or correct the link"),
        "irregular": ("is neither a file nor a directory", "move it where no Include matches it"),
    }[kind]
    return _make_error(f"{path} {why}", cause=f"{kind}-file", hint=hint)


def _report_vanished(what: str) -> MomentaryError:
    return MomentaryError(f"a {what} was deleted while it was read")


def _make_error(message: str, *, cause: str, hint: str) -> HostError:
    return HostError(message, kind=FailureKind.OBSERVE, cause=cause, hint=hint)


def _take_files(look: _Look, content: bytes) -> None:
    if len(look.details) != len(look.pending):
        raise _report_vanished("file")
    position = 0
    for (path, real), details in zip(look.pending, look.details, strict=True):
        size = int(details[0])
        look.files.append(
            RemoteFile(
                path=path,
                content=content[position : position + size],
                real_path=real,
                changed_at=datetime.fromtimestamp(_find_latest(details), UTC),
            )
        )
        position += size
    look.pending, look.details = [], []
    check_files([file.content for file in look.files])


def _find_latest(details: list[str]) -> float:
    """Take the later of mtime and ctime: a file moved or restored into place keeps its old mtime."""
    return max(float(details[1]), float(details[2]))


def _read_settings(answer: str) -> tuple[tuple[str, str], ...]:
    """Read what `sshd -T` prints: OpenSSH 10.4 and newer print keywords in mixed case."""
    lines = (line.partition(" ") for line in answer.splitlines())
    return tuple((keyword.lower(), value) for keyword, _, value in lines)


def _read_context(spec: str) -> Context:
    parts = dict(part.split("=", 1) for part in spec.split(",") if part)
    port = parts.get("lport")
    return Context(
        user=parts.get("user"),
        host=parts.get("host"),
        address=parts.get("addr"),
        local_address=parts.get("laddr"),
        local_port=int(port) if port else None,
    )


def _read_config_path(words: dict[str, str], host: Host) -> str:
    config_path = words.get("config", host.sshd_config)
    if not config_path.startswith("/"):
        raise _make_error(
            f"sshd was started with a relative path, -f {config_path}: cannot find out which file that is",
            cause="other-config",
            hint="start sshd with an absolute path, or name it in the inventory: sshd_config: /path/to/sshd_config",
        )
    if command_line.has_split_config(words.get("command", "")):
        raise _make_error(
            "sshd was started with -f and a path with a space, which cannot be told from two words",
            cause="other-config",
            hint="start sshd with a path without a space; a symbolic link to the file will do",
        )
    return config_path


def _build_snapshot(look: _Look, host: Host, taken_at: datetime, banner: str) -> Snapshot:
    words = look.words
    match = _VERSION.search(words.get("version", ""))
    if match is None:
        raise _make_error(
            "the sshd of this host is not OpenSSH",
            cause="not-openssh",
            hint="this program supports OpenSSH only; remove the host from the inventory",
        )
    config_path = _read_config_path(words, host)
    state_dir = words.get("state", "")
    if not state_dir.startswith("/"):
        raise ValueError("the host did not report the directory for backups")
    running = _VERSION.search(banner)
    version = running[1] if running and running[1].startswith(match[1] + "p") else match[1]
    pending = _read_pending(words, taken_at)
    agents = tuple(name for name in words.get("agents", "").split(",") if name)
    facts = {
        "openssh": version,
        "service_manager": words.get("manager", ""),
        "unit": words.get("unit", ""),
        "os": words.get("os", "").strip('"'),
        "system": words.get("system", ""),
        "sshd_config": config_path,
        "state": state_dir,
        "agents": ", ".join(agents),
        "files": ", ".join(file.path for file in look.files),
    }
    return Snapshot(
        host=host,
        taken_at=taken_at,
        version=version,
        has_include_backport="include" in words,
        files=tuple(look.files),
        globs=tuple(Glob(pattern=pattern, paths=tuple(sorted(paths, key=encode))) for pattern, paths in look.globs),
        dumps=tuple(look.dumps),
        daemon=_read_daemon(look, host, pending),
        manager=words.get("manager", ""),
        unit=words.get("unit", ""),
        described=words.get("described", ""),
        active=words.get("active", "yes") == "yes",
        config_path=config_path,
        state_dir=state_dir,
        pending=pending,
        reverted=_read_reverted(words.get("reverted", "")),
        agents=agents,
        facts=tuple((key, value) for key, value in facts.items() if value),
        records=tuple(look.records),
        confirmation=encode(words.get("confirmation", "")),
    )


def _read_pending(words: dict[str, str], now: datetime) -> PendingChange | None:
    if "settled" in words:
        raise MomentaryError(f"run {words['settled']} ended while the host was read")
    if "pending" not in words:
        return None
    run_id, phase, left_s, directory = words["pending"].split(" ", 3)
    return PendingChange(
        run_id=run_id,
        phase=Phase(phase),
        directory=directory,
        reverts_at=now + timedelta(seconds=int(left_s)),
    )


def _read_reverted(text: str) -> RevertedChange | None:
    match = _REVERTED.fullmatch(text)
    if match is None:
        return None
    at = datetime.strptime(match[2], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return RevertedChange(run_id=match[1], at=at, reason=match[3])


def _read_daemon(look: _Look, host: Host, pending: PendingChange | None) -> Daemon | None:
    """Read what was found out about the daemon; None also where a change that is not over restarts it just now."""
    try:
        return _read_running(look, host)
    except MomentaryError:
        if pending is None or pending.phase is Phase.WAITING:
            raise
        return None


def _read_running(look: _Look, host: Host) -> Daemon | None:
    words = look.words
    if "lost" in words:
        raise MomentaryError(
            f"cannot find the sshd that accepted this login: {words['lost']}",
            cause="no-daemon",
            hint="name it in the inventory, service: {manager: pidfile, pidfile: …} or {manager: command, …}",
        )
    if host.service.manager == "command":
        return None
    following = " ".join(words["start"].split()) if "start" in words else None
    if not words.get("pid"):  # each connection is a start of its own; a title of one tells no options
        command = " ".join(words.get("command", "").split())
        if following is None and command and not command.split()[0].endswith(":"):
            following = command
        options = command_line.read_options(following or "")
        return Daemon(pid=None, command_line=command, options=options, next_command=following)
    loaded, certain, folders = _read_times(words)
    if len(folders) != len(look.directories):
        raise _report_vanished("directory")
    newer = [file.path for file in look.files if file.changed_at and file.changed_at.timestamp() > loaded + certain]
    newer += [path for path, changed in zip(look.directories, folders, strict=True) if changed > loaded + certain]
    return Daemon(
        pid=int(words["pid"]),
        loaded_at=datetime.fromtimestamp(loaded, UTC),
        command_line=" ".join(words.get("command", "").split()),
        options=command_line.read_options(words.get("command", "")),
        next_command=following,
        stale=tuple(dict.fromkeys(newer)),
    )


def _read_times(words: dict[str, str]) -> tuple[float, float, list[float]]:
    """When the daemon last read its files, how much later a change must be to count (s), when directories changed."""
    lines = [line.split() for line in words.get("loaded", words.get("folders", "")).splitlines()]
    changed = [_find_latest(line) for line in lines if len(line) == 3]  # where one is gone stat may say something else
    if "loaded" not in words:
        return *_read_start(words), changed
    if not changed:
        raise _report_vanished("PID file")
    return changed[0], 0.0, changed[1:]


def _read_start(words: dict[str, str]) -> tuple[float, float]:
    try:
        uptime = float(words["uptime"])
        age = uptime - int(words["started"]) / int(words["hertz"])
        if age < -_TICK_S:  # a container's own uptime beside the machine's start times (lxcfs)
            raise ValueError(age)
        now, has_fraction = parse_clock(words["clock"])
        return now - age, max(_TICK_S if has_fraction else 1.0, uptime - float(words["before"]))
    except (KeyError, ValueError):
        raise MomentaryError(
            "cannot find out when the running sshd was started",
            cause="no-start-time",
            hint="restart sshd by hand, or name two commands: service: {manager: command, …}",
        ) from None
