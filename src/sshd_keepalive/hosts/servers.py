"""Servers of a cloud as hosts: selection, names, addresses and groups.

Shape of a server: OpenStack's Compute API, "List Servers Detailed"; what Open Telekom Cloud and Huawei Cloud put into
`metadata` and `tags`: their ECS API references, "Querying Details About ECSs".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from sshd_keepalive.hosts.target import parse_address
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import show

CloudServer = Mapping[str, Any]

#: Metadata that the cloud itself writes; it gives no groups.
_CLOUDS_OWN: Final = re.compile(
    r"_|metering\.|cascaded\.|os_|image_name$|charging_mode$|vpc_?id$|agency_name$", re.IGNORECASE
)
#: The creator of a server chooses its name, and operators paste names into shells.
_NOT_IN_NAMES: Final = re.compile(r"[^\w.:=+@-]+")
_NOT_IN_FRONT: Final = "@-"
_LONGEST: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSelection:
    """The options of a source."""

    address: str = "private"  # private | public | cidr:NETWORK
    prefix: str = ""  # before every name, where two clouds use the same names
    user: str | None = None

    def parse_network(self) -> IPv4Network | IPv6Network | None:
        """Parse the network of `cidr:`.

        Raises:
            ValueError: the text is none of the three forms.
        """
        if self.address in ("private", "public"):
            return None
        word, _, text = self.address.partition(":")
        if word != "cidr":
            raise ValueError(f"address is private, public or cidr:NETWORK, not {show(self.address)}")
        return ip_network(text)


def build_hosts(
    servers: Iterable[CloudServer], wanted: ServerSelection, *, systems: Mapping[str, str]
) -> tuple[Host, ...]:
    """Build a host for every ACTIVE server that does not run Windows, in their order.

    Servers with the same name get the beginning of their id appended. A server without the wanted address stays in the
    list with the reason, so that it is not forgotten.

    Args:
        systems: image id → operating system, for servers whose metadata does not name it.
    """
    active = [server for server in servers if is_active(server) and not _is_windows(server, systems)]
    names = [_choose_name(server) for server in active]
    for length in (8, 36):  # letters of the id, until the names are unique
        often = Counter(names)
        names = [
            name if often[name] == 1 else f"{_choose_name(server)}-{server['id'][:length]}"
            for name, server in zip(names, active, strict=True)
        ]
    return tuple(_build_host(server, wanted.prefix + name, wanted) for name, server in zip(names, active, strict=True))


def is_active(server: CloudServer) -> bool:
    """Whether the server runs."""
    return str(server.get("status", "")).upper() == "ACTIVE"


def find_image(server: CloudServer) -> str | None:
    """Find the image that names the operating system; None: the server names it, or has no image (boot from volume)."""
    image = server.get("image")
    if _find_system(server) or not isinstance(image, dict):
        return None
    return str(image.get("id") or "") or None


def _find_system(server: CloudServer) -> str:
    metadata = server.get("metadata") or {}
    return str(metadata.get("os_type") or metadata.get("__os_type") or "")


def _is_windows(server: CloudServer, systems: Mapping[str, str]) -> bool:
    system = _find_system(server) or systems.get(find_image(server) or "", "")
    return system.lower().startswith("win")


def _build_host(server: CloudServer, name: str, wanted: ServerSelection) -> Host:
    at = _choose_address(server, wanted)
    labels = {"id": str(server["id"]), "name": str(server.get("name") or "")}
    return Host(
        name=name,
        address=at or str(server["id"]),
        user=wanted.user,
        groups=tuple(dict.fromkeys(_list_groups(server))),
        labels=tuple((key, value) for key, value in labels.items() if value.isprintable() and value),
        obstacle="" if at else f"the server has no address that is {wanted.address}",
    )


def _choose_name(server: CloudServer) -> str:
    text = _clean(str(server.get("name") or ""))
    return text or str(server["id"])


def _clean(text: str) -> str:
    """Make a name of a host or a group: letters, digits and `._:=+@-`; all other characters become `_`."""
    return _NOT_IN_NAMES.sub("_", text.strip()).lstrip(_NOT_IN_FRONT)[:_LONGEST]


def _choose_address(server: CloudServer, wanted: ServerSelection) -> str | None:
    """Choose the first wanted address, IPv4 before IPv6."""
    network = wanted.parse_network()
    addresses = list(_list_addresses(server))
    if network is not None:
        fitting = [text for text, _ in addresses if ip_address(text) in network]
    elif wanted.address == "public":
        access = [str(server.get(key) or "") for key in ("accessIPv4", "accessIPv6")]
        fitting = [text for text, kind in addresses if kind == "floating"] + [
            text for text in access if _is_address(text)
        ]
        fitting += [text for text, kind in addresses if kind != "floating" and ip_address(text).is_global]
    else:
        fitting = [text for text, kind in addresses if kind != "floating"]
    return min(fitting, key=lambda text: ip_address(text).version, default=None)


def _list_addresses(server: CloudServer) -> Iterator[tuple[str, str]]:
    for given in (server.get("addresses") or {}).values():
        for one in given:
            if _is_address(text := str(one.get("addr") or "")):
                yield text, str(one.get("OS-EXT-IPS:type") or "fixed")


def _is_address(text: str) -> bool:
    try:
        ip_address(parse_address(text))
    except ValueError:
        return False
    return True


def _list_groups(server: CloudServer) -> Iterator[str]:
    """List the groups of a server: tags as they are; `zone=`, `net=` and `vpc=`; metadata as `KEY=VALUE`."""
    metadata = server.get("metadata") or {}
    for tag in server.get("tags") or ():
        yield from _name_group("", tag)
    yield from _name_group("zone=", server.get("OS-EXT-AZ:availability_zone"))
    for network in server.get("addresses") or {}:
        yield from _name_group("net=", network)
    yield from _name_group("vpc=", metadata.get("vpc_id") or metadata.get("vpcId"))
    for key, value in metadata.items():
        if not _CLOUDS_OWN.match(key):
            yield from _name_group(f"{key}=", value)


def _name_group(what: str, value: Any) -> Iterator[str]:
    text = str(value or "")
    if (
        text
        and len(what + text) <= _LONGEST
        and text.isprintable()
        and (name := _clean(what + text)) not in ("all", "ungrouped")
    ):
        yield name
