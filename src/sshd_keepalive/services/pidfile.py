"""An sshd without a manager, found by its PID file: SIGHUP makes it execute itself again; an sshd that has ended
is started with the same options.

Source: sshd(8), "SIGHUP". The process keeps its number; the PID file is written again at the end of the start,
which is how the guard sees that it came back. Before OpenSSH 8.0 a SIGHUP under connection load can lose the
listening socket (bug 2953), so a supervised daemon is restarted by its manager instead.
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote

RANK: int = 0
DETECT: str = "false"


def find(service: ServiceChoice) -> str:
    """Set `$unit` to the file."""
    return f"unit={quote(service.pidfile or '')}"


def is_active(service: ServiceChoice) -> str:
    """Exit 0 while the process of the file lives."""
    return f'kill -0 "$(cat {quote(service.pidfile or "")})"'


def restart(service: ServiceChoice) -> str:
    """Restart, and wait (10 s at most) until the new start has removed and rewritten its PID file.

    A daemon that is gone is started with the options that the guard recorded in `$RUN`; without -D it detaches itself.
    """
    path = quote(service.pidfile or "")
    return (
        f'if old=$(cat {path} 2>/dev/null) && kill -0 "$old" 2>/dev/null; then rm -f {path} && kill -HUP "$old"; '
        "else start_daemon; fi && n=0 && "
        f"until test -s {path}; do n=$((n+1)); test $n -lt 100 || return 1; sleep 0.1; done"
    )
