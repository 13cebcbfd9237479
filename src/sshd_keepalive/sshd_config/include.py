"""Which files an Include names: sshd's glob over a set of paths, without looking at a disk.

sshd brings a glob of its own wherever the C library's lacks BSD extensions, as on Linux, and calls it with no
flags in the C locale: no tilde, no braces, a leading dot only by a literal dot, `!` alone negates a set, and the
result is sorted by bytes. Sources: openbsd-compat/glob.c; servconf.c, sInclude; asked of real servers in tests/sshd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from sshd_keepalive.sshd_config.document import Line
from sshd_keepalive.sshd_config.tokens import decode, encode
from sshd_keepalive.sshd_config.version import Version

#: Where relative patterns begin: SSHDIR, as all known builds set it.
CONFIG_DIR: Final = "/etc/ssh"
_MAGIC: Final = re.compile(r"[*?\[]")
_DETOUR: Final = re.compile(r"/(?:\.?/)+")
_UP: Final = re.compile(r"(/(?!\.\./)[^/]+)/\.\.(?=/)")
_CHARS: Final = re.compile(r"\\.|.", re.DOTALL)  # an escaped one keeps its backslash, and so is never special
_NEVER: Final = r"(?!)"
_CLASSES: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
    "space": " \t\n\r\f\v", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


def make_absolute(pattern: str, version: Version) -> str | None:
    """Give the pattern sshd hands to glob(): relative ones are below the configuration directory.

    None for what never finds a file: a tilde, which is not expanded, and relative patterns in 8.2.
    """
    if pattern.startswith("/"):
        return pattern
    if pattern.startswith("~") or not version.relative_include:
        return None
    return f"{CONFIG_DIR}/{pattern}"


def list_patterns(line: Line, version: Version) -> tuple[str, ...]:
    """List the absolute patterns of an Include line that can find a file, in order."""
    words = [decode(token.text) for token in line.arguments]
    if not version.at_least(8, 7) and "" in words:  # an empty word ends the list there
        words = words[: words.index("")]
    patterns = (make_absolute(word, version) for word in words)
    return tuple(pattern for pattern in patterns if pattern is not None)


def is_literal(pattern: str) -> bool:
    """Whether a pattern names one path and nothing else."""
    return _MAGIC.search(pattern) is None and "\\" not in pattern


def collapse(pattern: str, paths: Iterable[str]) -> str:
    """Remove `//`, `/./` and `x/..` from a pattern: without a disk, a path is known by one name only.

    A directory that none of `paths` is in does not exist, and nothing is found through it.
    """
    pattern = _DETOUR.sub("/", pattern)
    while (match := _UP.search(pattern)) and any(path.startswith(pattern[: match.end(1)] + "/") for path in paths):
        pattern = pattern[: match.start()] + pattern[match.end() :]
    return pattern


def expand(pattern: str, paths: Iterable[str]) -> tuple[str, ...]:
    """List those of `paths` that a pattern names, in the order of sshd."""
    compiled = _compile(pattern)
    return tuple(
        path for raw, path in sorted((encode(path), path) for path in paths) if compiled.match(_decode_bytes(raw))
    )


def estimate_steps(pattern: str, n_paths: int) -> int:
    """Estimate what `expand` costs; see `limits.Work`."""
    return 20 + 10 * len(pattern) + n_paths * (8 + len(pattern) // 4)


def is_match(pattern: str, path: str) -> bool:
    """Whether a pattern names the path."""
    return _compile(pattern).match(_decode_bytes(encode(path))) is not None


def _decode_bytes(raw: bytes) -> str:
    """Decode each byte as one letter: in the C locale `?` is a byte."""
    return raw.decode("latin-1")


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    chars = _CHARS.findall(_decode_bytes(encode(pattern)))
    components: list[list[str]] = [[""]]  # of each: what stands between its stars
    at = 0
    while at < len(chars):
        char = chars[at]
        at += 1
        if char[-1] == "/":
            components.append([""])
            continue
        *_, piece = component = components[-1]
        if component == [""] and char in "*?[":
            piece = r"(?!\.)"
        if char == "?":
            piece += "[^/]"
        elif char == "[":
            text, at = _compile_set(chars, at) or (r"\[", at)
            piece += text
        elif char != "*":
            piece += re.escape(char[-1])
        component[-1:] = [piece, ""] if char == "*" else [piece]
    return re.compile("/".join(map(_join, components)) + r"\Z", re.DOTALL)


def _join(pieces: list[str]) -> str:
    """Write one path component as a regular expression.

    What stands between two stars is matched at its first occurrence and never again (an atomic group), which
    keeps many stars from taking exponential time.
    """
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece) + f"[^/]*{last}"


def _compile_set(chars: list[str], at: int) -> tuple[str, int] | None:
    """Parse a set that begins behind `[`; None when it is not closed and so means itself."""
    start, padded = at, [*chars, "", "", ""]
    negated = padded[at] == "!"
    at += negated
    if "]" not in chars[at + 1 :]:
        return None
    out = ""
    while at == start + negated or padded[at] != "]":
        if padded[at] == "[" and padded[at + 1] == ":" and ":" in chars[at + 2 :]:
            colon = chars.index(":", at + 2)
            if padded[colon + 1] == "]":
                name = "".join(chars[at + 2 : colon])
                if name not in _CLASSES:
                    return _NEVER, len(chars)
                out += _CLASSES[name]
                at = colon + 2
                continue
        low, high = padded[at][-1:], padded[at + 2][-1:]
        if not low:
            return _NEVER, len(chars)  # the name of a class has used up the bracket
        if padded[at + 1] == "-" and padded[at + 2] != "]":
            out += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
            at += 3
        else:
            out += re.escape(low)
            at += 1
    if any(char[-1] == "/" for char in chars[start:at]):
        return _NEVER, len(chars)
    text = f"(?!/)[{'^' if negated else ''}{out}]" if out else r"[^/]" if negated else _NEVER
    return text, at + 1
