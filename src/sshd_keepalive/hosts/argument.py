"""The argument of `KIND:ARGUMENT`, with the options of some kinds: `openstack:mycloud?address=public&zone=eu-1`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.spelling import did_you_mean, show


def split(argument: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """Split an argument at `?` into its name and its options, unless a file has the whole argument as its name.

    Raises:
        ConfigError: an option is not known, is given twice or has no value.
    """
    named, question, rest = argument.partition("?")
    if not question or Path(argument).expanduser().exists():
        return argument, {}
    options: dict[str, str] = {}
    for part in rest.split("&"):
        key, _, value = part.partition("=")
        if key not in known:
            raise ConfigError(
                f"{named}: {show(key)} is not an option of this kind{did_you_mean(key, known)}",
                hint=f"use one of {', '.join(known)}" if known else "leave it out",
            )
        if key in options or not value:
            raise ConfigError(f"{named}: give {key} once, as {key}=VALUE")
        options[key] = value
    return named, options
