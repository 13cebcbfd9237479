"""The scripts that change a host, and the parser of their output.

One change is one directory on the host, `<state>/<run id>/`: the guard (a script that any root can also start by
hand), the backups, the old and the new contents. `build_change_script` brings it there and makes the change, or arms it
and leaves the rest to `build_install_command`, so that a login can be rehearsed in between; `build_confirm_command`
confirms it over a new login; `build_revert_command` reverts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sshd_keepalive.model import (
    BLANK,
    COUNT_MAX,
    INTERVAL,
    Action,
    Context,
    FailureKind,
    Plan,
    Snapshot,
    Step,
)
from sshd_keepalive.quoting import join, quote, quote_bytes
from sshd_keepalive.scripts import compose, read_script, render_variables
from sshd_keepalive.scripts.records import legible, read_records
from sshd_keepalive.spelling import write_count
from sshd_keepalive.sshd_config import include
from sshd_keepalive.sshd_config.limits import make_too_large
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.tokens import decode

_WORD_BYTES: Final = 256 * 1024  # of each record that is read: the titles of some thousand sessions
_MOST_STEPS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A plan and all that its scripts need to know.

    Args:
        candidate: name → content of the files that stand in for the tree while sshd checks it, the main file
            first; empty when nothing is written.
        functions: the service managers' shell functions: `services.build_functions`, `build_guard_functions`.
    """

    plan: Plan
    snapshot: Snapshot
    run_id: str
    deadline_s: int
    candidate: tuple[tuple[str, bytes], ...]
    functions: str
    action: Action = Action.RESTART
    judged: bool = True  # the policy must hold afterwards; an undo restores the old files as they were
    rehearsed: bool = True  # a login through the candidate comes before the change
    confirmed: bool = True  # the proof confirms; else `confirm` does it later
    undoes: str = ""  # the run that is taken back
    after: Reading | None = None  # the files as the plan leaves them

    @property
    def directory(self) -> str:
        """The directory of this run on the host: backups and guard."""
        return f"{self.snapshot.state_dir}/{self.run_id}"


