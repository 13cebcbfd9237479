"""Staged files, with which sshd checks a changed configuration before anything is replaced.

A new main file alone can be checked as it is. A changed drop-in cannot: the Include would still find the old
one. So every file on the way to a change gets a staged copy whose Include names its members one by one, the
changed ones by their staged copies. Several arguments of an Include keep their order (checked on OpenSSH 8.2 to 10.5).
"""

from __future__ import annotations

from sshd_keepalive.model import Plan
from sshd_keepalive.sshd_config.document import Line
from sshd_keepalive.sshd_config.reading import Reading
from sshd_keepalive.sshd_config.tokens import encode
from sshd_keepalive.sshd_config.tree import list_members


def build(reading: Reading, plan: Plan, directory: str) -> tuple[tuple[str, bytes], ...]:
    """Build the staged files, name → content, the main file first; empty when the plan writes nothing.

    Args:
        directory: where they will be on the host; no Include of the host may reach into it.
    """
    if not plan.contents:
        return ()
    staged = _StagedFiles(reading, plan, directory)
    main = staged.tree.main
    staged.write(main)
    return tuple(sorted(staged.contents.items(), key=lambda item: item[0] != staged.name(main)))


class _StagedFiles:
    def __init__(self, before: Reading, plan: Plan, directory: str) -> None:
        self._gone = {content.path for content in plan.contents if content.gone}
        self._changed = {content.path for content in plan.contents} - self._gone
        self._before = before.tree
        self.tree = before.after(plan.contents).tree
        self._directory = directory
        self._names: dict[str, str] = {}
        self._reaches: dict[str, bool] = {}
        self.contents: dict[str, bytes] = {}

    def name(self, path: str) -> str:
        return self._names.setdefault(path, f"candidate.{len(self._names)}")

    def write(self, path: str) -> None:
        """Stage one file and all its members that need it."""
        name = self.name(path)
        if name in self.contents:
            return
        self.contents[name] = b""  # for repeated files; a file that includes itself was refused before
        self.contents[name] = b"".join(self._line(path, line) for line in self.tree.documents[path].lines)

    def _line(self, path: str, line: Line) -> bytes:
        if not self._is_other(path, line):
            return line.raw
        words = []
        for member in list_members(self.tree, path, line):
            if self._leads_to_change(member):
                self.write(member)
                words.append(f'"{self._directory}/{self.name(member)}"')
            else:
                words.append(f'"{member}"')
        if not words:
            return b"\n"
        return encode(f"Include {' '.join(words)}\n")

    def _is_other(self, path: str, line: Line) -> bool:
        """Whether the line is an Include that would find an old file, or one that will be removed."""
        if line.keyword != "include":
            return False
        if self._gone and self._gone.intersection(list_members(self._before, path, line)):
            return True
        return any(self._leads_to_change(member) for member in list_members(self.tree, path, line))

    def _leads_to_change(self, path: str) -> bool:
        if path in self._changed:
            return True
        if path not in self._reaches:
            self._reaches[path] = False  # ends a loop
            self._reaches[path] = any(self._is_other(path, line) for line in self.tree.documents[path].lines)
        return self._reaches[path]
