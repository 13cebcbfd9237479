"""Which files an Include names: glob(3) over a set of paths, without looking at a disk.

sshd calls glob() with no flags in the C locale: no tilde, no braces, a leading dot only by a literal dot, and
the result sorted by bytes. Sources: glob(3), glob(7); servconf.c, sInclude.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from sshd_keepalive.core.version import Version
from sshd_keepalive.model import Line

_MAGIC: Final = re.compile(r"[*?\[]")
_CLASSES: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \t", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
    "xdigit": "0-9A-Fa-f", "space": " \t\n\r\f\v", "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
}  # fmt: skip


def absolute(pattern: str, config_dir: str, version: Version) -> str | None:
    """The pattern sshd hands to glob(): relative ones are below the configuration directory.

    None for what never finds a file: a tilde, which is not expanded, and relative patterns in 8.2.
    """
    if pattern.startswith("/"):
        return pattern
    if pattern.startswith("~") or not version.relative_include:
        return None
    return f"{config_dir.rstrip('/')}/{pattern}"


def patterns(line: Line, config_dir: str, version: Version) -> tuple[str, ...]:
    """The absolute patterns of an Include line that can find a file, in order."""
    words = [token.text.decode("utf-8", "surrogateescape") for token in line.arguments]
    if not version.at_least(8, 7) and "" in words:  # an empty word ends the list there
        words = words[: words.index("")]
    found = (absolute(word, config_dir, version) for word in words)
    return tuple(pattern for pattern in found if pattern is not None)


def is_literal(pattern: str) -> bool:
    """Whether a pattern names one path and nothing else."""
    return _MAGIC.search(pattern) is None and "\\" not in pattern


def expand(pattern: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` that a pattern names, in the order of sshd."""
    compiled = _compiled(pattern)
    return tuple(path for raw, path in sorted((as_bytes(path), path) for path in paths) if compiled.match(_text(raw)))


def covers(pattern: str, path: str) -> bool:
    """Whether a pattern names the path."""
    return _compiled(pattern).match(_text(as_bytes(path))) is not None


def as_bytes(path: str) -> bytes:
    """A path as the kernel and sshd see it; also the order of glob()."""
    return path.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    """One letter for each byte: in the C locale `?` is a byte."""
    return raw.decode("latin-1")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    components = _text(as_bytes(pattern)).split("/")
    return re.compile("/".join(map(_component, components)) + r"\Z", re.DOTALL)


def _component(part: str) -> str:
    """One path component as a regular expression.

    What stands between two stars is matched at its first occurrence and never again (an atomic group), which
    keeps many stars from taking exponential time.
    """
    pieces = [""]
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "[":
            text, at = _bracket(part, at) or (r"\[", at)
            pieces[-1] += text
        elif char == "\\" and at < len(part):
            pieces[-1] += re.escape(part[at])
            at += 1
        else:
            pieces[-1] += re.escape(char)
    hidden = r"(?!\.)" if _MAGIC.match(part) else ""
    first, *rest = pieces
    if not rest:
        return hidden + first
    *middle, last = rest
    return hidden + first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece) + f"[^/]*{last}"


def _bracket(part: str, at: int) -> tuple[str, int] | None:
    """A bracket expression that begins behind `[`; None when it is not closed and so means itself."""
    start = at
    negated = part[at : at + 1] in ("!", "^")
    at += negated
    out = ""
    while at < len(part):
        char = part[at]
        if char == "]" and at > start + negated:
            return f"(?:(?!/)[{'^' if negated else ''}{out}])" if out else r"(?!)", at + 1
        if part.startswith("[:", at) and (close := part.find(":]", at + 2)) > 0:
            out += _CLASSES.get(part[at + 2 : close], "")
            at = close + 2
            continue
        if char == "\\" and at + 1 < len(part):
            at += 1
            char = part[at]
        at += 1
        if part[at : at + 1] == "-" and part[at + 1 : at + 2] not in ("", "]"):
            last = part[at + 1]
            out += f"{re.escape(char)}-{re.escape(last)}" if char <= last else ""
            at += 2
        else:
            out += re.escape(char)
    return None
