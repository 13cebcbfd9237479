"""Parse single values: text → value, or a ValueError that names the valid form. No file is read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.hosts.target import parse_port, parse_target
from sshd_keepalive.spelling import show

_ENVIRONMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SEXAGESIMAL: Final = re.compile(r"[0-9]+(:[0-5]?[0-9])+")
_OTHER_BASE: Final = re.compile(r"0[0-7_]+|0[xXob][0-9A-Fa-f_]+|[0-9]+_[0-9_]+")
_FORBIDDEN_IN_NAMES: Final = re.compile(r"[\s,/*?\[\]]")


def parse_line(text: str) -> str:
    """Parse one line of printable text.

    Raises:
        ValueError: empty, or with control characters.
    """
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{show(text)} is not one line of printable text")
    return text


def parse_name(text: str) -> str:
    """Parse the name of a host, a group or a label: what `--limit` and a file name can hold.

    Raises:
        ValueError: white space, control characters, `, / * ? [ ]` anywhere, or `! & ~ @ -` in front.
    """
    if not text.isprintable() or len(text) > 253:
        raise ValueError(f"{show(text)} is not a valid name: it contains a control character or is too long")
    if not text or text[0] in "!&~@-" or _FORBIDDEN_IN_NAMES.search(text):
        rule = "a name has no white space and none of , / * ? [ ], and does not begin with ! & ~ @ -"
        raise ValueError(f"{show(text)} is not a valid name: {rule}")
    return text


def parse_remote_path(text: str) -> str:
    """Parse a path on the host.

    Raises:
        ValueError: not absolute.
    """
    if not parse_line(text).startswith("/"):
        raise ValueError(f"{show(text)} is a path on the host and must begin with '/'")
    return text


def parse_number(text: str) -> int:
    """Parse a whole number in plain decimal digits.

    Raises:
        ValueError: anything else, especially what YAML 1.1 silently reads as another number.
    """
    if _SEXAGESIMAL.fullmatch(text):
        raise ValueError(f"YAML reads {text} as a number in base 60; write plain digits")
    if _OTHER_BASE.fullmatch(text):
        raise ValueError(f"YAML reads {text} as another number; write plain decimal digits")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{show(text)} is not a whole number")
    return int(text)


def parse_hop(text: str) -> str:
    """Parse one jump host: a name of the inventory, `user@name:port`, or `none`.

    Raises:
        ValueError: none of these.
    """
    if not text:
        raise ValueError("a jump host is missing; write `none` for a direct connection")
    if "@" not in text and ":" not in text:
        return parse_name(text)
    try:
        parse_target(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def parse_port_number(text: str) -> int:
    """Parse a TCP port.

    Raises:
        ValueError: not a whole number from 1 to 65535.
    """
    return parse_port(str(parse_number(text)))


def parse_fingerprint(text: str) -> str:
    """Parse a host key's fingerprint as `ssh-keygen -l` prints it.

    Raises:
        ValueError: not SHA256 in unpadded base64.
    """
    bare = text.rstrip("=")
    if not _FINGERPRINT.fullmatch(bare):
        raise ValueError(
            f"{show(text)} is not a fingerprint; write SHA256: and 43 characters, as `ssh-keygen -lf KEY` prints it"
        )
    return bare


def parse_day(text: str) -> date:
    """Parse a day.

    Raises:
        ValueError: not written YYYY-MM-DD.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{show(text)} is not a day; write it as 2027-01-31") from None


def list_choices(words: Sequence[str]) -> str:
    """List two words or more: `sudo, doas or none`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def allow_only(*words: str) -> Callable[[str], str]:
    """Make the check for one of a few words.

    The message does not repeat what was written: `become` stands so close to a password that one may land there.
    """

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"this value is not valid here: use {list_choices(words)}")
        return text

    return check


REFERENCES: Final = "env:NAME, file:PATH, keyring:SERVICE/USER, command:ARGV or prompt"


def is_reference(text: str) -> bool:
    """Whether a text that may also be something else names the place of a secret."""
    return text.startswith(("env:", "file:", "keyring:", "command:"))


def parse_reference(text: str) -> str:
    """Parse a reference to a secret. No message repeats the text, because it may be the secret itself.

    Raises:
        ValueError: not a complete reference.
    """
    kind, colon, rest = text.partition(":")
    try:
        argv = shlex.split(rest)
    except ValueError:
        argv = []
    complete: dict[str, Any] = {
        "env": _ENVIRONMENT.fullmatch(rest),
        "file": rest and rest.isprintable(),
        "keyring": all(rest.partition("/")),
        "command": argv,
    }
    if text == "prompt" or (colon and complete.get(kind)):
        return text
    if colon and kind in complete:
        raise ValueError(f"this reference to a secret is not complete, the forms are {REFERENCES}")
    raise ValueError(f"a secret must not be in this file; name the place where it is: {REFERENCES}")
