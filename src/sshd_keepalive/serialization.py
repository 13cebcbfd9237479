"""The types of `model` as JSON text, and back. What a newer release added is left out by an older one."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar

from cattrs.preconf.json import JsonConverter, make_converter

from sshd_keepalive.model import Span

_T = TypeVar("_T")


def write(value: Any) -> str:
    """Give a value as ASCII text: undecodable bytes of a host are lone surrogates, which no database takes."""
    return json.dumps(_build_converter().unstructure(value), separators=(",", ":"))


def read(text: str, of: type[_T]) -> _T:
    """Give the value; every field is checked and has its type.

    Raises:
        ValueError: the text is not what `write` makes of such a value.
    """
    try:
        return _build_converter().structure(json.loads(text), of)
    except Exception as error:  # cattrs raises what the types raise
        raise ValueError(f"not a {of.__name__}: {type(error).__name__}: {error}") from None


@cache
def _build_converter() -> JsonConverter:
    converter = make_converter(omit_if_default=True, detailed_validation=False)
    # Its annotations are text, which cattrs does not look up for named tuples.
    converter.register_structure_hook(Span, lambda pair, _: Span(*pair))
    return converter
