"""The causes of a failed connection: one row per cause, with its message and the next step.

The classes are the `cause` of the JSON report, the kinds its `kind`. paramiko's own words ("No existing session",
"Error reading SSH protocol banner") are symptoms and never shown.
"""

from __future__ import annotations

import re
from typing import Final

from sshd_keepalive.errors import HostError
from sshd_keepalive.model import FailureKind as Kind
from sshd_keepalive.model import Host

#: class → (kind, what happened, next step).
_ROWS: Final[dict[str, tuple[Kind, str, str]]] = {
    "unresolved": (Kind.DNS, "the name has no address", "check `address` in the inventory, and the resolver"),
    "no-way": (
        Kind.TCP,
        "this program cannot connect as the inventory or the ssh_config says",
        "name a jump host with -J, or leave the host out: -l '!HOST'",
    ),
    "unreachable": (Kind.TCP, "no answer", "check that the host is up and that a firewall lets this machine through"),
    "refused": (Kind.TCP, "connection refused", "check that sshd runs there and listens on this port"),
    "busy": (
        Kind.BANNED,
        "the server closed the connection before its version line: too many logins at once, or a block of this address",
        "use fewer --forks; see MaxStartups, fail2ban and hosts.deny on the host",
    ),
    "penalised": (
        Kind.BANNED,
        "sshd blocks this address for a while after failed logins",
        "wait a minute; see PerSourcePenalties in sshd_config(5)",
    ),
    # OpenSSH 9.8 and newer say the same to both; the log of the host tells them apart, from 10.1 on at level INFO.
    "turned-away": (
        Kind.BANNED,
        "sshd refused the connection: too many logins at once (MaxStartups), or a block after failed logins "
        "(PerSourcePenalties)",
        "wait a minute and use fewer --forks; on the host: journalctl -u ssh -u sshd | grep -E 'MaxStartups|penalty'",
    ),
    "dropped": (
        Kind.BANNED,
        "the host is up but drops connections to this port: it blocks this address, or a firewall is closed",
        "see fail2ban and the firewall on the host; more attempts at once make it worse",
    ),
    "not-ssh": (Kind.BANNER, "the server on this port is not an SSH server", "check `port`"),
    "not-openssh": (
        Kind.BANNER,
        "the server is not OpenSSH",
        "leave the host out: -l '!HOST'; this program changes the keep-alives of OpenSSH only",
    ),
    "incompatible": (
        Kind.BANNER,
        "no algorithm in common",
        "update the server, or allow more algorithms in its sshd_config",
    ),
    "hostkey-unknown": (
        Kind.HOST_KEY,
        "its host key is not known",
        "compare the fingerprint, then log in once with ssh to add the key to known_hosts; or pin the fingerprint as "
        "`host_key`, or allow `host_keys: accept-new`",
    ),
    "hostkey-changed": (
        Kind.HOST_KEY,
        "its host key is not the expected one",
        "find out why the key changed; if the change is correct, write the new fingerprint into `host_key`",
    ),
    "hostkey-revoked": (Kind.HOST_KEY, "its host key is marked as revoked", "give the host a new key"),
    "hostkey-certificate": (Kind.HOST_KEY, "its host certificate is not valid", "sign its host key again"),
    "hostkey-weak": (
        Kind.HOST_KEY,
        "its host key is weaker than required",
        "give the host an Ed25519 key, or see HostKeyAlgorithms and RequiredRSASize in the ssh_config",
    ),
    "hostkey-file": (Kind.HOST_KEY, "cannot use the known_hosts file", "check `known_hosts` in the inventory"),
    "auth-failed": (
        Kind.AUTH,
        "the server refused the login",
        "check the account and the key: -u NAME, --private-key FILE",
    ),
    "auth-more": (Kind.AUTH, "the server requires a second factor", "add `password`, or exempt this account"),
    "auth-prompt": (Kind.AUTH, "the server asks for something other than a password", "use a key for this account"),
    "no-key": (
        Kind.AUTH,
        "no key to log in with",
        "name a key with --private-key or `identity_file`, start an agent, or log in with a password: -k",
    ),
    "key-file": (Kind.AUTH, "cannot use the key", "check `identity_file`"),
    "secret": (Kind.AUTH, "cannot read the login password", "check the secret reference"),
    "account-closed": (
        Kind.AUTH,
        "sshd closed the connection during the login",
        "the account may be expired or not allowed (AllowUsers, PAM); see sshd's log on the host",
    ),
    "password-expired": (Kind.AUTH, "the account's password has expired", "log in by hand and change it"),
    "no-session": (
        Kind.SHELL,
        "sshd refused to open a session",
        "see MaxSessions and restrictions of the key on the host",
    ),
    "no-shell": (Kind.SHELL, "no shell ran the script", "the account needs a POSIX shell and no forced command"),
    "need-password": (
        Kind.BECOME,
        "sudo requires a password",
        "add -K, or set `become: {method: sudo, password: …}`",
    ),
    "bad-password": (Kind.BECOME, "sudo refused the password", "correct the secret; it is not tried again in this run"),
    "sudo-denied": (
        Kind.BECOME,
        "sudo does not let this account run a shell",
        "allow it in sudoers, or log in as root: -u root",
    ),
    "sudo-tty": (
        Kind.BECOME,
        "sudo requires a terminal (requiretty), and script(1), which provides one, is not installed",
        "install util-linux on the host, or write `Defaults:USER !requiretty` with: "
        "visudo -f /etc/sudoers.d/sshd-keepalive",
    ),
    "sudo-prompt": (
        Kind.BECOME,
        "sudo asks for something other than a password",
        "allow the account NOPASSWD, or use root",
    ),
    "sudo-missing": (Kind.BECOME, "neither sudo nor doas is installed", "log in as root: -u root"),
    "sudo-broken": (Kind.BECOME, "sudo does not work", "try it on the host by hand"),
    "doas-denied": (
        Kind.BECOME,
        "doas does not let this account run a shell without a password",
        "add `permit nopass USER` to /etc/doas.conf",
    ),
    "become-secret": (Kind.BECOME, "cannot read the sudo password", "check the secret reference"),
    "deadline": (Kind.TIMEOUT, "no progress before the time limit", "raise --timeout, or look at the host's load"),
    "lost": (Kind.TCP, "the connection broke", "try again; if it happens again, read sshd's log on the host"),
    "jump-host-lost": (
        Kind.TCP,
        "the connection to this jump host was lost",
        "run the command again; if it happens again, read sshd's log on the jump host",
    ),
    "jump-host-denied": (Kind.TCP, "this jump host does not forward", "see AllowTcpForwarding and PermitOpen there"),
}


