"""The case files of tests/cases/plans: one tree, one policy, and what the plan makes of it.

Keys: `versions` (the releases it holds for, "7.4-9.7"), `before` (path → text), and either `after` (path → text of
every file that changes or comes to be) or `refuse` (the error). Optional: `main`, `policy`, `options` (the daemon's
-o), `real` (path → where a link leads), `encoding`, `note` (a piece of a note that must be told).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sshd_keepalive.model import Daemon, Glob, Host, RemoteFile, Snapshot
from sshd_keepalive.planning import policy
from sshd_keepalive.sshd_config.version import Version
from tests.support.snapshots import dump

FOLDER = Path(__file__).parents[1] / "cases/plans"
RELEASES = (
    *("7.4", "7.9", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6", "8.7", "8.8", "8.9", "9.0", "9.2", "9.4", "9.6"),
    *("9.7", "9.8", "9.9p2", "10.0p2", "10.2", "10.3", "10.5"),
)


@dataclass(frozen=True)
class PlanCase:
    """One case file."""

    name: str
    words: dict[str, Any]

    def files(self, key: str = "before") -> dict[str, bytes]:
        encoding = self.words.get("encoding", "utf-8")
        return {path: text.encode(encoding) for path, text in self.words.get(key, {}).items()}

    @property
    def main(self) -> str:
        return str(self.words.get("main", "/etc/ssh/sshd_config"))

    def releases(self) -> list[str]:
        first, _, last = self.words["versions"].partition("-")
        low, high = Version.parse(f"{first}p0"), Version.parse(f"{last}p9")
        return [release for release in RELEASES if low <= Version.parse(release) <= high]

    def snapshot(self, release: str) -> Snapshot:
        """A look at a host whose sshd reads its files as we do."""
        files = self.files()
        options = tuple(self.words.get("options", ()))
        said = dump(files, release, main=self.main, options=options)
        real = self.words.get("real", {})
        return Snapshot(
            host=Host(
                name="h", address="h", sshd_config=self.main, policy=policy.from_mapping(self.words.get("policy", {}))
            ),
            taken_at=datetime(2026, 1, 1, tzinfo=UTC),
            version=release,
            files=tuple(RemoteFile(path=p, content=c, real_path=real.get(p)) for p, c in files.items()),
            globs=(Glob(pattern="/etc/ssh/sshd_config.d/*.conf", paths=tuple(p for p in files if ".d/" in p)),),
            dumps=(said,),
            daemon=Daemon(pid=1, options=options),
        )


def load() -> list[PlanCase]:
    """Every case file, by name."""
    return [PlanCase(path.stem, yaml.safe_load(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))]
