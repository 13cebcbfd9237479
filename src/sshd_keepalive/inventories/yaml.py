"""The native inventory: one YAML file of defaults, groups and hosts. Its keys are the table in `config.settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sshd_keepalive.config import document as documents
from sshd_keepalive.config.document import Node, Pairs, YamlDocument
from sshd_keepalive.config.settings import ADDRESS, HOST, MEANT, NAME, POLICY, SHARED, read_settings
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts import ranges
from sshd_keepalive.hosts.assemble import Group, HostEntry, Part, Settings, SourcedValue, assemble, select_parts
from sshd_keepalive.hosts.target import parse_address
from sshd_keepalive.model import Host

TOP: Final = ("defaults", "policy", "groups", "hosts")
MEMBERS: Final = ("groups", "hosts")
MOST_HOSTS: Final = 1_000_000
RESERVED: Final = ("all", "ungrouped")  # what `--limit` calls every host, and the hosts without a group

_NOT_SHARED: Final = {"address": "an address belongs to one host"}
_FOREIGN: Final = {
    "all": "this looks like an Ansible inventory: there 'all' holds everything, here 'groups' and 'hosts' do",
    "inventory": "'groups' and 'hosts' belong at the top level",
}
_WORD_END: Final = re.compile(r"[\s:]")
_TOP_KEY: Final = re.compile(rb"^(defaults|policy|groups|hosts)[ \t]*:", re.MULTILINE)


def can_load(head: bytes, path: str) -> bool:
    """Recognise one of the top keys at the beginning of a line."""
    return _TOP_KEY.search(head) is not None


def load(source: str) -> tuple[Host, ...]:
    """Load the hosts of a file, in its order.

    Raises:
        ConfigError: all mistakes of the file, each as `path:line:column: what is wrong`.
    """
    document = documents.read(str(Path(source).expanduser()))
    if document.root is None or document.root.is_empty:
        raise ConfigError(f"{source}: the file is empty", hint="begin with `hosts:`")
    reader = _InventoryReader(document)
    try:
        reader.read(document.root)
    except RecursionError:
        raise ConfigError(f"{source}: `<<` and aliases are nested too deeply") from None
    document.raise_mistakes()
    hosts = assemble(reader.entries, reader.defaults, document.add_mistake)
    document.raise_mistakes()
    return hosts


class _InventoryReader:
    """Reads nodes into entries."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self.defaults: Settings = {}
        self._groups: dict[str, Node] = {}
        self.entries: dict[str, HostEntry] = {}

    def read(self, root: Node) -> None:
        """Read the whole file into entries."""
        top = self._document.read_fields(root, TOP, meant=MEANT | _FOREIGN)
        if "defaults" in top:
            pairs = self._document.read_fields(top["defaults"][1], SHARED, meant=MEANT | _NOT_SHARED)
            self.defaults = read_settings(pairs, self._document)
        if "policy" in top:
            key, node = top["policy"]
            if select_parts("policy", self.defaults):
                self._document.add_mistake(
                    key, "the policy of all hosts is given here and in defaults: keep one of them"
                )
            policy = POLICY.read(node, self._document) or {}
            self.defaults |= {Part("policy", name): SourcedValue(value, node) for name, value in policy.items()}
        self._read_members({name: top[name] for name in top if name in MEMBERS}, None)
        if not self.entries and not self._document.has_mistakes:
            self._document.add_mistake(root, "the file contains no host")

    def _read_members(self, pairs: Pairs, group: Group | None) -> None:
        for what in pairs:  # in the order of the file
            for key, node in self._document.read_pairs(pairs[what][1]).values():
                if what == "hosts":
                    self._read_hosts(key, node, group)
                else:
                    self._read_group(key, node, group)

    def _read_group(self, key: Node, node: Node, parent: Group | None) -> None:
        name = NAME.read(key, self._document)
        if name is None:
            return
        if name in RESERVED:
            self._document.add_mistake(key, f"{name!r} has a meaning of its own in --limit; choose another name")
        if name in self._groups:
            line = self._groups[name].line
            self._document.add_mistake(key, f"group {name!r} is given twice, first in line {line}")
            return  # also what ends a group that an alias puts into itself
        self._groups[name] = key
        pairs = self._document.read_fields(node, (*SHARED, *MEMBERS), meant=MEANT | _NOT_SHARED)
        members = {name: pairs.pop(name) for name in [name for name in pairs if name in MEMBERS]}
        self._read_members(members, Group(name=name, parent=parent, settings=read_settings(pairs, self._document)))

    def _read_hosts(self, key: Node, node: Node, group: Group | None) -> None:
        names = self._read_names(key)
        settings = self._read_host(node)
        addresses = self._expand_addresses(names, settings)
        if len(self.entries) + len(names) > MOST_HOSTS:
            raise ConfigError(f"{self._document.path}:{key.line}: more than {MOST_HOSTS:,} hosts")
        for index, name in enumerate(names):
            own = {**settings, "address": SourcedValue(addresses[index], key)} if addresses else settings
            if name in self.entries:
                self._join(name, key, own, group)
            else:
                self.entries[name] = HostEntry(at=key, settings=own, mentions=(group,))

    def _read_names(self, key: Node) -> tuple[str, ...]:
        text = self._document.read_text(key)
        try:
            names = ranges.expand(text) if text else ()
            for name in (names[0], names[-1]) if names else ():  # the names between them differ in digits only
                NAME.parse(name)
        except ValueError as error:
            self._document.add_mistake(key, str(error))
            return ()
        return names

    def _read_host(self, node: Node) -> Settings:
        if node.is_empty:
            return {}
        if node.kind == "text":
            text = self._document.read_text(node)
            return {} if text is None else self._read_address(text, node)
        pairs = self._document.read_fields(node, HOST, meant=MEANT)
        settings: Settings = {}
        if "address" in pairs:
            _, at = pairs.pop("address")
            text = self._document.read_text(at)
            settings = {} if text is None else self._read_address(text, at)
        return settings | read_settings(pairs, self._document)

    def _read_address(self, text: str, node: Node) -> Settings:
        word = _WORD_END.split(text, maxsplit=1)[0]
        if word != text and word in HOST:  # for `password:secret` or `password secret` the text is not repeated
            self._document.add_mistake(node, f"{word!r} needs a ':' and a space after it")
            return {}
        if ranges.has_range(text):
            return {"address": SourcedValue(text, node)}  # checked in _expand_addresses
        value = ADDRESS.read(node, self._document)
        return {} if value is None else {"address": SourcedValue(value, node)}

    def _expand_addresses(self, names: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
        """Expand the addresses of a range of hosts, one for each name; empty when each name is its own address."""
        address = settings.get("address")
        if address is None or not (len(names) > 1 or ranges.has_range(address.value)):
            return ()
        try:
            texts = ranges.expand(address.value)
            if names and len(texts) != len(names):
                raise ValueError(f"hosts: {len(names)}, addresses: {len(texts)}; both ranges must be equally long")
            return tuple(parse_address(one) for one in texts)
        except ValueError as error:
            self._document.add_mistake(address.at, str(error))
            return ()

    def _join(self, name: str, key: Node, settings: Settings, group: Group | None) -> None:
        """Add another mention of a host: in one more group, or with more settings."""
        entry = self.entries[name]
        if group in entry.mentions:
            self._document.add_mistake(key, f"host {name!r} is given twice, first in line {entry.at.line}")
        for setting in settings.keys() & entry.settings.keys():
            if settings[setting].value != entry.settings[setting].value:
                line = entry.settings[setting].at.line
                self._document.add_mistake(settings[setting].at, f"{setting} of {name!r} is different in line {line}")
        entry.settings = {**entry.settings, **settings}
        entry.mentions = (*entry.mentions, group)
