"""The JSON Schema of the native inventory, made from the same table that checks it.

`python -m sshd_keepalive.config.schema` prints it; the copy beside this file is what editors use.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from sshd_keepalive.config.settings import HOST, NAME, SHARED

Schema = dict[str, Any]


def inventory_schema() -> Schema:
    """Give the schema, draft 2020-12."""
    own: Schema = {key: {"$ref": f"#/$defs/{key}"} for key in HOST}
    shared: Schema = {key: own[key] for key in SHARED}
    members: Schema = {
        "hosts": {"$ref": "#/$defs/hosts"},
        "groups": {"$ref": "#/$defs/groups"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Inventory of sshd-keepalive",
        "description": "Hosts, alone and in groups, and what holds for them.",
        **_mapping({"defaults": _or_empty(_mapping(shared)), "policy": {"$ref": "#/$defs/policy"}, **members}),
        "$defs": {
            **{key: {"description": field.about, **field.shape.schema()} for key, field in HOST.items()},
            "hosts": _named({"anyOf": [{"$ref": "#/$defs/address"}, _or_empty(_mapping(own))]}, ranges=True),
            "groups": _named(_or_empty(_mapping({**shared, **members}))),
        },
    }


def _mapping(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _or_empty(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _named(value: Schema, *, ranges: bool = False) -> Schema:
    """Keys of the user's own choice; a range brings brackets into the name."""
    keys = {} if ranges else {"propertyNames": NAME.schema()}
    return {"type": ["object", "null"], **keys, "additionalProperties": value}


def text() -> str:
    """Give the schema as it is published."""
    return json.dumps(inventory_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
