"""The meaning of Ansible's variables for ssh.

Sources: the documentation of `ansible.builtin.ssh` and of become; ssh(1) for the options in `ansible_ssh_*args`.
"""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sshd_keepalive.config import values
from sshd_keepalive.hosts.proxy import find_hop
from sshd_keepalive.hosts.target import parse_address, parse_user
from sshd_keepalive.model import Become
from sshd_keepalive.spelling import show

_SSH: Final = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh")
_TRUE: Final = ("yes", "true", "on", "1", "y", "t")
_TEMPLATE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LOOKUP: Final = re.compile(
    r"""\{\{\s*lookup\(\s*['"](?:ansible\.builtin\.)?(env|file)['"]\s*,\s*['"]([^'"]+)['"]\s*\)\s*\}\}"""
)
_DEPTH_MAX: Final = 10  # variables inside variables
#: The options of ssh(1), 9.2, for getopt.
_SSH_OPTIONS: Final = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:p:Q:R:S:W:w:"


class SshVariables:
    """The variables of one host, read as settings for ssh."""

    def __init__(self, name: str, variables: Mapping[str, str], mistake: Callable[[str], None]) -> None:
        self._name = name
        self._variables = variables
        self._mistake = mistake
        self.obstacle = ""
        self.secrets: list[str] = []

    def read_settings(self) -> dict[str, Any]:
        """Read the host's settings, named and typed as the fields of Host.

        Mistakes are recorded; valid settings that this program does not support become the obstacle.
        """
        try:
            values.parse_name(self._name)
        except ValueError as error:
            self._mistake(f"host {show(self._name)}: {error}")
        settings: dict[str, Any] = {}
        connection = self._read_text("ansible_connection")
        if connection and connection not in _SSH:
            self.obstacle = f"ansible_connection is {show(connection)}, not ssh"
        self._read_checked(settings, "address", parse_address, "ansible_host", "ansible_ssh_host")
        self._read_checked(settings, "port", values.parse_port_number, "ansible_port", "ansible_ssh_port")
        self._read_checked(settings, "user", parse_user, "ansible_user", "ansible_ssh_user")
        self._read_checked(
            settings, "identity_file", _parse_path, "ansible_ssh_private_key_file", "ansible_private_key_file"
        )
        if password := self._read_secret("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"):
            settings["password"] = password
        settings["become"] = self._read_become()
        for checking in ("ansible_ssh_host_key_checking", "ansible_host_key_checking"):
            if (text := self._read_text(checking)) and text.lower() not in _TRUE:
                settings["host_keys"] = "accept-new"  # a changed key is refused nevertheless
        for variable in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
            if text := self._read_text(variable):
                self._read_ssh_arguments(settings, variable, text)
        return {key: value for key, value in settings.items() if value is not None}

    def _read_checked(self, settings: dict[str, Any], setting: str, check: Any, *variables: str) -> None:
        text = self._read_text(*variables)
        if text is None:
            return
        try:
            settings[setting] = check(text)
        except ValueError as error:
            variable = next(name for name in variables if name in self._variables)
            self._mistake(f"{variable} of {show(self._name)}: {error}")

    def _read_text(self, *names: str) -> str | None:
        """Give the first variable that has a value, with the variables inside it filled in."""
        for name in names:
            if text := self._variables.get(name):
                return self._fill_in(name, text)
        return None

    def _fill_in(self, name: str, text: str) -> str | None:
        for _ in range(_DEPTH_MAX):
            if "{{" not in text and "{%" not in text:
                return text
            filled = _TEMPLATE.sub(lambda match: self._variables.get(match[1], match[0]), text)
            if filled == text:
                break
            text = filled
        self._mistake(
            f"{name} of {show(self._name)} is a template that only Ansible can fill in; only names of variables in "
            "{{ }} are filled in here"
        )
        return None

    def _read_secret(self, *names: str) -> str | None:
        """Give a reference; the text itself is never used or shown."""
        for name in names:
            if text := self._variables.get(name):
                if lookup := _LOOKUP.fullmatch(text.strip()):
                    return f"{lookup[1]}:{lookup[2]}"
                self.secrets.append(name)
        return None

    def _read_become(self) -> Become:
        become = self._read_text("ansible_become")
        method = self._read_text("ansible_become_method") or "sudo"
        password = self._read_secret("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
        if become and become.lower() not in _TRUE:
            return Become(method="none")
        user = self._read_text("ansible_become_user") or "root"
        short = method.removeprefix("community.general.").removeprefix("ansible.builtin.")
        if short not in ("sudo", "doas"):
            self.obstacle = f"ansible_become_method {show(method)} is not supported: use sudo or doas"
        elif user != "root":
            self.obstacle = f"ansible_become_user is {show(user)}, but sshd needs root"
        return Become(method="doas" if short == "doas" else "sudo", password=password)

    def _read_ssh_arguments(self, settings: dict[str, Any], variable: str, text: str) -> None:
        try:
            options, rest = getopt.getopt(shlex.split(text), _SSH_OPTIONS)
        except (ValueError, getopt.GetoptError) as error:
            self._mistake(f"{variable} of {show(self._name)} are not options of ssh: {error}")
            return
        if rest:
            self._mistake(f"{variable} of {show(self._name)} are not options of ssh: {show(rest[0])}")
        short = {"-J": "proxyjump", "-i": "identityfile", "-p": "port", "-l": "user"}
        for option, value in options:
            keyword = short.get(option, "")
            if option == "-o":
                keyword, _, value = re.sub(r"^\s*(\w+)\s*[=\s]\s*", r"\1=", value).partition("=")
            if option == "-F":
                self.obstacle = f"{variable} names a configuration of ssh, which this program does not read"
            self._read_option(settings, keyword.lower(), value.strip().strip('"'))

    def _read_option(self, settings: dict[str, Any], keyword: str, value: str) -> None:
        checks = {"port": values.parse_port_number, "user": parse_user, "identityfile": _parse_path}
        names = {"identityfile": "identity_file"}
        try:
            if keyword == "proxyjump":
                settings["jump"] = tuple(values.parse_hop(hop.strip()) for hop in value.split(","))
            elif keyword == "proxycommand":
                if value.lower() != "none" and (hop := find_hop(value)):
                    settings["jump"] = (values.parse_hop(hop),)
                elif value.lower() != "none":
                    self.obstacle = "ProxyCommand is not supported; use ProxyJump"
            elif keyword == "stricthostkeychecking":
                settings["host_keys"] = "accept-new" if value.lower() in ("no", "off", "accept-new") else "strict"
            elif keyword == "userknownhostsfile":
                settings["known_hosts"] = _parse_path(value.split()[0]) if value else None
            elif keyword in checks:  # variables with the same meaning take precedence
                settings.setdefault(names.get(keyword, keyword), checks[keyword](value))
        except ValueError as error:
            self._mistake(f"{keyword} of {show(self._name)}: {error}")


def _parse_path(text: str) -> str:
    """Parse a path as ssh does: `~`, or relative to the working directory."""
    return str(Path(values.parse_line(text)).expanduser().absolute())
