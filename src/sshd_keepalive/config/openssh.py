"""The client configuration of OpenSSH, ssh_config(5): which words ssh would use for one host.

Sources: OpenSSH readconf.c (process_config_line_depth, match_cfg_line), ssh.c (main); compared with `ssh -G` in
tests/unit/test_ssh_config.py. The first value wins; files are read in one pass, or in two where `Match final`,
`Match canonical` or CanonicalizeHostname ask for it; the second pass matches the name that the first one found.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import did_you_mean, shown
from sshd_keepalive.sshd_config import tokens
from sshd_keepalive.sshd_config.patterns import list_result, matches

DEPTH_MAX: Final = 16  # READCONF_MAX_DEPTH
MAX_BYTES: Final = 16 * 1024 * 1024
SYSTEM_FILE: Final = "/etc/ssh/ssh_config"
EXEC_LIMIT_S: Final = 10
#: Options of which every line counts.
LISTS: Final = ("identityfile", "certificatefile")
CRITERIA: Final = ("host", "originalhost", "user", "localuser", "all", "canonical", "final", "exec")
_MOST_TOLD: Final = 30
_WILD: Final = re.compile(r"[*?!]")
_EXPANSION: Final = re.compile(r"%(.)|\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Words:
    """The words behind a keyword, and where they stand."""

    words: tuple[str, ...]
    place: str  # path:line


@dataclass(eq=False, slots=True)
class _Block:
    """What stands between two Host or Match lines, the start of a file, and the lines behind an Include.

    A block without criteria of its own (`criteria` None) is as active as `outer`, the block it continues.
    """

    outer: _Block | None  # None: the top of the main file, always active
    place: str
    hosts: tuple[str, ...] | None = None  # the patterns of a Host line
    criteria: tuple[tuple[bool, str, str], ...] | None = None  # (negated, name, argument) of a Match line
    lines: list[tuple[str, Words]] = field(default_factory=list)


class SshConfig:
    """One configuration with the files that it includes, read once."""

    def __init__(self, path: str, *, may_execute: bool = False, is_users_own: bool = False) -> None:
        """Read the file.

        Args:
            may_execute: `Match exec` runs its command; otherwise it is refused.
            is_users_own: as ssh without -F: owner and mode are checked, and the system's file follows.
        Raises:
            ConfigError: every line that ssh, or this program, cannot follow, with its place.
        """
        self.path = path
        self._may_execute = may_execute
        self._mistakes: list[str] = []
        self._blocks: list[_Block] = []
        self._names: dict[str, str] = {}
        self.is_read_twice = False
        self._read(path, _Block(None, path), depth=0, is_checked=is_users_own)
        if is_users_own and Path(SYSTEM_FILE).is_file():
            self._read(SYSTEM_FILE, _Block(None, SYSTEM_FILE), depth=0, is_system=True)
        if self._mistakes:
            more = len(self._mistakes) - _MOST_TOLD
            raise ConfigError(
                "\n".join(self._mistakes[:_MOST_TOLD] + ([f"{path}: {more} more mistakes"] if more > 0 else []))
            )
        self._literal, self._general = self._indexed()

    @property
    def names(self) -> dict[str, str]:
        """The hosts: Host patterns without a wildcard, in their order, each with its first place."""
        return dict(self._names)

    def resolve(self, name: str, *, user: str | None = None, port: int | None = None) -> dict[str, list[Words]]:
        """Give what ssh would use for `ssh [-l user] [-p port] name`: folded keyword → its lines.

        One line for each keyword, except for LISTS. `hostname` is there when a line sets it, with `%h` filled in.
        """
        found: dict[str, list[Words]] = {}
        if user:
            found["user"] = [Words((user,), "-l")]
        if port:
            found["port"] = [Words((str(port),), "-p")]
        self._pass(name, name, found, is_final=False)
        host = name
        if given := found.get("hostname"):
            try:
                host = expanded(given[0].words[0], {"h": name}.get)
            except ConfigError as error:
                raise ConfigError(f"{given[0].place}: {error}") from None
            found["hostname"] = [Words((host,), given[0].place)]
        host = host if ":" in host else host.lower()
        if self.is_read_twice or _first(found, "canonicalizehostname") in ("yes", "true", "always"):
            final = {**found, "hostname": [Words((host,), name)]}
            self._pass(host, name, final, is_final=True)
            if "hostname" not in found:
                del final["hostname"]
            found = final
        return found

    # ------------------------------------------------------------------------------------------ reading

    def _read(self, path: str, start: _Block, *, depth: int, is_checked: bool = False, is_system: bool = False) -> None:
        if depth > DEPTH_MAX:
            raise ConfigError(f"{start.place}: Include leads more than {DEPTH_MAX} files deep, maybe in a circle")
        data = self._bytes(path, depth=depth, is_checked=is_checked)
        block = start
        self._blocks.append(block)
        for number, raw in enumerate(data.split(b"\n"), 1):
            line = raw.strip(b" \t\r\n\f")
            if not line or line.startswith(b"#"):
                continue
            place = f"{path}:{number}"
            keyword, words = self._cut(line, place)
            if keyword == "host":
                block = self._host_block(start, words, place)
            elif keyword == "match":
                block = self._match_block(start, line, place)
            elif keyword == "include":
                for name in self._included(words, place, is_system=is_system):
                    self._read(name, _Block(block, place), depth=depth + 1, is_checked=True, is_system=is_system)
                block = _Block(block, place)
            elif keyword and words:
                block.lines.append((keyword, Words(words, place)))
                continue
            else:
                continue
            self._blocks.append(block)
        # blocks of one file stand beside each other; those of an included one are inside the Include's block

    def _bytes(self, path: str, *, depth: int, is_checked: bool) -> bytes:
        try:
            with Path(path).open("rb") as file:
                if is_checked:
                    _refuse_strangers(path, os.fstat(file.fileno()))
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            if depth and error.errno == 2:  # gone since the glob: ssh goes on
                return b""
            raise ConfigError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
        if len(data) > MAX_BYTES or b"\0" in data:
            raise ConfigError(
                f"{path}: not a configuration of ssh: {'a NUL byte' if len(data) <= MAX_BYTES else 'too large'}"
            )
        return data

    def _cut(self, line: bytes, place: str) -> tuple[str, tuple[str, ...]]:
        """Keyword and words; no keyword after a mistake."""
        first, at = tokens.delimited(line, 0)
        cut = None if first is None or at is None else tokens.argv(line, at)
        if first is None or cut is None:
            what = "a quote is not closed" if first is None or at is not None else "a value is missing"
            self._mistakes.append(f"{place}: {what}")
            return "", ()
        keyword = first.text.decode("utf-8", "surrogateescape").lower()
        words = tuple(word.text.decode("utf-8", "surrogateescape") for word in cut)
        if not words and keyword in ("host", "hostname", "user", "port", "identityfile", "include", "proxyjump"):
            self._mistakes.append(f"{place}: a value is missing")
            return "", ()
        if keyword == "canonicaldomains" and words != ("none",):
            self._mistakes.append(
                f"{place}: CanonicalDomains makes ssh ask the DNS while it reads; write the full HostName instead"
            )
        return keyword, words

    def _host_block(self, start: _Block, words: tuple[str, ...], place: str) -> _Block:
        for word in words:
            if not _WILD.search(word):
                self._names.setdefault(word, place)
        return _Block(start, place, hosts=words)

    def _match_block(self, start: _Block, line: bytes, place: str) -> _Block:
        criteria: list[tuple[bool, str, str]] = []
        _, at = tokens.delimited(line, 0)
        words = [token.text.decode("utf-8", "surrogateescape") for token in tokens.delimited_words(line, at)]
        try:
            criteria = list(_criteria(words, may_execute=self._may_execute))
        except ValueError as error:
            self._mistakes.append(f"{place}: {error}")
        if any(name == "final" for _, name, _ in criteria):
            self.is_read_twice = True
        return _Block(start, place, criteria=tuple(criteria))

    def _included(self, words: tuple[str, ...], place: str, *, is_system: bool) -> Iterator[str]:
        """The files of one Include line; a relative one counts from ~/.ssh, or for the system's file from /etc/ssh."""
        for word in words:
            if not word or (is_system and word.startswith("~")):
                self._mistakes.append(f"{place}: Include needs a path, not {shown(word)}")
                continue
            anchored = word if word[0] in "/~" else f"{'/etc/ssh' if is_system else '~/.ssh'}/{word}"
            # as ssh(1), which leaves `~` to glob(3); pathlib knows no glob for absolute patterns
            path = os.path.expanduser(anchored)  # noqa: PTH111
            yield from sorted(glob.glob(path), key=os.fsencode)  # noqa: PTH207

    def _indexed(self) -> tuple[dict[str, list[int]], list[int]]:
        """The blocks of plain host names by name, and all others: 10,000 Host lines are not all looked at per host."""
        literal: dict[str, list[int]] = {}
        general = []
        for number, block in enumerate(self._blocks):
            if block.outer is not None and block.hosts and not any(map(_WILD.search, block.hosts)):
                for name in dict.fromkeys(block.hosts):
                    literal.setdefault(name, []).append(number)
            else:
                general.append(number)
        return literal, general

    # ---------------------------------------------------------------------------------------- resolving

    def _pass(self, host: str, original: str, found: dict[str, list[Words]], *, is_final: bool) -> None:
        active: dict[_Block, bool] = {}
        for number in sorted({*self._literal.get(host, ()), *self._general}):
            block = self._blocks[number]
            holds = block.outer is None or active.get(block.outer, False)
            if holds and block.hosts is not None:
                holds = _host_matches(host, block.hosts)
            elif holds and block.criteria is not None:
                holds = self._meets(block.criteria, host, original, found, is_final=is_final)
            active[block] = holds
            if holds:
                for keyword, words in block.lines:
                    _take(found, keyword, words)

    def _meets(
        self,
        criteria: tuple[tuple[bool, str, str], ...],
        host: str,
        original: str,
        found: dict[str, list[Words]],
        *,
        is_final: bool,
    ) -> bool:
        target = host
        if not is_final and (given := _first(found, "hostname")):
            target = expanded(given, {"h": host}.get)
        elif is_final:
            target = _first(found, "hostname") or host
        local = getpass.getuser()
        for negated, name, argument in criteria:
            if name == "all":
                met = True
            elif name in ("final", "canonical"):
                met = is_final
            elif name in ("host", "originalhost"):
                met = _in_list(target if name == "host" else original, argument, fold=True)
            elif name in ("user", "localuser"):
                met = _in_list((_first(found, "user") if name == "user" else None) or local, argument)
            else:
                met = _runs(expanded(argument, _letters(found, target, original, local).get))
            if met == negated:
                return False
        return True


