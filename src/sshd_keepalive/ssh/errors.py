"""The causes of a failed connection: one row per cause, with its message and the next step.

The causes are those of the JSON report, the kinds as well. paramiko's own words ("No existing session",
"Error reading SSH protocol banner") are symptoms and never shown.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, Literal, Self

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind as Kind
from sshd_keepalive.model import Host

_LONGEST: Final = 300  # characters of a detail
#: How far a login or a script had come; "" where that does not matter.
Stage = Literal["", "version", "kex", "hostkey", "auth", "jump-host", "channel", "exec", "stdin", "read"]


class LoginCause(StrEnum):
    """A class of failed connections: the word of the JSON report, its kind, what happened, the next step."""

    kind: Kind
    message: str
    hint: str

    def __new__(cls, word: str, kind: Kind, message: str, hint: str) -> Self:  # noqa: D102
        cause = str.__new__(cls, word)
        cause._value_ = word
        cause.kind, cause.message, cause.hint = kind, message, hint
        return cause

    UNRESOLVED = (
        "unresolved",
        Kind.DNS,
        "the name has no address",
        "check `address` in the inventory, and the resolver",
    )
    NO_WAY = (
        "no-way",
        Kind.TCP,
        "this program cannot connect as the inventory or the ssh_config says",
        "name a jump host with -J, or leave the host out: -l '!HOST'",
    )
    UNREACHABLE = (
        "unreachable",
        Kind.TCP,
        "no answer",
        "check that the host is up and that a firewall lets this machine through",
    )
    REFUSED = ("refused", Kind.TCP, "connection refused", "check that sshd runs there and listens on this port")
    BUSY = (
        "busy",
        Kind.BANNED,
        "the server closed the connection before its version line: too many logins at once, or a block of this address",
        "use fewer --forks; see MaxStartups, fail2ban and hosts.deny on the host",
    )
    PENALISED = (
        "penalised",
        Kind.BANNED,
        "sshd blocks this address for a while after failed logins",
        "wait a minute; see PerSourcePenalties in sshd_config(5)",
    )
    # OpenSSH 9.8 and newer say the same to both; the log of the host tells them apart, from 10.1 on at level INFO.
    TURNED_AWAY = (
        "turned-away",
        Kind.BANNED,
        "sshd refused the connection: too many logins at once (MaxStartups), or a block after failed logins "
        "(PerSourcePenalties)",
        "wait a minute and use fewer --forks; on the host: journalctl -u ssh -u sshd | grep -E 'MaxStartups|penalty'",
    )
    DROPPED = (
        "dropped",
        Kind.BANNED,
        "the host is up but drops connections to this port: it blocks this address, or a firewall is closed",
        "see fail2ban and the firewall on the host; more attempts at once make it worse",
    )
    NOT_SSH = ("not-ssh", Kind.BANNER, "the server on this port is not an SSH server", "check `port`")
    NOT_OPENSSH = (
        "not-openssh",
        Kind.BANNER,
        "the server is not OpenSSH",
        "this program supports OpenSSH only; leave the host out: -l '!HOST'",
    )
    INCOMPATIBLE = (
        "incompatible",
        Kind.BANNER,
        "no algorithm in common",
        "update the server, or allow more algorithms in its sshd_config",
    )
    HOST_KEY_UNKNOWN = (
        "hostkey-unknown",
        Kind.HOST_KEY,
        "its host key is not known",
        "compare the fingerprint, then log in once with ssh to add the key to known_hosts; or pin the fingerprint as "
        "`host_key`, or allow `host_keys: accept-new`",
    )
    HOST_KEY_CHANGED = (
        "hostkey-changed",
        Kind.HOST_KEY,
        "its host key is not the expected one",
        "find out why the key changed; if the change is correct, write the new fingerprint into `host_key`",
    )
    HOST_KEY_REVOKED = (
        "hostkey-revoked",
        Kind.HOST_KEY,
        "its host key is marked as revoked",
        "give the host a new key",
    )
    HOST_KEY_CERTIFICATE = (
        "hostkey-certificate",
        Kind.HOST_KEY,
        "its host certificate is not valid",
        "sign its host key again",
    )
    HOST_KEY_WEAK = (
        "hostkey-weak",
        Kind.HOST_KEY,
        "its host key is weaker than required",
        "give the host an Ed25519 key, or see HostKeyAlgorithms and RequiredRSASize in the ssh_config",
    )
    HOST_KEY_FILE = (
        "hostkey-file",
        Kind.HOST_KEY,
        "cannot use the known_hosts file",
        "check `known_hosts` in the inventory",
    )
    AUTH_FAILED = (
        "auth-failed",
        Kind.AUTH,
        "the server refused the login",
        "check the account and the key: -u NAME, --private-key FILE",
    )
    AUTH_MORE = (
        "auth-more",
        Kind.AUTH,
        "the server requires a second factor",
        "add `password`, or exempt this account",
    )
    AUTH_PROMPT = (
        "auth-prompt",
        Kind.AUTH,
        "the server asks for something other than a password",
        "use a key for this account",
    )
    NO_KEY = (
        "no-key",
        Kind.AUTH,
        "no key to log in with",
        "name a key with --private-key or `identity_file`, start an agent, or log in with a password: -k",
    )
    KEY_FILE = (
        "key-file",
        Kind.AUTH,
        "cannot use the key",
        "load it into an agent with ssh-add, or name another with --private-key or `identity_file`",
    )
    SECRET = ("secret", Kind.AUTH, "cannot read the login password", "check the secret reference")
    ACCOUNT_CLOSED = (
        "account-closed",
        Kind.AUTH,
        "sshd closed the connection during the login",
        "the account may be expired or not allowed (AllowUsers, PAM); see sshd's log on the host",
    )
    PASSWORD_EXPIRED = (
        "password-expired",
        Kind.AUTH,
        "the account's password has expired",
        "log in by hand and change it",
    )
    NO_SESSION = (
        "no-session",
        Kind.SHELL,
        "sshd refused to open a session",
        "see MaxSessions and restrictions of the key on the host",
    )
    NO_SHELL = (
        "no-shell",
        Kind.SHELL,
        "no shell ran the script",
        "the account needs a POSIX shell and no forced command",
    )
    NEED_PASSWORD = (
        "need-password",
        Kind.BECOME,
        "sudo requires a password",
        "add -K, or set `become: {method: sudo, password: …}`",
    )
    BAD_PASSWORD = (
        "bad-password",
        Kind.BECOME,
        "sudo refused the password",
        "correct the secret; it is not tried again in this run",
    )
    SUDO_DENIED = (
        "sudo-denied",
        Kind.BECOME,
        "sudo does not let this account run a shell",
        "allow it in sudoers, or log in as root: -u root",
    )
    SUDO_TTY = (
        "sudo-tty",
        Kind.BECOME,
        "sudo requires a terminal (requiretty), and script(1), which provides one, is not installed",
        "install util-linux on the host, or write `Defaults:USER !requiretty` with: "
        "visudo -f /etc/sudoers.d/sshd-keepalive",
    )
    SUDO_PROMPT = (
        "sudo-prompt",
        Kind.BECOME,
        "sudo asks for something other than a password",
        "allow the account NOPASSWD, or use root",
    )
    SUDO_MISSING = ("sudo-missing", Kind.BECOME, "neither sudo nor doas is installed", "log in as root: -u root")
    SUDO_BROKEN = ("sudo-broken", Kind.BECOME, "sudo does not work", "try it on the host by hand")
    DOAS_DENIED = (
        "doas-denied",
        Kind.BECOME,
        "doas does not let this account run a shell without a password",
        "add `permit nopass USER` to /etc/doas.conf",
    )
    BECOME_SECRET = ("become-secret", Kind.BECOME, "cannot read the sudo password", "check the secret reference")
    DEADLINE = (
        "deadline",
        Kind.TIMEOUT,
        "no progress before the time limit",
        "raise --timeout, or look at the host's load",
    )
    LOST = ("lost", Kind.TCP, "the connection broke", "try again; if it happens again, read sshd's log on the host")
    LOST_IN_QUESTION = (
        "lost(hostkey)",
        Kind.TCP,
        "the connection broke while waiting for the answer about the host key",
        "run the command again",
    )
    JUMP_HOST_LOST = (
        "jump-host-lost",
        Kind.TCP,
        "the connection to this jump host was lost",
        "run the command again; if it happens again, read sshd's log on the jump host",
    )
    JUMP_HOST_DENIED = (
        "jump-host-denied",
        Kind.TCP,
        "this jump host does not forward",
        "see AllowTcpForwarding and PermitOpen there",
    )


def make_error(
    host: Host, cause: LoginCause, detail: str = "", *, phase: Stage = "", hint: str | None = None
) -> HostError:
    """Make the error for a cause, naming the host.

    Args:
        detail: text of the host or the system; made printable here.
        phase: of the login, for `deadline` and `lost`; the cause of the report is then `deadline(kex)`.
        hint: a better next step than the usual one.
    """
    suffix = f" ({clean(detail)})" if detail else ""
    reported = f"{cause}({phase})" if phase else cause
    return HostError(
        f"{where(host)}: {cause.message}{suffix}", kind=cause.kind, cause=reported, hint=hint or cause.hint
    )


def where(host: Host) -> str:
    """Name a host by its name and the address it is reached at."""
    address = f"[{host.address}]:{host.port}" if ":" in host.address else f"{host.address}:{host.port}"
    return address if host.name in (host.address, address) else f"{host.name} ({address})"


def clean(text: str) -> str:
    """Make text from a server safe for a terminal: one line, no control characters, limited length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


