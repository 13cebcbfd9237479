"""A program that prints Ansible's dynamic inventory, `command:./list-hosts`: groups as JSON for `--list`.

`_meta.hostvars` holds the variables of the hosts. A program without `_meta` is run with `--host NAME` for each host.
Source: Ansible's developers' guide, "Developing dynamic inventory".
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sshd_keepalive.config import ansible
from sshd_keepalive.config.program import LIMIT_S, run_program
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.files import find_stranger
from sshd_keepalive.hosts import argument
from sshd_keepalive.model import Host
from sshd_keepalive.quoting import quote
from sshd_keepalive.spelling import join_first, show

_NAME: Final = re.compile(r"[\w.:=+@-]+")
_NAMED: Final = 5  # refused names that the message lists


def can_load(head: bytes, path: str) -> bool:
    """Recognise an executable file with `#!`, which Ansible runs too.

    Raises:
        ConfigError: another account may have written the program. It is run only when its kind is named.
    """
    if not (head.startswith(b"#!") and os.access(path, os.X_OK)):
        return False
    if stranger := find_stranger(Path(path), with_directories=True):
        hint = f"look at it; if you trust it: -i {quote(f'command:{path}')}"
        raise ConfigError(f"inventory {path} is a program, which is not run: {stranger}", hint=hint)
    return True


def load(source: str) -> tuple[Host, ...]:
    """Run the program with its arguments and read the hosts that it prints.

    Options after `?`: `timeout=SECONDS`, for all calls together.

    Raises:
        ConfigError: it cannot be run, fails, exceeds the time or size limit, or prints something else.
    """
    command, options = argument.split(source, ("timeout",))
    limit_s = _parse_timeout(options.get("timeout"), command)
    argv = _parse_argv(command)
    end_at = time.monotonic() + limit_s
    text = run_program([*argv, "--list"], limit_s=limit_s)
    inventory = ansible.read_json(text, command)
    _refuse_names((*inventory.hosts, *inventory.groups), command)
    if b'"_meta"' not in text:
        for name in inventory.hosts:
            left_s = end_at - time.monotonic()
            if left_s <= 0:
                raise ConfigError(
                    f"{command} did not end within {limit_s:g} s", hint="print _meta.hostvars with --list"
                )
            answer = run_program([*argv, "--host", name], limit_s=left_s)
            inventory.hosts[name] = ansible.read_variables(answer, f"{command} --host {name}")
    return ansible.build_hosts(inventory)


def _refuse_names(names: Iterable[str], source: str) -> None:
    """Refuse names with characters that are special to a shell: operators paste them."""
    refused = [name for name in dict.fromkeys(names) if not _NAME.fullmatch(name)]
    if refused:
        raise ConfigError(
            f"{source} prints names with characters other than letters, digits and ._:=+@-: "
            f"{join_first([show(name) for name in refused], _NAMED)}",
            hint="let the program print other names; the variable ansible_host takes the address",
        )


def list_known(source: str) -> tuple[Host, ...]:
    """List none: completion does not run programs."""
    return ()


def _parse_timeout(text: str | None, command: str) -> float:
    if text is None:
        return LIMIT_S
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 3600):
        raise ConfigError(f"{command}: timeout is a number of seconds from 1 to 3600")
    return float(text)


def _parse_argv(text: str) -> list[str]:
    """Parse a path, or words split as by a shell; `./` is optional, as for Ansible."""
    try:
        argv = [text] if Path(text).expanduser().is_file() else shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"command:{text}: {error}") from None
    if not argv:
        raise ConfigError("command: needs a program", hint="for example -i command:./list-hosts")
    program = Path(argv[0]).expanduser()
    return [str(program.absolute()) if program.is_file() else argv[0], *argv[1:]]
