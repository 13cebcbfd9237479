"""The words an sshd was or would be started with: `/usr/sbin/sshd -D -o ClientAliveInterval=60 -f /srv/sshd_config`.

From OpenSSH 8.2 on a listener's words are a title that has lost its quotes, so `-o A b` is one option of two words;
the words of a unit are brought without quotes too. Source: sshd(8); sshd.c, prepare_proctitle.
"""

from __future__ import annotations

import re
from typing import Final

_CONFIG: Final = re.compile(r"\s-[46DdeiqtTG]*f\s*(\S+)")


def options(command: str) -> tuple[str, ...]:
    """The values of the -o options, in order."""
    words = command.split("[listener]")[0].split()
    found: list[str] = []
    for index, word in enumerate(words):
        if not word.startswith("-o"):
            continue
        option = word[2:]
        rest = words[index + 1 :]
        while rest and not rest[0].startswith("-") and (not option or ("=" not in option and " " not in option)):
            option = f"{option} {rest.pop(0)}".strip()
        found.append(option)
    return tuple(found)


def config(command: str) -> str | None:
    """The file that -f names; None: the one that was compiled in."""
    found = _CONFIG.search(command)
    return found[1] if found else None