#: First match wins; sudo(8) and doas(1) under LC_ALL=C, and sudo-rs.
_REFUSALS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"incorrect (password|authentication) attempt|sorry, try again", LoginCause.BAD_PASSWORD),
        (r"must have a tty|terminal is required to read", LoginCause.SUDO_TTY),
        (
            r"not in the sudoers file|not allowed to (execute|run)|may not run sudo|i'm afraid i can't",
            LoginCause.SUDO_DENIED,
        ),
        (
            r"sudo: .*(password is required|authentication is required|no password was provided)",
            LoginCause.NEED_PASSWORD,
        ),
        (r"sudo: .*(account|password).*(expired|locked|not available)", LoginCause.SUDO_DENIED),
        (r"doas: (authentication|operation|a tty|not enabled|password)", LoginCause.DOAS_DENIED),
        (
            r"sudo: .*(effective uid|no new privileges|must be owned|setuid|syntax error|parse error|no valid)",
            LoginCause.SUDO_BROKEN,
        ),
    )
)
_EXPIRED: Final = re.compile(r"password change required|your password has expired|must change your password", re.I)


def make_shell_error(host: Host, noise: bytes, *, ended: str, became: bool) -> HostError:
    """Say why a shell ended without running the script, from what it printed instead.

    Args:
        noise: all that was printed.
        ended: how the command ended, in words.
        became: sudo or doas was in play.
    """
    text = noise.decode("utf-8", "replace")
    if _EXPIRED.search(text):
        return make_error(host, LoginCause.PASSWORD_EXPIRED, last_line(text))
    if became:
        for pattern, cause in _REFUSALS:
            if match := pattern.search(text):
                return make_error(host, cause, last_line(text, match.start()))
    line = last_line(text)
    return make_error(host, LoginCause.NO_SHELL, f"{ended}: {line}" if line else ended)


def last_line(text: str, at: int | None = None) -> str:
    """Give the line that stands at `at`, or the last one that is not blank; our own markers are not lines."""
    if at is not None:
        return text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("SKA1 ")]
    return lines[-1] if lines else ""
