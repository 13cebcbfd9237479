"""Read what an earlier run changed on a host, and plan its undo."""

from __future__ import annotations

from dataclasses import dataclass

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind, NewContent, Plan, Snapshot
from sshd_keepalive.planning.proofs import predict
from sshd_keepalive.quoting import quote
from sshd_keepalive.scripts import compose
from sshd_keepalive.scripts.guard import GuardEnd
from sshd_keepalive.scripts.records import legible, read_records
from sshd_keepalive.sshd_config.limits import check_files
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.tokens import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One run, as recorded in its directory on the host."""

    run_id: str
    how: GuardEnd | None  # None: neither confirmed nor reverted
    files: tuple[tuple[str, bytes | None, bytes | None], ...]  # real path, before, after; None: no file


def build_script(snapshot: Snapshot, run_id: str) -> str:
    """Build the script that prints one run; an empty id means the latest that can be undone."""
    return compose("runs", {"STATE": snapshot.state_dir, "WANTED": run_id})


@legible("its runs")
def parse(stdout: bytes) -> Past | None:
    """Parse the output of `build_script`; None when the host has no such run.

    Raises:
        HostError: kind `observe`, the output is cut; `read_only`, other accounts may write where the runs are kept.
    """
    words: dict[str, str] = {}
    files: list[dict[str, bytes]] = []
    for kind, value in read_records(stdout):
        if kind == "target":
            files.append({kind: value})
        elif kind in ("old", "new"):
            files[-1][kind] = value
        else:
            words[kind] = decode(value)
    for kind in ("old", "new"):
        check_files([file[kind] for file in files if kind in file])
    run_id, unsafe = words.get("run"), words.get("unsafe")
    if not run_id and unsafe:
        raise HostError(
            f"the backups are not read: another account than root may write to {unsafe}",
            kind=FailureKind.READ_ONLY,
            cause="not_ours",
            hint=f"look at what is in there, then: chown root {quote(unsafe)} && chmod go-w {quote(unsafe)}",
        )
    if not run_id:
        return None
    return Past(
        run_id=run_id,
        how=GuardEnd(words["how"]) if words.get("how") else None,
        files=tuple((decode(file["target"]), file.get("old"), file.get("new")) for file in files),
    )


def plan(reading: Reading, past: Past, *, force: bool) -> Plan:
    """Plan to restore the files from before a run.

    Args:
        force: also where a file was edited since.
    Raises:
        HostError: kind `changed_meanwhile`, a file was edited since.
        ParseError: sshd would refuse the old files.
    """
    snapshot = reading.snapshot
    by_real_path = {file.real_path or file.path: file for file in snapshot.files}
    contents = []
    for path, old, new in past.files:
        file = by_real_path.get(path)
        now = file.content if file is not None else None
        if now == old:
            continue
        if now != new and not force:
            raise HostError(
                f"{path} was edited since run {past.run_id}",
                kind=FailureKind.CHANGED_MEANWHILE,
                cause="edited-since",
                hint="undo --force --dry-run shows what would be lost; undo --force discards that edit",
            )
        named = file.path if file is not None else path
        contents.append(NewContent(path=named, before=now, after=old or b"", gone=old is None))
    after = reading.after(tuple(contents))
    after.tree.events()  # a newer sshd may refuse the old files
    return Plan(
        host=snapshot.host,
        contents=tuple(contents),
        predictions=tuple(predict(reading, after)),
        restart=bool(contents),
    )
