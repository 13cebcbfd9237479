"""Shapes of values: each reads a node into a value and says the same thing as JSON Schema.

`read` never raises: it notes the mistake in the document and gives None, which is no value of any shape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sshd_keepalive.config.document import Node, YamlDocument

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
    """One key of a record."""

    shape: Shape
    about: str  # description for the reference and for editors
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
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
