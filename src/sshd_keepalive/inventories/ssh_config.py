"""The configuration of ssh(1), `ssh_config:~/.ssh/config`: its hosts, reached as ssh would reach them.

The hosts are the names on Host lines that hold no wildcard. What holds for them is read as ssh reads it, see
`config.openssh`. A file other than the user's own stands alone, as with `ssh -F`.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sshd_keepalive.config.openssh import SshConfig, Words, expanded, letters
from sshd_keepalive.config.values import name as checked_name
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import argument
from sshd_keepalive.hosts.jump import Ways, before_itself
from sshd_keepalive.hosts.proxy import hop_of
from sshd_keepalive.hosts.target import address, login, parts, port
from sshd_keepalive.model import Host

USERS_OWN: Final = "~/.ssh/config"
#: StrictHostKeyChecking → host_keys. `no` also lets a changed key pass: that is never done here.
TRUST: Final = {
    **dict.fromkeys(("yes", "true", "ask"), "strict"),
    **dict.fromkeys(("accept-new", "no", "off", "false"), "accept-new"),
}
SYSTEM_KNOWN_HOSTS: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
USER_KNOWN_HOSTS: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_MOST_TOLD: Final = 30
_FIRST: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*([A-Za-z]+)[ \t]*[ \t=][ \t]*[^\s=:]"
)
_LINE: Final = re.compile(rb"^[ \t]*(?:Host|Match)[ \t=]+[^\s:]", re.MULTILINE | re.IGNORECASE)
_OTHER: Final = re.compile(rb"^[ \t]*\[|\bansible_|^[\w-]+[ \t]*:(?:[ \t]|$)", re.MULTILINE)


def recognises(head: bytes, path: str) -> bool:
    """Tell by a Host or Match line, where nothing looks like YAML or INI; ~/.ssh/config may hold none."""
    if path == str(Path(USERS_OWN).expanduser()):
        return True
    is_program = head.startswith(b"#!")
    return bool(_LINE.search(head) and _FIRST.match(head)) and not (_OTHER.search(head) or is_program)


def known(source: str) -> tuple[Host, ...]:
    """The same hosts, but no Match exec is run for them."""
    return load(source.replace("exec=yes", "exec=no"))


def load(source: str) -> tuple[Host, ...]:
    """Read the hosts of a configuration, in the order of their first Host line.

    Options behind `?`: `exec=yes` lets Match exec run its commands.

    Raises:
        ConfigError: all that cannot be followed, each as `path:line: what is wrong`.
    """
    file, options = argument.split(source or USERS_OWN, ("exec",))
    if options.get("exec", "no") not in ("yes", "no"):
        raise ConfigError(f"{file}: exec is yes or no")
    path = str(Path(file).expanduser())
    own = path == str(Path(USERS_OWN).expanduser())
    config = SshConfig(path, may_execute=options.get("exec") == "yes", is_users_own=own)
    if not config.names:
        raise ConfigError(f"{path}: there are no hosts in this file, a host is a name without * on a Host line")
    return _Reader(config).read()


class _Reader:
    """From resolved words to hosts."""

    def __init__(self, config: SshConfig) -> None:
        self._config = config
        self._hosts: dict[str, Host] = {}  # by name; a hop by its text in ProxyJump
        self._jumps: dict[str, tuple[str, ...]] = {}
        self._mistakes: dict[str, None] = {}

    def read(self) -> tuple[Host, ...]:
        """All hosts with their ways in."""
        for name, place in self._config.names.items():
            self._add(name, name, None, None, place)
        found = []
        ways = Ways(self._hosts, self._jumps)
        for name, place in self._config.names.items():
            if name not in self._hosts:
                continue
            try:
                found.append(_behind(self._hosts[name], ways.to(name)))
            except ConfigError as error:
                self._mistakes[f"{place}: {error}"] = None
        if self._mistakes:
            raise ConfigError("\n".join(list(self._mistakes)[:_MOST_TOLD]))
        return tuple(found)

    def _add(self, text: str, name: str, user: str | None, number: int | None, place: str) -> None:
        """Add a host or a hop, and the hops that it names."""
        try:
            checked_name(text)
            found = self._config.resolve(name, user=user, port=number)
            self._hosts[text] = _host(text, name, found)
        except (ConfigError, ValueError) as error:
            message = str(error)
            self._mistakes[message if message.startswith("/") else f"{place}: {message}"] = None
            return
        if given := found.get("proxyjump"):
            self._through(text, ",".join(given[0].words), given[0].place)
        elif (given := found.get("proxycommand")) and given[0].words != ("none",):
            command = " ".join(given[0].words)
            if hop := hop_of(command):
                self._through(text, hop, given[0].place)
            else:
                obstacle = f"{given[0].place}: ProxyCommand is not run here, ProxyJump is followed"
                self._hosts[text] = replace(self._hosts[text], obstacle=obstacle)

    def _through(self, text: str, jump: str, place: str) -> None:
        if jump.lower() == "none":
            return
        hops = tuple(hop.strip() for hop in jump.split(","))
        try:
            # as ssh, which reads -J for the last hop with those before it, and their own ways do not count
            self._jumps[text] = before_itself(text, hops)
            read = [(hop, *parts(hop)) for hop in self._jumps[text]]
        except ConfigError as error:
            self._mistakes[f"{place}: {error}"] = None
            return
        for hop, user, name, number in read:
            if hop not in self._hosts:
                self._add(hop, name, user, number, place)


def _behind(host: Host, hops: tuple[Host, ...]) -> Host:
    blocked = next((hop for hop in hops if hop.obstacle), None)
    return replace(
        host, jump=hops, obstacle=host.obstacle or (f"{blocked.name}: {blocked.obstacle}" if blocked else "")
    )


def _host(text: str, name: str, found: dict[str, list[Words]]) -> Host:
    """Make the host from the lines that count for it.

    Raises:
        ValueError, ConfigError: a value that cannot be used; the message begins with its place, if it has one.
    """
    given: dict[str, Any] = {"address": _checked(address, found, "hostname") or address(name)}
    if number := _checked(port, found, "port"):
        given["port"] = number
    if user := _checked(login, found, "user"):
        given["user"] = user
    if alias := _checked(address, found, "hostkeyalias"):
        given["host_key_alias"] = alias
    if "stricthostkeychecking" in found:
        given["host_keys"] = _checked(_trust, found, "stricthostkeychecking")
    fill = letters(found, name).get
    keys = _paths(found.get("identityfile", ()), fill)
    certificates = _paths(found.get("certificatefile", ()), fill)
    given["certificate_file"] = next((path for path in certificates if Path(path).exists()), None)
    given["identity_file"] = _key(keys, given["certificate_file"], found)
    return Host(name=text, **given, **_known_hosts(found, fill))


def _checked(check: Any, found: dict[str, list[Words]], keyword: str) -> Any:
    if keyword not in found:
        return None
    line = found[keyword][0]
    try:
        return check(line.words[0])
    except ValueError as error:
        raise ConfigError(f"{line.place}: {error}") from None


def _trust(text: str) -> str:
    if text.lower() not in TRUST:
        raise ValueError(f"StrictHostKeyChecking is one of {', '.join(TRUST)}")
    return TRUST[text.lower()]


def _paths(lines: Any, fill: Any) -> list[str]:
    paths = []
    for line in lines:
        try:
            # a relative path counts from the working directory, as for ssh
            paths += [_path(word, fill) for word in line.words if word.lower() != "none"]
        except ConfigError as error:
            raise ConfigError(f"{line.place}: {error}") from None
    return paths


def _path(word: str, fill: Any) -> str:
    return os.path.abspath(os.path.expanduser(expanded(word, fill)))  # noqa: PTH100, PTH111 (`..` as ssh leaves it)


def _key(keys: list[str], certificate: str | None, found: dict[str, list[Words]]) -> str | None:
    """The first key that is there, or whose public half is there for an agent; ssh passes over missing files."""
    for key in keys:
        if Path(key).exists() or Path(f"{key}.pub").exists():
            return key
    if certificate and not keys and Path(certificate.removesuffix("-cert.pub")).exists():
        return certificate.removesuffix("-cert.pub")
    only = "identitiesonly" in found and found["identitiesonly"][0].words[0].lower() in ("yes", "true")
    return keys[0] if keys and only else None


def _known_hosts(found: dict[str, list[Words]], fill: Any) -> dict[str, Any]:
    """The user's files first, then the system's; a new key is written to the first."""
    if not {"userknownhostsfile", "globalknownhostsfile"} & found.keys():
        return {}
    user = found.get("userknownhostsfile", [Words(USER_KNOWN_HOSTS, "")])
    system = found.get("globalknownhostsfile", [Words(SYSTEM_KNOWN_HOSTS, "")])
    first, *more = [*(_paths(user, fill) or [os.devnull]), *_paths(system, fill)]
    return {"known_hosts": first, "more_known_hosts": tuple(more)}
