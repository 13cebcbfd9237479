"""The table of the settings of hosts, groups and `defaults`. Both the checker and the JSON Schema use it.

First the shapes that values may have: each reads a node into a value, and describes itself as JSON Schema. `read` never
raises: it notes the mistake in the document and gives None, which is not a value of any shape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sshd_keepalive import registry
from sshd_keepalive.config import values
from sshd_keepalive.config.document import Node, Pairs, YamlDocument
from sshd_keepalive.hosts.assemble import Part, Settings, SourcedValue
from sshd_keepalive.hosts.target import parse_address, parse_user
from sshd_keepalive.model import Become, ServiceChoice, Waiver
from sshd_keepalive.planning.policy import read_value, refuse_mixture
from sshd_keepalive.spelling import show

Schema = dict[str, Any]


class Shape(Protocol):
    """The form of a setting's value."""

    def read(self, node: Node, document: YamlDocument) -> Any:
        """Give the value; None, and a mistake in the document, when the node is wrong."""

    def to_schema(self) -> Schema:
        """Give the JSON Schema."""


@dataclass(frozen=True, slots=True)
class Text:
    """One value, checked by a function that raises ValueError."""

    parse: Callable[[str], Any]
    json: Mapping[str, Any]

    def read(self, node: Node, document: YamlDocument) -> Any:
        """Give the parsed text."""
        text = document.read_text(node)
        if text is None:
            return None
        try:
            return self.parse(text)
        except ValueError as error:
            document.add_mistake(node, str(error))
            return None

    def to_schema(self) -> Schema:
        """Give the JSON Schema."""
        return dict(self.json)


@dataclass(frozen=True, slots=True)
class Local(Text):
    """A value that is a path on this machine, or holds one after `prefix`; relative to the folder of the file."""

    prefix: str = ""

    def read(self, node: Node, document: YamlDocument) -> Any:
        """Give the value with an absolute path."""
        value = Text.read(self, node, document)
        if value is None or not value.startswith(self.prefix):
            return value
        path = os.path.expanduser(value[len(self.prefix) :])  # noqa: PTH111 - pathlib raises for an unknown user
        if path.startswith("~"):
            document.add_mistake(node, "the user does not exist on this machine, so '~' has no meaning")
        return self.prefix + os.path.join(document.folder, path)  # noqa: PTH118 - no object per host


@dataclass(frozen=True, slots=True)
class Many:
    """A list, or one text with commas."""

    entry: Text

    def read(self, node: Node, document: YamlDocument) -> tuple[Any, ...] | None:
        """Give all entries as a tuple; None if one of them is wrong."""
        if node.kind == "list":
            values = [self.entry.read(one, document) for one in node.value]
            return None if None in values else tuple(values)
        whole = Text(lambda text: tuple(self.entry.parse(part.strip()) for part in text.split(",")), {})
        value: tuple[Any, ...] | None = whole.read(node, document)
        return value

    def to_schema(self) -> Schema:
        """Give the JSON Schema."""
        return {"anyOf": [self.entry.to_schema(), {"type": "array", "items": self.entry.to_schema()}]}


@dataclass(frozen=True, slots=True)
class Free:
    """A mapping with free keys."""

    key: Text
    value: Text

    def read(self, node: Node, document: YamlDocument) -> dict[str, Any] | None:
        """Give the valid entries."""
        pairs = document.read_pairs(node)
        read = {self.key.read(key, document): self.value.read(value, document) for key, value in pairs.values()}
        return {key: value for key, value in read.items() if key is not None and value is not None}

    def to_schema(self) -> Schema:
        """Give the JSON Schema."""
        return {"type": "object", "propertyNames": self.key.to_schema(), "additionalProperties": self.value.to_schema()}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section."""

    shape: Shape
    about: str  # description for the reference and for editors
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys. `build` makes the value; its ValueError is a mistake of the whole mapping."""

    fields: Mapping[str, Field]
    build: Callable[[dict[str, Any]], Any] = dict
    short: Text | None = None  # a short form that replaces the mapping

    def read(self, node: Node, document: YamlDocument) -> Any:
        """Give the built value; None if a key is missing or a value is wrong."""
        if self.short and node.kind == "text":
            return self.short.read(node, document)
        entries = document.read_fields(node, self.fields)
        values = {key: self.fields[key].shape.read(value, document) for key, (_, value) in entries.items()}
        missing = [key for key, field in self.fields.items() if field.required and key not in entries]
        if missing:
            document.add_mistake(node, f"{' and '.join(missing)} must be given here")
        if missing or None in values.values():
            return None
        try:
            return self.build(values)
        except ValueError as error:
            document.add_mistake(node, str(error))
            return None

    def to_schema(self) -> Schema:
        """Give the JSON Schema."""
        properties = {
            key: {**field.shape.to_schema(), "description": field.about} for key, field in self.fields.items()
        }
        required = [key for key, field in self.fields.items() if field.required]
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        return {"anyOf": [self.short.to_schema(), schema]} if self.short else schema


