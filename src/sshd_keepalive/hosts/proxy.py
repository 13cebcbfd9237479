"""ProxyCommand: recognise the commands that do the same as ProxyJump."""

from __future__ import annotations

import getopt
import shlex
from pathlib import Path
from typing import Final

#: Options of ssh that do not change the way, and `-o` settings that can be ignored safely.
_FLAGS: Final = "46ACTaknqx"
_HARMLESS: Final = frozenset(
    [
        "batchmode",
        "compression",
        "connecttimeout",
        "controlmaster",
        "controlpath",
        "controlpersist",
        "forwardagent",
        "loglevel",
        "serveraliveinterval",
        "serveralivecountmax",
        "stricthostkeychecking",
        "userknownhostsfile",
    ]
)


def find_hop(command: str) -> str | None:
    """Find the hop of a ProxyCommand, as ProxyJump would name it; None: the command runs another program.

    Recognised are `ssh … -W %h:%p HOP` and `ssh … HOP nc %h %p`, which served as ProxyJump before OpenSSH 7.3.
    """
    try:
        words = [word for word in shlex.split(command) if word not in ("exec", "2>/dev/null")]
        if not words or Path(words.pop(0)).name != "ssh":
            return None
        given, rest = getopt.getopt(words, f"{_FLAGS}W:l:p:o:")
        more, words = getopt.getopt(rest[1:], f"{_FLAGS}W:l:p:o:")  # as for ssh, options may follow the host
    except (ValueError, getopt.GetoptError):
        return None
    options = given + more
    if any(key == "-o" and value.partition("=")[0].strip().lower() not in _HARMLESS for key, value in options):
        return None
    value_of = dict(options)
    is_forwarding = value_of.get("-W", "").replace("[%h]", "%h") == "%h:%p" and not words
    if not rest or not (is_forwarding or ("-W" not in value_of and _is_netcat(words))):
        return None
    user, _, host = rest[0].rpartition("@")
    user = value_of.get("-l") or user
    return (f"{user}@" if user else "") + host + (f":{value_of['-p']}" if "-p" in value_of else "")


def _is_netcat(words: list[str]) -> bool:
    return len(words) >= 3 and Path(words[0]).name in ("nc", "netcat", "ncat") and words[-2:] == ["%h", "%p"]
