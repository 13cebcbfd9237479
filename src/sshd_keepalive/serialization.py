"""Convert the types of `model` to JSON text, and back. An older release ignores fields of a newer one."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sshd_keepalive.model import Span

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

_T = TypeVar("_T")


def write(value: Any) -> str:
    """Write a value as ASCII text: undecodable bytes of a host are lone surrogates, which databases refuse."""
    return json.dumps(_build_converter().unstructure(value), separators=(",", ":"))


def read(text: str, of: type[_T]) -> _T:
    """Read a value; every field is checked and has its type.

    Raises:
        ValueError: `write` does not produce this text for the type.
    """
    try:
        return _build_converter().structure(json.loads(text), of)
    except Exception as error:  # cattrs raises what the types raise
        raise ValueError(f"not a {of.__name__}: {type(error).__name__}: {error}") from None


@cache
def _build_converter() -> JsonConverter:
    from cattrs.preconf.json import make_converter  # the help, and the man pages, are made without it

    converter = make_converter(omit_if_default=True, detailed_validation=False)
    # cattrs does not evaluate the annotations of named tuples.
    converter.register_structure_hook(Span, lambda pair, _: Span(*pair))
    return converter
