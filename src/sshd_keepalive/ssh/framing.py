"""A script on its way to `sh -s` and its output on the way back, without any input or output of its own.

`sh -s` is the one command line that every login shell passes on unharmed. The text that follows on standard input
defines a function and calls it on the last line, so that a cut transmission runs nothing. Markers with a nonce of
this exchange bracket what the script prints; everything outside of them (profiles, banners, lectures) is noise.
Then the shell waits for another script, so that several cost one login shell, and one sudo that wants a password.

With a sudo password the exchange is a conversation (`ssh.sudo`): sudo prints a prompt of ours, gets the password, and
only when the shell behind it has said READY the script is sent. So the password never shares an input with a script
that could be mistaken for it, and neither secret nor script is ever an argument.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from sshd_keepalive.quoting import quote
from sshd_keepalive.ssh.sudo import AS_ROOT, MARK, Dialogue, build_root_shell, set_variables

CAP_BYTES: Final = 8 * 1024 * 1024  # a tree of configuration files is large
NOISE_BYTES: Final = 4 * 1024
_TAIL_BYTES: Final = 256  # longer than any marker line

_RESTS: Final = "RESTS"
_STATUS: Final = re.compile(rb"(\d{1,9}) ?(%s)?\n" % _RESTS.encode())  # follows the end marker


class Way(Enum):
    """How the script becomes root."""

    PLAIN = "plain"  # it does not: the login user runs it
    ROOT = "root"  # the login user is root, or sudo or doas work without a password
    DOAS = "doas"  # the same without sudo
    PASSWORD = "password"  # noqa: S105  sudo may ask for a password
    RESUMED = "resumed"  # the shell of the script before waits for it, with its account


class Exchange:
    """One script and its output. Feed it what arrives; send what `feed` returns.

    Attributes:
        dialogue: what sudo says before the script is sent; used with Way.PASSWORD only.
        sends_more: False when nothing more will be sent: end the input, unless the script was sent.
        sent: the whole script was handed out; from here on it may run.
        begun, done: the markers were seen.
        rests: it is done, and the shell waits for another script.
        overflow: there was more output than CAP_BYTES, or more noise; nothing more needs to be read.
    """

    def __init__(self, script: str, *, way: Way, nonce: str, terminal: bool = False) -> None:
        """Frame a script.

        Args:
            terminal: sudo gets a terminal of its own, see `ssh.sudo`.
        """
        self._inner = _frame(script, nonce)
        self._way = way
        self._nonce = nonce
        self._terminal = terminal
        self._begin = f"\n{MARK} BEGIN {nonce}\n".encode()
        self._end = f"\n{MARK} END {nonce} ".encode()
        self.dialogue = Dialogue(nonce)
        self._noise = bytearray()
        self._out = bytearray()
        self._scanned = 0
        self._n_noise_bytes = 0
        self.sends_more = way is Way.PASSWORD
        self.sent = self.begun = self.done = self.rests = self.overflow = False
        self.status: int | None = None

    def start(self) -> bytes:
        """Return the text to send first."""
        if self._way is Way.PASSWORD:
            return f"exec 2>&1\n{build_root_shell(self._nonce, password=True, terminal=self._terminal)}".encode()
        self.sent = True
        if self._way in (Way.PLAIN, Way.RESUMED):
            return self._encode_script()
        text = _pipe(self._inner, self._nonce, sudo=self._way is Way.ROOT, terminal=self._terminal)
        return text.encode("utf-8", "surrogateescape")

    def _encode_script(self) -> bytes:
        """Give the script for a shell that reads on after it."""
        return f"{_STAY}{self._inner}".encode("utf-8", "surrogateescape")  # it may hold the bytes of files

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; return what must be sent now, often nothing."""
        if self.done:
            self.feed_stderr(data)
            return b""
        if self.begun:
            self._out += data
            self._take_end()
            return b""
        self._count_noise(data)
        self._noise += data
        if (at := self._noise.find(self._begin)) >= 0:
            self.begun = True
            self._out += self._noise[at + len(self._begin) :]
            del self._noise[at:]
            self._take_end()
            return b""
        reply = self._converse(data) if self.sends_more else b""
        if len(self._noise) > 4 * NOISE_BYTES:  # the first words and the last ones say most
            del self._noise[NOISE_BYTES : -2 * NOISE_BYTES]
        return reply

    @property
    def is_missing_sudo(self) -> bool:
        """Whether neither sudo nor doas is installed."""
        return f"\n{MARK} MISSING {self._nonce}\n".encode() in self._noise

    @property
    def stdout(self) -> bytes:
        """The output of the script so far."""
        return bytes(memoryview(self._out)[:CAP_BYTES])

    @property
    def noise(self) -> bytes:
        """The other output: its beginning and its end."""
        noise = bytes(self._noise.replace(f"{MARK} PASSWORD {self._nonce}".encode(), b""))
        if len(noise) > NOISE_BYTES:
            noise = noise[: NOISE_BYTES // 4] + noise[-3 * NOISE_BYTES // 4 :]
        return noise

    def feed_stderr(self, data: bytes) -> None:
        """Take standard error, which never carries our output."""
        self._count_noise(data)
        if len(self._noise) < 2 * NOISE_BYTES:
            self._noise += data

    def _count_noise(self, data: bytes) -> None:
        self._n_noise_bytes += len(data)
        self.overflow = self.overflow or self._n_noise_bytes > CAP_BYTES

    def _take_end(self) -> None:
        at = self._out.find(self._end, self._scanned)
        if at >= 0 and (status := _STATUS.match(self._out, at + len(self._end))):
            self.status = int(status[1])
            self.done = True
            self.rests = status[2] is not None
            self._noise += self._out[status.end() :]
            del self._out[at:]
            self.overflow = self.overflow or len(self._out) > CAP_BYTES
            return
        if len(self._out) > CAP_BYTES + 2 * _TAIL_BYTES:
            self.overflow = True
            del self._out[CAP_BYTES:-_TAIL_BYTES]
        self._scanned = max(0, len(self._out) - _TAIL_BYTES)

    def _converse(self, data: bytes) -> bytes:
        """Follow sudo until the shell behind it is ready for the script."""
        self.dialogue.feed(data)
        if self.dialogue.is_over:
            self.sends_more = False
        if self.dialogue.is_ready:
            self.sent = True
            return self._encode_script()
        return b""


def _frame(script: str, nonce: str) -> str:
    """Frame the script. It runs in a subshell, so `exit` and `cd` are its own; exit status 0 means it was run."""
    return (
        "task() {\n"
        "LC_ALL=C; export LC_ALL; umask 077\n"
        f"printf '\\n%s\\n' '{MARK} BEGIN {nonce}'\n"
        f"(\n:\n{script}\n) </dev/null 2>&1\n"
        f"printf '\\n%s %s %s\\n' '{MARK} END {nonce}' \"$?\" \"$rests\"\n"
        "}\n"
        "task\n"
    )


#: Tells the frame that the shell around it reads on: it is no child of one that has read all its input.
_STAY: Final = f"rests={_RESTS}\n"

# `printf` is a builtin nearly everywhere. Where it is a program (mksh, older ksh), `print` is the builtin: the
# script must neither show up in `ps` nor meet the limit of one argument (131,071 bytes on Linux).
_SAY: Final = """\
case $(command -v printf) in
/*) say() { print -r -- "$1"; } ;;
*) say() { printf '%s\\n' "$1"; } ;;
esac
"""


def _pipe(inner: str, nonce: str, *, sudo: bool, terminal: bool) -> str:
    """Run the framed script as root, without any password."""
    by_sudo = 'elif command -v sudo >/dev/null 2>&1; then say "$payload" | as_root -n sh -s\n' if sudo else ""
    return (
        "main() {\n"
        "exec 2>&1\n"
        f"LC_ALL=C; export LC_ALL; rests=''; {set_variables(nonce, terminal=terminal)}{_SAY}"
        f"payload={quote(inner)}\n"
        f'if [ "$(id -u)" = 0 ]; then {_STAY}eval "$payload"\n'
        f"{by_sudo}"
        'elif command -v doas >/dev/null 2>&1; then say "$payload" | doas -n sh -s\n'
        f"else printf '\\n%s\\n' \"{MARK} MISSING $nonce\"\n"
        "fi\n"
        "}\n"
        f"{AS_ROOT}"
        'main; code=$?; [ "$rests" ] || exit $code\n'
    )