class GuardEnd(StrEnum):
    """How far a change has come, by the guard."""

    READY = "ready"  # armed; nothing is changed yet
    CHANGED = "changed"  # installed and restarted; it waits for the confirmation
    APPLIED = "applied"  # confirmed
    REFUSED = "refused"  # nothing was changed
    REVERTING = "reverting"  # it is being taken back
    ROLLED_BACK = "rolled_back"  # the old files and the old daemon are back
    UNPROVED = "unproved"  # the guard could not prove any of these

    @classmethod
    def _missing_(cls, value: object) -> GuardEnd | None:
        """Read the words of an earlier version's guard."""
        return {"restoring": cls.REVERTING, "unknown": cls.UNPROVED}.get(str(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The output of a guard script."""

    end: GuardEnd | None  # None: the output broke off before the end
    kind: FailureKind | None = None
    cause: str = ""
    reason: str = ""
    hint: str = ""  # the next step, where the guard was not reached
    pidfile: str = ""  # the file that names the sshd which let us in, where a restart would not reach it
    holder: str = ""  # the directory of the run that holds the lock
    place: str = ""  # the directory or link that another account than root may change
    steps: tuple[Step, ...] = ()
    complaints: tuple[str, ...] = ()  # what the new sshd says in the journal
    lasting: tuple[str, ...] = ()  # titles of the sessions that keep the values they began with


def build_change_script(change: Change) -> str:
    """Build the script that takes the lock, writes the files and makes the change."""
    plan = change.plan
    writes = []
    for number, content in enumerate(plan.contents, 1):
        writes.append(f"put {number}.target {quote(find_target(change.snapshot, content.path))}\n")
        if content.before is not None:
            writes.append(f"put {number}.base {quote_bytes(content.before)}\n")
        if not content.gone:
            writes.append(f"put {number}.after {quote_bytes(content.after)}\n")
    if change.undoes:
        writes.append(f"put undoes {quote(change.undoes)}\n")
    writes += [f"put {quote(name)} {quote_bytes(content)}\n" for name, content in change.candidate]
    values = {
        "STATE": change.snapshot.state_dir,
        "RUN": change.directory,
        "ID": change.run_id,
        "DEADLINE_S": str(change.deadline_s),
        "PHASE": "arm" if change.rehearsed else "change",
        "GUARD": build_guard_script(change),
    }
    functions = "write_files() {\n:\n" + "".join(writes) + "}\n"
    return compose("prepare", values, functions)


def build_guard_script(change: Change) -> str:
    """Build the script that stays on the host beside the backups."""
    snapshot, host = change.snapshot, change.snapshot.host
    blank = snapshot.answers.get(BLANK)
    values = {
        "RUN": change.directory,
        "STATE": snapshot.state_dir,
        "ID": change.run_id,
        "CONFIG": snapshot.config_path,
        "SSHD": host.sshd or "",
        "PIDFILE": host.service.pidfile or "",
        "LOOK": {"command": "no", "pidfile": "pidfile"}.get(host.service.manager or "", "yes"),
        "PRESENT": blank.text if blank else "",
        "UNIT": snapshot.unit,
        "MANAGER": snapshot.manager,
        "DESCRIBED": snapshot.described,
        "CANDIDATE": f"{change.directory}/{change.candidate[0][0]}" if change.candidate else "",
        "COUNT": str(len(change.plan.contents)),
        "FILES": write_count(len(change.plan.contents), "file"),
        "DEADLINE_S": str(change.deadline_s),
        # One process per connection reads the files again each time: there is nothing to restart.
        "ACTION": "none" if snapshot.daemon is not None and snapshot.daemon.pid is None else change.action.value,
    }
    expected = (
        (render_specification(prediction.context), render_pair(prediction.before), render_pair(prediction.after))
        for prediction in change.plan.predictions
    )
    expectations = "".join(f'"$1" {join(words)} || return 1\n' for words in expected)
    targets = "".join(
        f"{number}) target={quote(find_target(snapshot, content.path))} ;;\n"
        for number, content in enumerate(change.plan.contents, 1)
    )
    functions = (
        f"expectations() {{\n:\n{expectations}}}\n"
        f"identities() {{ {_identities(change)}; }}\n"
        f"target_of() {{\ncase $1 in\n{targets}*) return 1 ;;\nesac\n}}\n"
    )
    parts = "".join(read_script(name) for name in ("common", "guard_files", "guard_daemon", "guard"))
    return "#!/bin/sh\n" + render_variables(values) + functions + change.functions + parts


def _identities(change: Change) -> str:
    """Write shell text for a change of the main file alone: which other files `sshd -T` reads or looks into.

    Included files, the directories of the Includes, host keys. Links among the files are not judged.
    """
    snapshot, contents = change.snapshot, change.plan.contents
    main = snapshot.config_path
    if [(content.path, content.after) for content in contents] != [(main, content) for _, content in change.candidate]:
        return "false"
    folders = {glob.pattern.rpartition("/")[0] for glob in snapshot.globs}
    if not all(include.is_literal(folder) for folder in folders) or any(file.real_path for file in snapshot.files):
        return "false"
    blank = snapshot.answers.get(BLANK)
    keys = {value for keyword, value in blank.settings if keyword == "hostkey"} if blank else set()
    paths = sorted({file.path for file in snapshot.files} - {main} | folders | keys)
    # Called in a substitution, whose process becomes the program.
    return f"exec stat -L -c '%n %d %i %s %.9Y %.9Z' -- {join(paths)}" if paths else "false"


def find_target(snapshot: Snapshot, path: str) -> str:
    """Find the file behind a path: a rename must replace the file, not a link to it."""
    return next((file.real_path or path for file in snapshot.files if file.path == path), path)


def build_rehearse_command(change: Change, *, present: bool = False) -> str:
    """Serve one connection through the candidate, or through the present files."""
    words = f"sh {quote(change.directory + '/guard.sh')} rehearse"
    if present or not change.candidate:
        return words
    return f"{words} {quote(f'{change.directory}/{change.candidate[0][0]}')}"


def build_install_command(directory: str) -> str:
    """Install and restart, the second half of a change. An expired guard has removed itself."""
    guard = quote(directory + "/guard.sh")
    refusal = {
        "kind": "restart",
        "cause": "expired",
        "reason": "the time limit of the guard expired before the change began",
        "end": "refused",
    }
    records = "".join(f"{kind} {len(text)}\n{text}\n" for kind, text in refusal.items())
    return f"if [ -e {guard} ]; then sh {guard} install 2>/dev/null; else printf '%s' {quote(records)}; fi\n"


def build_confirm_command(directory: str) -> str:
    """Confirm over a new login; this ends the guard."""
    return f"sh {quote(directory + '/guard.sh')} confirm 2>/dev/null\n"


def build_revert_command(directory: str) -> str:
    """Revert the change now. A guard that never reached the host has changed nothing."""
    guard = quote(directory + "/guard.sh")
    return f"if [ -e {guard} ]; then sh {guard} revert 2>/dev/null; else printf 'end 7\\nrefused\\n'; fi\n"


def show_command(directory: str, verb: str = "revert") -> str:
    """Give the command that an operator types on the host."""
    return f"sudo sh {quote(directory + '/guard.sh')} {verb}"


def show_remedy(directory: str, *, verb: str = "revert") -> str:
    """Say what to do about a run that nothing reverts: its restart failed, or the host was rebooted during it.

    Args:
        verb: the guard's word for it; an earlier version's guard knows `restore` only.
    """
    return (
        f"if something prevents sshd from starting, correct it; then run on the host: {show_command(directory, verb)}"
    )


def build_timed_command(directory: str, verb: str) -> str:
    """Build a command that no login runs: `expire` at the time limit, or `boot` at the next boot, before sshd."""
    return f"/bin/sh {quote(directory + '/guard.sh')} {verb}"


def render_specification(context: Context) -> str:
    """Render the `-C` argument for a context; empty for the blank one.

    user, host and addr always stand together, as OpenSSH before 8.1 demands.
    """
    if context.user is None and context.host is None and context.address is None and context.local_port is None:
        return ""
    parts = {
        "user": context.user or "nobody",
        "host": context.host or "localhost",
        "addr": context.address or "127.0.0.1",
        "laddr": context.local_address or "127.0.0.1",
        "lport": str(context.local_port or 22),
    }
    return ",".join(f"{key}={value}" for key, value in parts.items())


def render_pair(values: tuple[tuple[str, str], ...]) -> str:
    """Render both settings as the scripts compare them: `300 3`."""
    by_keyword = dict(values)
    return f"{by_keyword[INTERVAL]} {by_keyword[COUNT_MAX]}"


@legible("a step")
def parse(stdout: bytes) -> Answer:
    """Read a guard script's records.

    Raises:
        HostError: kind `observe`, the output is cut or mixed up.
    """
    words: dict[str, str] = {}
    steps: list[Step] = []
    for kind, value in read_records(stdout):
        if kind == "step":
            name, result, since, until, *detail = decode(value).split(" ", 4)
            seconds_s = float(until) - float(since)
            # Not a number, infinite, a day: a host may send anything.
            seconds_s = round(seconds_s, 2) if 0 <= seconds_s < 86_400 else 0.0
            if len(steps) == _MOST_STEPS:
                raise make_too_large(f"its answer has more than {_MOST_STEPS} steps")
            steps.append(Step(name=name, ok=result == "ok", detail=" ".join(detail), seconds_s=seconds_s))
        else:
            words[kind] = decode(value[:_WORD_BYTES])
    return Answer(
        end=GuardEnd(words["end"]) if words.get("end") else None,
        kind=_kind(words.get("kind", "")),
        cause=words.get("cause", ""),
        reason=words.get("reason", ""),
        pidfile=words.get("pidfile", ""),
        holder=words.get("holder", ""),
        place=words.get("place", ""),
        steps=tuple(steps),
        complaints=tuple(dict.fromkeys(words.get("complaints", "").splitlines())),
        lasting=tuple(words.get("lasting", "").splitlines()),
    )


def _kind(word: str) -> FailureKind | None:
    """Read the kind of a failure. Only the program itself reports its own defects, never a host."""
    kind = FailureKind(word) if word else None
    return None if kind is FailureKind.INTERNAL else kind