def _take(found: dict[str, list[Words]], keyword: str, words: Words) -> None:
    """Note a line, if it counts. ProxyJump and ProxyCommand are rivals: the first of them wins."""
    if keyword in LISTS:
        lines = found.setdefault(keyword, [])
        if all(line.words[:1] != words.words[:1] for line in lines):
            lines.append(words)
    elif keyword in ("proxyjump", "proxycommand"):
        if "proxyjump" not in found and "proxycommand" not in found:
            found[keyword] = [words]
    else:
        found.setdefault(keyword, [words])


def _first(found: dict[str, list[Words]], keyword: str) -> str | None:
    return found[keyword][0].words[0] if keyword in found else None


def _host_matches(host: str, given: tuple[str, ...]) -> bool:
    """A Host line: any pattern, and no negated one; the first negated match ends it."""
    met = False
    for pattern in given:
        if matches(os.fsencode(host), os.fsencode(pattern.removeprefix("!"))):
            if pattern.startswith("!"):
                return False
            met = True
    return met


def _in_list(text: str, given: str, *, fold: bool = False) -> bool:
    return list_result(os.fsencode(text), os.fsencode(given), fold=fold) == 1


def _criteria(words: list[str], *, may_execute: bool) -> Iterator[tuple[bool, str, str]]:
    """Read a Match line.

    Raises:
        ValueError: a criterion that is not known here, one that may not be followed, or a value that is missing.
    """
    if not words or not words[0] or words[0].startswith("#"):
        raise ValueError("Match needs a criterion")
    queue = iter(words)
    for number, word in enumerate(queue):
        if not word or word.startswith("#"):
            return
        name = word.removeprefix("!").lower()
        if name not in CRITERIA:
            raise ValueError(
                f"Match {shown(name)} cannot be judged here{did_you_mean(name, CRITERIA)}; known are "
                f"{', '.join(CRITERIA)}"
            )
        if name == "all":
            behind = next(queue, "")
            if number > 1 or (behind and not behind.startswith("#")):
                raise ValueError("Match all stands alone, or behind canonical or final")
            yield word.startswith("!"), name, ""
            return
        argument = "" if name in ("canonical", "final") else next(queue, "")
        if name not in ("canonical", "final") and (not argument or argument.startswith("#")):
            raise ValueError(f"Match {name} needs a value")
        if name == "exec" and not may_execute:
            raise ValueError("Match exec runs a command; allow it with ssh_config:FILE?exec=yes")
        yield word.startswith("!"), name, argument