def make_error(host: Host, cause: str, detail: str = "", *, phase: str = "", hint: str | None = None) -> HostError:
    """Make the error for a class, naming the host.

    Args:
        cause: a class of the table.
        detail: text of the host or the system; made printable here.
        phase: of the login, for `deadline` and `lost`; the cause of the report is then `deadline(kex)`.
        hint: a better next step than the table's.
    """
    kind, what, step = _ROWS[cause]
    suffix = f" ({printable(detail)})" if detail else ""
    reported = f"{cause}({phase})" if phase else cause
    return HostError(f"{where(host)}: {what}{suffix}", kind=kind, cause=reported, hint=hint or step)


def where(host: Host) -> str:
    """Name a host by its name and the address it is reached at."""
    address = f"[{host.address}]:{host.port}" if ":" in host.address else f"{host.address}:{host.port}"
    return address if host.name in (host.address, address) else f"{host.name} ({address})"


def printable(text: str, length: int = 300) -> str:
    """Make text from a server safe for a terminal: one line, no control characters, limited length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


#: First match wins; sudo(8) and doas(1) under LC_ALL=C, and sudo-rs.
_REFUSALS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"incorrect (password|authentication) attempt|sorry, try again", "bad-password"),
        (r"must have a tty|terminal is required to read", "sudo-tty"),
        (r"not in the sudoers file|not allowed to (execute|run)|may not run sudo|i'm afraid i can't", "sudo-denied"),
        (r"sudo: .*(password is required|authentication is required|no password was provided)", "need-password"),
        (r"sudo: .*(account|password).*(expired|locked|not available)", "sudo-denied"),
        (r"doas: (authentication|operation|a tty|not enabled|password)", "doas-denied"),
        (
            r"sudo: .*(effective uid|no new privileges|must be owned|setuid|syntax error|parse error|no valid)",
            "sudo-broken",
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
        return make_error(host, "password-expired", last_line(text))
    if became:
        for pattern, cause in _REFUSALS:
            if match := pattern.search(text):
                return make_error(host, cause, last_line(text, match.start()))
    line = last_line(text)
    return make_error(host, "no-shell", f"{ended}: {line}" if line else ended)


def last_line(text: str, at: int | None = None) -> str:
    """Give the line that stands at `at`, or the last one that is not blank; our own markers are not lines."""
    if at is not None:
        return text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("SKA1 ")]
    return lines[-1] if lines else ""
