"""How a command becomes root through sudo: the shell text, what sudo prints until then, and the password.

The password is sent only where sudo asks for it. The text that we send never holds a marker or the prompt in one
piece: the nonce is a shell variable. So a shell, a wrapper or a terminal that repeats our input cannot look like sudo.
The prompt counts only after our SUDO marker, at the beginning of the last line, while nothing follows it; a second
prompt means that the password was refused.

sudo with `requiretty` demands a terminal and uses it for nothing else when it reads from standard input (sudoers(5),
requiretty). script(1) provides one that carries no data: sudo's own input and output stay the pipes of the login, so
that nothing is echoed, and the script that follows is framed as always.
"""

from __future__ import annotations

import re
from typing import Final

from sshd_keepalive.deadline import Deadline, Limit
from sshd_keepalive.errors import HostError, KeepaliveError
from sshd_keepalive.model import Host
from sshd_keepalive.secrets.attempts import Attempt, AttemptRefused
from sshd_keepalive.secrets.retrieval import Secrets
from sshd_keepalive.ssh.auth import choose_user
from sshd_keepalive.ssh.errors import LoginCause, make_error, make_shell_error

MARK: Final = "SKA1"
#: Runs sudo, with a terminal of its own where `terminal` is set; its standard streams are those of the caller. No word
#: holds a single quote.
AS_ROOT: Final = """\
as_root() {
if [ "$terminal" ] && command -v script >/dev/null 2>&1; then
words=''
for word; do words="$words '$word'"; done
SHELL=/bin/sh script -qc "sudo $words <&3 >&4 2>&5" /dev/null 3<&0 4>&1 5>&2 </dev/null >/dev/null 2>&1
else sudo "$@"; fi
}
"""
_OUTPUT_BYTES: Final = 8 * 1024  # longer than a lecture of sudo
#: Our prompt with any nonce: compiling one for each host would be 2 % of a check. sudo-rs puts ours between words of
#: its own.
_PROMPT: Final = re.compile(
    rb"%b PASSWORD (\w+)|\[sudo: %b PASSWORD (\w+)\] [^\n]{0,80}: ?" % (MARK.encode(), MARK.encode())
)
# A PAM module may insist on a prompt of its own ("LDAP Password: "); one that asks for anything else gets nothing.
_FOREIGN_PROMPT: Final = re.compile(rb"[^\n]{0,200}password[^\n:]{0,80}: ?", re.IGNORECASE)


