"""Find the modules of the plural packages: each module is an extension.

A kind is such a package (`services`, `inventories`, `reports`, ...). Modules in its directory are found by
listing, those of other distributions by the entry point group `sshd_keepalive.<kind>`. Both satisfy the one
`Protocol` in the package's `__init__`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Protocol

from sshd_keepalive.errors import ExtensionError
from sshd_keepalive.spelling import did_you_mean

PACKAGE = __name__.rpartition(".")[0]


def list_names(kind: str) -> tuple[str, ...]:
    """List all extensions of a kind, sorted; only the package itself is imported."""
    return tuple(sorted({*list_built_in(kind), *_find_entry_points(kind)}))


def is_known(kind: str, name: str) -> bool:
    """Tell whether there is an extension; installed distributions are read only when no built-in one has the name."""
    return name in list_built_in(kind) or name in _find_entry_points(kind)


@cache
def list_built_in(kind: str) -> tuple[str, ...]:
    """List the extensions in the package's own directory, sorted, without reading installed distributions."""
    listed = iter_modules(_import_package(kind).__path__)
    return tuple(sorted(module.name for module in listed if not module.name.startswith("_")))


def load(kind: str, name: str, *, option: str = "") -> Any:
    """Import one extension and check that it satisfies its Protocol.

    Args:
        option: what the user typed the name after, `--format` for example; messages begin with it.
    Returns:
        A module, or the object that an entry point names.
    Raises:
        ExtensionError: the name is unknown, the import fails, or a member of the Protocol is missing.
    """
    named = option or kind
    if name in list_built_in(kind):
        extension: Any = import_module(f"{PACKAGE}.{kind}.{name}")
    elif entry_point := _find_entry_points(kind).get(name):
        try:
            extension = entry_point.load()
        except Exception as error:  # foreign code may raise anything
            raise ExtensionError(f"{named}: {name!r} ({entry_point.value}) cannot be imported: {error!r}") from error
    else:
        names = list_names(kind)
        message = f"{named}: {name!r} is not known{did_you_mean(name, names)}"
        raise ExtensionError(message, hint=f"use one of {', '.join(names)}")
    contract = _find_protocol(_import_package(kind))
    if not isinstance(extension, contract):
        missing = ", ".join(sorted(member for member in _list_members(contract) if not hasattr(extension, member)))
        raise ExtensionError(f"{named}: {name!r} does not satisfy the Protocol {contract.__name__}: it lacks {missing}")
    return extension


def _import_package(kind: str) -> ModuleType:
    return import_module(f"{PACKAGE}.{kind}")


@cache
def _find_entry_points(kind: str) -> dict[str, Any]:
    from importlib.metadata import entry_points  # 35 ms

    return {entry_point.name: entry_point for entry_point in entry_points(group=f"{PACKAGE}.{kind}")}


def _find_protocol(package: ModuleType) -> type:
    """Find the Protocol in the package's `__init__`; `typing.is_protocol` exists from Python 3.13 on."""
    own = (value for value in vars(package).values() if getattr(value, "__module__", "") == package.__name__)
    protocols = [value for value in own if isinstance(value, type) and getattr(value, "_is_protocol", False)]
    if len(protocols) != 1:
        raise ExtensionError(f"{package.__name__} must contain one Protocol, it contains {len(protocols)}")
    return protocols[0]


def _list_members(contract: type) -> set[str]:
    ordinary = set(dir(type("Ordinary", (Protocol,), {}))) | {"__abstractmethods__", "__annotations__"}
    named = {name for name in vars(contract) if name not in ordinary and not name.startswith("_")}
    return named | set(getattr(contract, "__annotations__", {}))
