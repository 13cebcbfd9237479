"""The client configuration of OpenSSH, ssh_config(5): the hosts that it names, and the settings of each of them.

OpenSSH itself prints the settings of a host, `ssh -G NAME`, as `sshd -T` prints those of a server. Only
the names and `Match exec`, whose command `ssh -G` would run, are read here. Sources: OpenSSH readconf.c
(process_config_line_depth, match_cfg_line), ssh.c (main), ssh(1).
"""

from __future__ import annotations

import getpass
import glob
import os
import pwd
import re
import subprocess
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import show
from sshd_keepalive.sshd_config import tokens

DEPTH_MAX: Final = 16  # READCONF_MAX_DEPTH
MAX_BYTES: Final = 16 * 1024 * 1024
SYSTEM_FILE: Final = "/etc/ssh/ssh_config"
ANSWER_S: Final = 30  # for one `ssh -G`; Match exec and CanonicalizeHostname may take a while
_WILD: Final = re.compile(r"[*?!]")
_EXEC: Final = re.compile(rb"""(?:^|[\s"'=!])exec(?:$|[\s"'=])""", re.IGNORECASE)
_EXPANSION: Final = re.compile(r"%(.)|\$\{([^}]*)\}")
_LINE: Final = re.compile(r"(/.*?):? line (\d+): (.*)")

#: The settings of one host: keyword in lower case → its values, several for IdentityFile and CertificateFile.
HostOptions = dict[str, list[str]]


class SshConfig:
    """One configuration with the files that it includes.

    Args:
        may_execute: whether `Match exec` may run its command; otherwise the configuration is refused.
        is_users_own: read as ssh does without -F: ssh checks owner and mode, and reads the system's file too.
    Raises:
        ConfigError: the file cannot be read, or holds a `Match exec` that is not allowed.
    """

    def __init__(self, path: str, *, may_execute: bool = False, is_users_own: bool = False) -> None:
        self.path = path
        #: The hosts: names without a wildcard on Host lines, in their order, each with its first place, `path:line`.
        self.names: dict[str, str] = {}
        self._may_execute = may_execute
        # ssh takes the home directory from the account, not from $HOME.
        is_found = is_users_own and path == f"{pwd.getpwuid(os.getuid()).pw_dir}/.ssh/config"
        self._options = () if is_found else ("-F", path)
        self._read(path, depth=0)
        if is_found and Path(SYSTEM_FILE).is_file():
            self._read(SYSTEM_FILE, depth=0, is_system=True)

    def resolve(self, name: str, *, user: str | None = None, port: int | None = None) -> HostOptions:
        """Ask for the settings of `ssh [-l user] [-p port] name`, without those that every host gets without a file.

        Raises:
            ConfigError: ssh is not installed, or it refuses the configuration or the name.
        """
        options = (*(("-l", user) if user else ()), *(("-p", str(port)) if port else ()))
        answer = _ask(*self._options, *options, "--", name)
        return {key: values for key, values in answer.items() if key == "hostname" or values != self.defaults.get(key)}

    @cached_property
    def defaults(self) -> HostOptions:
        """The settings that every host gets without a file."""
        return _ask("-F", os.devnull, "--", "localhost")

    def _read(self, path: str, *, depth: int, is_system: bool = False) -> None:
        """Collect the names in a file and in those that it includes; what ssh will refuse is ignored."""
        for number, raw in enumerate(_read_file(path, depth=depth).split(b"\n"), 1):
            line = raw.strip(b" \t\r\n\f")
            first, at = tokens.cut_word(line, 0)
            if line.startswith(b"#") or first is None or at is None:
                continue
            keyword, place = first.text.lower(), f"{path}:{number}"
            if keyword == b"match" and not self._may_execute and _EXEC.search(line[at:]):
                raise ConfigError(f"{place}: Match exec runs a command; allow it with ssh_config:FILE?exec=yes")
            words = [token.text.decode("utf-8", "surrogateescape") for token in tokens.split_arguments(line, at) or ()]
            if keyword == b"host":
                for word in words:
                    if not _WILD.search(word):
                        self.names.setdefault(word, place)
            elif keyword == b"include" and depth < DEPTH_MAX:
                for name in _expand_include(words, is_system=is_system):
                    self._read(name, depth=depth + 1, is_system=is_system)


def _read_file(path: str, *, depth: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        if depth:  # ssh ignores it, or refuses it
            return b""
        raise ConfigError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    if len(data) > MAX_BYTES or b"\0" in data:
        raise ConfigError(
            f"{path}: not a configuration of ssh: {'a NUL byte' if len(data) <= MAX_BYTES else 'too large'}"
        )
    return data


def _expand_include(words: list[str], *, is_system: bool) -> list[str]:
    """List the files of one Include line; relative paths start at ~/.ssh, in the system's file at /etc/ssh."""
    paths: list[str] = []
    for word in filter(None, words):
        anchored = word if word[0] in "/~" else f"{'/etc/ssh' if is_system else '~/.ssh'}/{word}"
        # as ssh(1), which passes `~` to glob(3); pathlib has no glob for absolute patterns
        paths += sorted(glob.glob(os.path.expanduser(anchored)), key=os.fsencode)  # noqa: PTH111, PTH207
    return paths


def _ask(*words: str) -> HostOptions:
    """Run `ssh -G`: it prints the configuration and makes no connection."""
    try:
        completed = subprocess.run(
            ("ssh", "-T", "-G", *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            check=False,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise ConfigError(
            "only ssh can read an ssh_config, and ssh is not installed on this machine",
            hint="install OpenSSH's client (openssh-client), or list the hosts in a YAML inventory",
        ) from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"ssh -G {words[-1]}: no answer in {ANSWER_S} s") from None
    if completed.returncode:
        raise ConfigError(
            _format_error(completed.stderr) or f"ssh -G {show(words[-1])}: exit status {completed.returncode}"
        )
    answer: HostOptions = {}
    for line in completed.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        answer.setdefault(keyword, []).append(value)
    return answer


def _format_error(text: str) -> str:
    """Format the messages of ssh, each line with its place first."""
    lines = [line for line in text.splitlines() if ": terminating, " not in line]
    return "\n".join(_LINE.sub(r"\1:\2: \3", line) for line in lines if line.strip())


def build_tokens(answer: HostOptions, name: str) -> dict[str, str]:
    """Give the values of the `%` letters of ssh_config(5), TOKENS, for one host."""
    import socket

    here, local = socket.gethostname(), getpass.getuser()
    first = {keyword: values[0] for keyword, values in answer.items()}
    return {
        "d": str(Path.home()),
        "h": first.get("hostname", name),
        "i": str(os.getuid()),
        "j": "",
        "k": first.get("hostkeyalias", name),
        "L": here.partition(".")[0],
        "l": here,
        "n": name,
        "p": first.get("port", "22"),
        "r": first.get("user", local),
        "u": local,
    }


def expand(text: str, letter: Callable[[str], str | None]) -> str:
    """Replace `%h` and `${NAME}`; source: ssh_config(5), TOKENS and ENVIRONMENT VARIABLES.

    Raises:
        ConfigError: an unknown letter or variable.
    """

    def fill(match: re.Match[str]) -> str:
        value = "%" if match[1] == "%" else letter(match[1]) if match[1] else os.environ.get(match[2])
        if value is None:
            raise ConfigError(f"{show(text)}: {match[0]} cannot be filled in")
        return value

    return _EXPANSION.sub(fill, text)