class Dialogue:
    """The output until the shell behind sudo is ready. Feed it what arrives.

    Attributes:
        has_met_sudo: sudo was started; what follows may come from it.
        asks: sudo waits for the password.
        is_answered: sudo has asked once.
        rejected: sudo has asked again.
        is_missing: neither sudo nor doas is installed.
        is_ready: the shell behind sudo has started.
    """

    def __init__(self, nonce: str) -> None:
        self._sudo = _line(f"{MARK} SUDO {nonce}")
        self._missing = _line(f"{MARK} MISSING {nonce}")
        self._ready = _line(f"{MARK} READY {nonce}")
        self._nonce = nonce.encode()
        self._output = bytearray(b"\n")
        self.has_met_sudo = self.asks = self.is_answered = False
        self.rejected = self.is_missing = self.is_ready = False

    @property
    def accepted(self) -> bool:
        """Whether sudo took the password."""
        return self.is_ready and self.is_answered

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked."""
        return self.is_ready or self.rejected or self.is_missing

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._output += data
        if not self.has_met_sudo and (at := self._output.find(self._sudo)) >= 0:
            self.has_met_sudo = True
            del self._output[: at + len(self._sudo) - 1]
        self.is_ready = self.is_ready or (self.has_met_sudo and self._ready in self._output)
        self.is_missing = self.is_missing or self._missing in self._output
        if self.has_met_sudo and not self.is_over and self._is_prompted():
            self._output[:] = b"\n"  # a prompt is met once
            self.rejected = self.is_answered
            self.asks = not self.is_answered
            self.is_answered = True
        del self._output[:-_OUTPUT_BYTES]

    def _is_prompted(self) -> bool:
        """Whether what stands at the end is a prompt, at the beginning of its line."""
        last = self._output[self._output.rfind(b"\n") + 1 :]
        ours = _PROMPT.fullmatch(last)
        return (ours is not None and self._nonce in ours.groups()) or bool(_FOREIGN_PROMPT.fullmatch(last))


def _line(text: str) -> bytes:
    return f"\n{text}\n".encode()


def build_root_shell(nonce: str, *, password: bool, terminal: bool, sudo: bool = True, script: str = "") -> str:
    """Build the text that starts a shell of root, which reads on from standard input.

    Everything until then is printed on standard error. With a password the shell prints READY; without one it
    follows the SUDO line and reads what is sent after that line. A rule for `sh -s` is enough then.

    Args:
        password: sudo may ask; `-k` neither uses nor leaves a ticket, so it asks exactly when sudoers demands it.
        terminal: sudo gets a terminal of its own.
        sudo: False: doas is what the inventory names.
        script: a login that is root already runs it in place of all that.
    """
    shell = 'sh -c "$starter"' if password else "sh -s"
    options = f'-S -k -p "{MARK} PASSWORD $nonce"' if password else "-n"
    at_once = f'if [ "$(id -u)" = 0 ]; then\n{script}\nexit\nfi\n' if script else ""
    by_sudo = f"elif command -v sudo >/dev/null 2>&1; then as_root {options} {shell}\n" if sudo else ""
    return (
        "main() {\n"
        f"LC_ALL=C; export LC_ALL; {set_variables(nonce, terminal=terminal)}"
        f"starter='printf \"\\n%s\\n\" \"{MARK} READY '$nonce'\" >&2; exec sh -s'\n"
        f"{at_once}"
        f"printf '\\n%s\\n' \"{MARK} SUDO $nonce\" >&2\n"
        f'if [ "$(id -u)" = 0 ]; then {shell}\n'
        f"{by_sudo}"
        f"elif command -v doas >/dev/null 2>&1; then doas -n {shell}\n"
        f"else printf '\\n%s\\n' \"{MARK} MISSING $nonce\" >&2\n"
        "fi\n"
        "}\n"
        f"{AS_ROOT}"
        "main; exit $?\n"
    )


def set_variables(nonce: str, *, terminal: bool) -> str:
    """Build the assignments of the shell variables that AS_ROOT and the markers refer to."""
    return f"nonce={nonce}; terminal={'yes' if terminal else ''}\n"


#: These say something about the account or about sudo itself, after sudo has taken the password.
_NOT_THE_PASSWORD: Final = frozenset(
    {LoginCause.SUDO_DENIED, LoginCause.SUDO_BROKEN, LoginCause.SUDO_TTY, LoginCause.PASSWORD_EXPIRED}
)


class SudoPassword:
    """The sudo password for one dialogue: fetched when sudo asks, sent at most once."""

    def __init__(self, host: Host, secrets: Secrets, deadline: Deadline, dialogue: Dialogue) -> None:
        self._host = host
        self._secrets = secrets
        self._deadline = deadline
        self._dialogue = dialogue
        self._attempt: Attempt | None = None

    def fetch(self, limit: Limit) -> str:
        """Fetch the password for the one prompt.

        Raises:
            HostError: it cannot be read, or it was refused before and must not be sent.
        """
        reference, user = self._host.become.password or "", choose_user(self._host)
        place = (self._host.address, self._host.port, "sudo")
        try:
            with limit.paused():  # a person may have to type it
                secret = self._secrets.get(reference, purpose=f"sudo password of {user}")
            self._attempt = self._secrets.attempts.start((reference, user), place, self._deadline)
        except AttemptRefused as error:
            raise make_error(self._host, LoginCause.BAD_PASSWORD, f"not sent: {error}") from None
        except KeepaliveError as error:
            raise make_error(self._host, LoginCause.BECOME_SECRET, str(error), hint=error.hint) from None
        self._dialogue.asks = False
        return secret.reveal()

    def record_verdict(self) -> None:
        """Record whether sudo took the password, as soon as that is known."""
        if self._attempt is not None and self._dialogue.accepted:
            self._attempt.accept()
        elif self._attempt is not None and self._dialogue.rejected:
            self._attempt.refuse()

    def explain_end(self, noise: bytes, *, ended: str) -> HostError:
        """Say why no shell started behind sudo, from what was printed instead.

        A host that took the password and gave no shell does not get it again.
        """
        if self._dialogue.rejected:
            failure = make_error(self._host, LoginCause.BAD_PASSWORD)
        elif self._dialogue.is_missing:
            failure = make_error(self._host, LoginCause.SUDO_MISSING)
        else:
            failure = make_shell_error(self._host, noise, ended=ended, became=self._host.become.method != "none")
        if self._attempt is not None and failure.cause not in _NOT_THE_PASSWORD:
            self._attempt.refuse()
        return failure

    def close(self) -> None:
        """End the attempt; without a verdict it does not count."""
        if self._attempt is not None:
            self._attempt.close()
