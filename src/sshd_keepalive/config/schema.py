"""The JSON Schema of the native inventory, from the same table that checks inventories.

`python -m sshd_keepalive.config.schema` prints it; `make docs` writes it to docs/reference.
"""

from __future__ import annotations

import json
import sys

from sshd_keepalive.config.settings import HOST, NAME, SHARED, Schema


def build() -> Schema:
    """Build the schema, draft 2020-12."""
    own: Schema = {key: {"$ref": f"#/$defs/{key}"} for key in HOST}
    shared: Schema = {key: own[key] for key in SHARED}
    members: Schema = {
        "hosts": {"$ref": "#/$defs/hosts"},
        "groups": {"$ref": "#/$defs/groups"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Inventory of sshd-keepalive",
        "description": "Hosts and groups, with their settings.",
        **_make_mapping(
            {"defaults": _allow_empty(_make_mapping(shared)), "policy": {"$ref": "#/$defs/policy"}, **members}
        ),
        "$defs": {
            **{key: {"description": field.about, **field.shape.to_schema()} for key, field in HOST.items()},
            "hosts": _make_map({"anyOf": [{"$ref": "#/$defs/address"}, _allow_empty(_make_mapping(own))]}, ranges=True),
            "groups": _make_map(_allow_empty(_make_mapping({**shared, **members}))),
        },
    }


def _make_mapping(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _allow_empty(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _make_map(value: Schema, *, ranges: bool = False) -> Schema:
    """Describe a mapping with free keys; a range puts brackets into a name."""
    keys = {} if ranges else {"propertyNames": NAME.to_schema()}
    return {"type": ["object", "null"], **keys, "additionalProperties": value}


def render() -> str:
    """Render the schema for publication."""
    return json.dumps(build(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