STRING: Final = {"type": "string", "minLength": 1}
NAME: Final = Text(
    values.parse_name, {"type": "string", "pattern": r"^[^!&~@\s,/*?\[\]-][^\s,/*?\[\]]*$", "maxLength": 253}
)
LINE: Final = Text(values.parse_line, STRING)
LABEL: Final = Text(values.parse_line, {"type": ["string", "number"]})
ADDRESS: Final = Text(parse_address, STRING)
PORT: Final = Text(values.parse_port_number, {"type": "integer", "minimum": 1, "maximum": 65535})
LOCAL_PATH: Final = Local(values.parse_line, STRING)
REMOTE_PATH: Final = Text(values.parse_remote_path, {"type": "string", "pattern": "^/"})
DAY: Final = Text(values.parse_day, {"type": "string", "format": "date"})
SECRET: Final = Local(
    values.parse_reference,
    {"type": "string", "pattern": "^(env:|file:|keyring:.+/|command:).|^prompt$"},
    prefix="file:",
)
FINGERPRINT: Final = Text(values.parse_fingerprint, {"type": "string", "pattern": "^SHA256:[A-Za-z0-9+/]{43}=?$"})


def _allow_only(*words: str) -> Text:
    return Text(values.allow_only(*words), {"enum": list(words)})


METHOD: Final = _allow_only("sudo", "doas", "none")


def _parse_manager(text: str) -> str:
    if not registry.is_known("services", text):
        managers = registry.list_names("services")
        raise ValueError(f"{show(text)} is not valid here: use {values.list_choices(managers)}")
    return text


_SERVICE_NEEDS: Final = {"command": ("restart", "is_active"), "pidfile": ("pidfile",)}


def _build_service(values: dict[str, Any]) -> ServiceChoice:
    manager = values.get("manager", "")
    needed = _SERVICE_NEEDS.get(manager, ())
    if missing := [key for key in needed if key not in values]:
        raise ValueError(f"manager {manager} needs {' and '.join(missing)}")
    if surplus := [key for key in values if key not in ("manager", *(needed or ("unit",)))]:
        owners = {key: owner for owner, keys in _SERVICE_NEEDS.items() for key in keys}
        raise ValueError(
            "; ".join(
                f"`{key}` needs `manager: {owners[key]}`"
                if key in owners
                else f"`{key}` does not go with `manager: {manager}`"
                for key in surplus
            )
        )
    return ServiceChoice(**values)


def _check_policy_value(keyword: str) -> Callable[[str], int | str]:
    """Check one value of a policy by itself; combinations are checked with the whole policy of each host."""

    def check(text: str) -> int | str:
        value = values.parse_number(text) if text[:1].isdigit() and not text[-1:].isalpha() else text
        read_value(keyword, value)
        return value

    return check


def _build_policy(values: dict[str, Any]) -> dict[str, Any]:
    refuse_mixture(values)
    return values


_SECONDS: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": "^([0-9]+[sSmMhHdDwW])*[0-9]*$", "minLength": 1},
    ]
}
POLICY: Final = Section(
    {
        "ClientAliveInterval": Field(
            Text(_check_policy_value("ClientAliveInterval"), _SECONDS), "Seconds between keep-alives, 300 or 5m."
        ),
        "ClientAliveCountMax": Field(
            Text(_check_policy_value("ClientAliveCountMax"), {"type": "integer", "minimum": 0}),
            "Unanswered keep-alives after which sshd drops the session.",
        ),
        "keep_alive_every": Field(
            Text(_check_policy_value("keep_alive_every"), _SECONDS),
            "In place of the two: the longest idle time before sshd sends a keep-alive, on any release.",
        ),
        "drop_dead_after": Field(
            Text(_check_policy_value("drop_dead_after"), _SECONDS),
            "With keep_alive_every: the longest time until a dead session is dropped, 20m.",
        ),
        "match_overrides": Field(
            Text(_check_policy_value("match_overrides"), {"enum": ["override", "keep"]}),
            "override: change other values inside Match blocks too; keep: keep and list them.",
        ),
        "strategy": Field(
            Text(_check_policy_value("strategy"), {"enum": ["edit", "drop-in"]}),
            "edit: change the line that decides; drop-in: write a separate file that sshd reads first.",
        ),
    },
    build=_build_policy,
)
BECOME: Final = Section(
    {
        "method": Field(METHOD, "How the login becomes root."),
        "password": Field(SECRET, "Reference to the password that sudo asks for. doas needs `permit nopass`."),
    },
    build=lambda given: Become(**given),
    short=Text(lambda method: Become(method=METHOD.parse(method)), METHOD.json),
)
SERVICE: Final = Section(
    {
        "manager": Field(Text(_parse_manager, STRING), "The service manager, for example systemd, command or pidfile."),
        "unit": Field(LINE, "The unit, for example ssh.service."),
        "pidfile": Field(REMOTE_PATH, "With manager pidfile: the file that sshd writes its process number to."),
        "restart": Field(LINE, "With manager command: the shell command that restarts sshd."),
        "is_active": Field(LINE, "With manager command: the shell command that exits 0 while sshd is up."),
    },
    build=_build_service,
)
WAIVER: Final = Section(
    {
        "reason": Field(LINE, "Why this host may differ.", required=True),
        "owner": Field(LINE, "Who is responsible for it.", required=True),
        "until": Field(DAY, "The last day of the waiver, 2027-01-31.", required=True),
    },
    build=lambda given: Waiver(**given),
)

