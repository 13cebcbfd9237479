"""The configuration of ssh(1), `ssh_config:~/.ssh/config`: its hosts, with the settings that ssh would use.

The hosts are the names without a wildcard on Host lines. `ssh -G` prints their settings, see
`config.openssh`. A file other than the user's own is read without the system's file, as with `ssh -F`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from sshd_keepalive.config.openssh import HostOptions, SshConfig, build_tokens, expand
from sshd_keepalive.config.values import parse_name as checked_name
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import argument
from sshd_keepalive.hosts.jump import Ways, cut_at_itself
from sshd_keepalive.hosts.proxy import find_hop
from sshd_keepalive.hosts.target import parse_address, parse_port, parse_target, parse_user, split_target
from sshd_keepalive.model import Host, SshRules
from sshd_keepalive.spelling import join_first, join_mistakes, show
from sshd_keepalive.ssh import known_hosts

USERS_OWN: Final = "~/.ssh/config"
#: StrictHostKeyChecking as `ssh -G` prints it → host_keys. `no` also accepts a changed key, which is never done here.
TRUST: Final = {
    "ask": "ask",
    "true": "strict",
    **dict.fromkeys(("accept-new", "false"), "accept-new"),
}
#: Options about authentication and host keys that are not supported here.
NOT_FOLLOWED: Final = (
    "CheckHostIP",
    "GSSAPIDelegateCredentials",
    "HostbasedAuthentication",
    "IdentityAgent",
    "KbdInteractiveAuthentication",
    "KnownHostsCommand",
    "NoHostAuthenticationForLocalhost",
    "PasswordAuthentication",
    "PKCS11Provider",
    "PreferredAuthentications",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "SecurityKeyProvider",
    "VerifyHostKeyDNS",
)
LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 2 * (os.cpu_count() or 1)  # processes of `ssh -G`
_FIRST: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*([A-Za-z]+)[ \t]*[ \t=][ \t]*[^\s=:]"
)
_LINE: Final = re.compile(rb"^[ \t]*(?:Host|Match)[ \t=]+[^\s:]", re.MULTILINE | re.IGNORECASE)
_OTHER: Final = re.compile(rb"^[ \t]*\[|\bansible_|^[\w-]+[ \t]*:(?:[ \t]|$)", re.MULTILINE)


def can_load(head: bytes, path: str) -> bool:
    """Recognise a Host or Match line where nothing looks like YAML or INI; ~/.ssh/config may have none."""
    if path == str(Path(USERS_OWN).expanduser()):
        return True
    is_program = head.startswith(b"#!")
    return bool(_LINE.search(head) and _FIRST.match(head)) and not (_OTHER.search(head) or is_program)


def list_known(source: str) -> tuple[Host, ...]:
    """List the names in the file, without running ssh."""
    return tuple(Host(name=name, address=name) for name in _open_config(source, names_only=True).names)


def load(source: str) -> tuple[Host, ...]:
    """Load the hosts of a configuration, in the order of their first Host line.

    Options after `?`: `exec=yes` lets Match exec run its commands.

    Raises:
        ConfigError: everything that ssh refuses, each as `path:line: what is wrong`.
    """
    config = _open_config(source)
    if not config.names:
        raise ConfigError(f"{config.path}: the file contains no host; a host is a name without * on a Host line")
    return _ConfigReader(config).read(
        {name: _SshQuestion(None, name, None, place) for name, place in config.names.items()}
    )


def resolve_targets(texts: Iterable[str]) -> tuple[Host, ...]:
    """Give the hosts that ssh(1) would reach for `[user@]host[:port]`, by the user's own configuration.

    Its Match exec is run, as ssh runs it.

    Raises:
        ConfigError: a text is not a target, or ssh refuses the configuration.
    """
    reader = _ConfigReader(_open_config(f"{USERS_OWN}?exec=yes"))
    return reader.read(
        {parse_target(text).name: _SshQuestion(*split_target(text), f"target {show(text)}") for text in texts}
    )


def _open_config(source: str, *, names_only: bool = False) -> SshConfig:
    """Open a configuration; to read its names, no Match exec is run, so none needs to be allowed."""
    file, options = argument.split(source or USERS_OWN, ("exec",))
    if options.get("exec", "no") not in ("yes", "no"):
        raise ConfigError(f"{file}: exec is yes or no")
    path = str(Path(file).expanduser())
    own = path == str(Path(USERS_OWN).expanduser())
    return SshConfig(path, may_execute=names_only or options.get("exec") == "yes", is_users_own=own)


class _SshQuestion(NamedTuple):
    """What ssh is asked about, and where that is written."""

    user: str | None
    name: str
    port: int | None
    place: str


class _ConfigReader:
    """Builds hosts from the output of `ssh -G`."""

    def __init__(self, config: SshConfig) -> None:
        self._config = config
        self._answers: dict[str, HostOptions | ConfigError] = {}
        self._hosts: dict[str, Host] = {}  # by name; a hop by its text in ProxyJump
        self._jumps: dict[str, tuple[str, ...]] = {}
        self._mistakes: dict[str, None] = {}
        self._not_followed: dict[str, list[str]] = {}  # option → hosts

    def read(self, questions: Mapping[str, _SshQuestion]) -> tuple[Host, ...]:
        """List the hosts with their ways in, by the names that they get."""
        _ = self._config.defaults  # once, not in each thread; and without ssh this raises
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # a process of some milliseconds for each name
            self._answers = dict(zip(questions, pool.map(self._resolve, questions.values()), strict=True))
        for text, question in questions.items():
            self._add(text, question)
        hosts = []
        ways = Ways(self._hosts, self._jumps)
        for text, question in questions.items():
            if text not in self._hosts:
                continue
            try:
                hosts.append(_add_jump(self._hosts[text], ways.resolve(text)))
            except ConfigError as error:
                self._mistakes[f"{question.place}: {error}"] = None
        if self._mistakes:
            raise ConfigError(join_mistakes(self._mistakes, self._config.path))
        for option, names in self._not_followed.items():
            LOG.warning("%s: %s is not supported, for %s", self._config.path, option, join_first(names, 1))
        return tuple(hosts)

    def _resolve(self, question: _SshQuestion) -> HostOptions | ConfigError:
        try:
            return self._config.resolve(checked_name(question.name), user=question.user, port=question.port)
        except (ConfigError, ValueError) as error:
            return ConfigError(str(error), hint=getattr(error, "hint", None))

    def _add(self, text: str, question: _SshQuestion) -> None:
        """Add a host or a jump host, and the jump hosts that it names."""
        place = question.place
        try:
            answer = self._answers.get(text) or self._resolve(question)
            if isinstance(answer, ConfigError):
                raise answer
            self._hosts[text] = _build_host(text, question.name, answer)
            for option in _list_ignored(answer):
                self._not_followed.setdefault(option, []).append(text)
        except (ConfigError, ValueError) as error:
            for line in str(error).splitlines():
                self._mistakes[line if line.startswith("/") else f"{place}: {line}"] = None
            return
        if jump := answer.get("proxyjump"):
            self._add_hops(text, jump[0], place)
        elif command := answer.get("proxycommand"):
            if hop := find_hop(command[0]):
                self._add_hops(text, hop, place)
            else:
                obstacle = f"{place}: ProxyCommand is not supported; use ProxyJump"
                self._hosts[text] = replace(self._hosts[text], obstacle=obstacle)

    def _add_hops(self, text: str, jump: str, place: str) -> None:
        hops = tuple(hop.strip() for hop in jump.split(","))
        try:
            # as ssh does: the hops before the last one form its way, and their own settings for it are ignored
            self._jumps[text] = cut_at_itself(text, hops)
            read = [(hop, *split_target(hop)) for hop in self._jumps[text]]
        except ConfigError as error:
            self._mistakes[f"{place}: {error}"] = None
            return
        for hop, user, name, number in read:
            if hop not in self._hosts:
                self._add(hop, _SshQuestion(user, name, number, place))


def _add_jump(host: Host, hops: tuple[Host, ...]) -> Host:
    blocked = next((hop for hop in hops if hop.obstacle), None)
    return replace(
        host, jump=hops, obstacle=host.obstacle or (f"{blocked.name}: {blocked.obstacle}" if blocked else "")
    )


def _build_host(text: str, name: str, answer: HostOptions) -> Host:
    """Build a host from the settings of ssh.

    Raises:
        ValueError, ConfigError: an unsupported value.
    """
    first = {keyword: values[0] for keyword, values in answer.items()}
    settings: dict[str, Any] = {"address": parse_address(first["hostname"])}
    if "port" in first:
        settings["port"] = parse_port(first["port"])
    if "user" in first:
        settings["user"] = parse_user(first["user"])
    if "hostkeyalias" in first:
        settings["host_key_alias"] = parse_address(first["hostkeyalias"])
    if "stricthostkeychecking" in first:
        settings["host_keys"] = TRUST[first["stricthostkeychecking"]]
    fill = build_tokens(answer, name).get
    keys = _expand_paths(answer.get("identityfile", ()), fill)
    certificates = _expand_paths(answer.get("certificatefile", ()), fill)
    settings["certificate_file"] = next((path for path in certificates if Path(path).exists()), None)
    is_only = first.get("identitiesonly") == "yes"
    settings["identity_file"] = _choose_key(keys, settings["certificate_file"], is_only=is_only)
    return Host(name=text, ssh_rules=_build_rules(answer, fill), **settings, **_list_known_hosts(answer, fill))


def _build_rules(answer: HostOptions, fill: Any) -> SshRules:
    """Build the rules for a connection; `ssh -G` prints lists in full. A smaller RequiredRSASize is ignored."""

    def names(keyword: str) -> tuple[str, ...] | None:
        return tuple(answer[keyword][0].split(",")) if keyword in answer else None

    return SshRules(
        host_keys=names("hostkeyalgorithms"),
        ca_signatures=names("casignaturealgorithms"),
        ciphers=names("ciphers"),
        macs=names("macs"),
        kex=names("kexalgorithms"),
        rsa_bits=max(int(answer.get("requiredrsasize", ["0"])[0]), SshRules().rsa_bits),
        revoked=tuple(_expand_paths(_split_files(answer["revokedhostkeys"]), fill))
        if "revokedhostkeys" in answer
        else (),
    )


def _list_ignored(answer: HostOptions) -> Iterator[str]:
    """List unsupported settings as `Option value`."""
    for option in NOT_FOLLOWED:
        for value in answer.get(option.lower(), ())[:1]:
            if value != "SSH_AUTH_SOCK":
                yield f"{option} {value}"
    if "requiredrsasize" in answer and int(answer["requiredrsasize"][0]) < SshRules().rsa_bits:
        yield f"RequiredRSASize {answer['requiredrsasize'][0]}"


def _expand_paths(texts: Iterable[str], fill: Any) -> list[str]:
    # relative paths start at the working directory, as for ssh
    paths = [expand(text, fill) for text in texts if text.lower() != "none"]
    return [os.path.abspath(os.path.expanduser(path)) for path in paths]  # noqa: PTH100, PTH111


def _choose_key(keys: list[str], certificate: str | None, *, is_only: bool) -> str | None:
    """Choose the first key that exists, or whose public half exists for an agent; ssh skips missing files."""
    for key in keys:
        if Path(key).exists() or Path(f"{key}.pub").exists():
            return key
    if certificate and not keys and Path(certificate.removesuffix("-cert.pub")).exists():
        return certificate.removesuffix("-cert.pub")
    return keys[0] if keys and is_only else None


def _list_known_hosts(answer: HostOptions, fill: Any) -> dict[str, Any]:
    """List the user's files first, then the system's; a new key is written to the first."""
    if not {"userknownhostsfile", "globalknownhostsfile"} & answer.keys():
        return {}
    user = _split_files(answer["userknownhostsfile"]) if "userknownhostsfile" in answer else known_hosts.USER_FILES
    system = (
        _split_files(answer["globalknownhostsfile"]) if "globalknownhostsfile" in answer else known_hosts.SYSTEM_FILES
    )
    first, *more = [*(_expand_paths(user, fill) or [os.devnull]), *_expand_paths(system, fill)]
    return {"known_hosts": first, "more_known_hosts": tuple(more)}


def _split_files(values: list[str]) -> list[str]:
    """Split paths that `ssh -G` prints without quotes: a space divides only before an absolute path."""
    return re.split(r" (?=[/~])", values[0])
