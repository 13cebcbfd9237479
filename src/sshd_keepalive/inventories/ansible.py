"""Ansible's inventories, `ansible:site.ini`: by ansible-inventory where it is installed, else by our own reader.

ansible-inventory runs without `--export`: that option mixes group_vars with the groups' own variables, and
their precedence is lost. Without it Ansible resolves the variables of every host.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Host

PROGRAM: Final = "ansible-inventory"
#: A source that Ansible cannot read is an error, not an empty inventory; messages have no colours.
ENVIRONMENT: Final = {
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_LOCALHOST_WARNING": "false",
}
_NATIVE: Final = re.compile(rb"^(defaults|policy|groups|hosts)[ \t]*:", re.MULTILINE)
_YAML: Final = re.compile(rb"^(?:['\"]?(?:all|ungrouped)['\"]?|plugin)[ \t]*:", re.MULTILINE)
_YAML_GROUP: Final = re.compile(
    rb"^[\w.-]+[ \t]*:[ \t]*\r?\n(?:[ \t]*(?:#.*)?\r?\n)*[ \t]+(hosts|vars|children)[ \t]*:", re.MULTILINE
)
_INI: Final = re.compile(rb"^\[[^\]\s,:]+(:\w+)?\][ \t]*(#.*)?\r?$|^[^\s#:]+[ \t]+ansible_\w+=", re.MULTILINE)
_BARE: Final = re.compile(
    rb"(?:[ \t]*(?:[#;].*)?\r?\n"
    rb"|(?:[\w.-]+(?:\[\w+:\w+\][\w.-]*)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?[ \t]*(?:#.*)?\r?(?:\n|\Z))+"
)


def can_load(head: bytes, path: str) -> bool:
    """Recognise sections, `ansible_` variables, `all:`, or one bare name per line."""
    if _NATIVE.search(head) or head.startswith(b"#!"):  # a native inventory, or a program
        return False
    if _YAML.search(head) or _YAML_GROUP.search(head) or _INI.search(head):
        return True
    return (
        bool(head.strip())
        and _BARE.fullmatch(head[: head.rfind(b"\n") + 1] if len(head) >= 65536 else head) is not None
    )


def list_known(source: str) -> tuple[Host, ...]:
    """List the hosts of plain files, with our own reader."""
    from sshd_keepalive.config import ansible, ansible_files

    return ansible.build_hosts(ansible_files.read(Path(source).expanduser()))


def load(source: str) -> tuple[Host, ...]:
    """Load the hosts of an inventory of Ansible.

    Raises:
        ConfigError: all mistakes.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise ConfigError(f"{source}: the file does not exist")
    if program := shutil.which(PROGRAM):
        from sshd_keepalive.config import ansible
        from sshd_keepalive.config.program import run_program

        printed = run_program([program, "--list", "-i", str(path)], environment=ENVIRONMENT)
        return ansible.build_hosts(ansible.read_json(printed, str(path)))
    if path.is_dir():
        raise ConfigError(
            f"{source}: a directory of inventories needs {PROGRAM}", hint="install it: pip install ansible-core"
        )
    return list_known(source)