def _runs(command: str) -> bool:
    """Run the command of a Match exec in the user's shell; true when it exits with 0."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    try:
        done = subprocess.run(
            [shell, "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=EXEC_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"Match exec {shown(command)}: {error}") from None
    return done.returncode == 0


def _letters(found: dict[str, list[Words]], target: str, original: str, local: str) -> dict[str, str]:
    import socket

    port, user = _first(found, "port") or "22", _first(found, "user") or local
    here = socket.gethostname()
    return {
        "d": str(Path.home()),
        "h": target,
        "i": str(os.getuid()),
        "j": "",
        "k": _first(found, "hostkeyalias") or original,
        "L": here.partition(".")[0],
        "l": here,
        "n": original,
        "p": port,
        "r": user,
        "u": local,
    }


def letters(found: dict[str, list[Words]], name: str) -> dict[str, str]:
    """What the `%` letters of ssh_config(5) TOKENS stand for, for one host."""
    return _letters(found, _first(found, "hostname") or name, name, getpass.getuser())


def expanded(text: str, letter: Callable[[str], str | None]) -> str:
    """Fill in `%h` and `${NAME}`; source: ssh_config(5), TOKENS and ENVIRONMENT VARIABLES.

    Raises:
        ConfigError: a letter or a variable that is not known.
    """

    def fill(match: re.Match[str]) -> str:
        value = "%" if match[1] == "%" else letter(match[1]) if match[1] else os.environ.get(match[2])
        if value is None:
            raise ConfigError(f"{shown(text)}: {match[0]} cannot be filled in")
        return value

    return _EXPANSION.sub(fill, text)


def _refuse_strangers(path: str, found: os.stat_result) -> None:
    """As ssh(1): what others can write chooses neither keys nor ways."""
    if found.st_uid not in (0, os.getuid()) or stat.S_IMODE(found.st_mode) & 0o022:
        raise ConfigError(f"{path}: belongs to somebody else, or others can write it", hint=f"chmod go-w {path}")
