"""The words an sshd was or would be started with: `/usr/sbin/sshd -D -o ClientAliveInterval=60 -f /srv/sshd_config`.

From OpenSSH 8.2 on a listener's words are a title that has lost its quotes, so `-o A b` is one option of two words;
the words of a unit are brought without quotes too. Source: sshd(8); sshd.c, prepare_proctitle.
"""

from __future__ import annotations

import re
from typing import Final

_CONFIG: Final = re.compile(r"\s-[46DdeiqtTG]*f\s*(\S+)(?:\s+([^\s-]))?")


def read_options(command: str) -> tuple[str, ...]:
    """List the values of the -o options, in order."""
    words = command.split("[listener]")[0].split()
    options: list[str] = []
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        if not word.startswith("-o"):
            continue
        option = word[2:]
        while at < len(words) and not words[at].startswith("-") and "=" not in option and " " not in option:
            option, at = f"{option} {words[at]}".strip(), at + 1
        options.append(option)
    return tuple(options)


def find_config(command: str) -> str | None:
    """Find the file that -f names; None: the one that was compiled in."""
    match = _CONFIG.search(command)
    return match[1] if match else None


def has_split_config(command: str) -> bool:
    """Whether the path of -f has a space in it: what follows is no option, and sshd takes no other words."""
    match = _CONFIG.search(command.split("[listener]")[0])
    return match is not None and match[2] is not None