HOST: Final[Mapping[str, Field]] = {
    "address": Field(ADDRESS, "Host name or IP address to connect to. Default: the name of the host."),
    "port": Field(PORT, "TCP port of sshd. Default: 22."),
    "user": Field(Text(parse_user, STRING), "Login name. Default: the account that runs the program."),
    "identity_file": Field(LOCAL_PATH, "Private key. Default: the agent, then the usual files of ssh."),
    "certificate_file": Field(LOCAL_PATH, "Certificate that belongs to the private key."),
    "password": Field(SECRET, "Reference to the login password."),
    "become": Field(
        BECOME,
        "How the login becomes root: sudo (default), doas, none, or a mapping with `method: sudo` and `password`.",
    ),
    "jump": Field(
        Many(Text(values.parse_hop, STRING)),
        "Hosts to go through, first hop first: names of this inventory or user@name:port. none: go directly.",
    ),
    "known_hosts": Field(LOCAL_PATH, "File with known host keys. Default: the user's and the system's."),
    "host_keys": Field(
        _allow_only("ask", "strict", "accept-new"),
        "How to treat an unknown host key. ask (default): ask on a terminal, otherwise refuse it; "
        "strict: refuse it; accept-new: write it to known_hosts.",
    ),
    "host_key": Field(FINGERPRINT, "Pinned fingerprint of the host key, SHA256:..."),
    "sshd_config": Field(REMOTE_PATH, "The file sshd reads. Default: /etc/ssh/sshd_config."),
    "sshd": Field(REMOTE_PATH, "The sshd binary. Default: found on the host."),
    "service": Field(SERVICE, "What restarts sshd. Default: found on the host."),
    "policy": Field(POLICY, "What every connection should get. Merged key by key."),
    "waiver": Field(WAIVER, "The host may differ from the policy until a day; it never counts as compliant."),
    "labels": Field(Free(NAME, LABEL), "Free keys and values, for reports. Merged key by key."),
}
#: Settings that several hosts can share.
SHARED: Final = {key: field for key, field in HOST.items() if key != "address"}
#: Settings that are merged key by key; others are replaced as a whole.
MERGED: Final = ("policy", "labels")
#: Keys of other programs' inventories → what to write instead.
MEANT: Final = {
    **dict.fromkeys(("ansible_host", "ansible_ssh_host", "host", "hostname", "HostName", "ip"), "write 'address'"),
    **dict.fromkeys(("ansible_port", "ansible_ssh_port", "Port"), "write 'port'"),
    **dict.fromkeys(("ansible_user", "ansible_ssh_user", "username", "login", "User"), "write 'user'"),
    **dict.fromkeys(("ansible_ssh_private_key_file", "private_key", "key", "IdentityFile"), "write 'identity_file'"),
    **dict.fromkeys(("ansible_become_method", "sudo"), "write 'become'"),
    **dict.fromkeys(("ansible_password", "ansible_ssh_pass"), "write 'password' with a reference such as env:NAME"),
    **dict.fromkeys(("bastion", "proxy", "proxyjump", "ProxyJump", "proxy_jump"), "write 'jump'"),
    "vars": "settings belong directly below the group",
    "children": "groups inside a group belong below 'groups'",
    "tags": "write 'labels'",
}


def read_settings(pairs: Pairs, document: YamlDocument) -> Settings:
    """Read the settings of a host, a group or `defaults`; wrong ones become mistakes and are left out."""
    settings: Settings = {}
    for key, (_, node) in pairs.items():
        value = HOST[key].shape.read(node, document)
        if value is None:
            continue
        if key in MERGED:
            settings.update((Part(key, part), SourcedValue(one, node)) for part, one in value.items())
        else:
            settings[key] = SourcedValue(value, node)
    return settings
