"""runit: `runsv` supervises one service directory; `sv` controls it.

Source: sv(8), runsv(8). runit has no timers and no place for a command of one boot.
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.services import quote_unit

RANK: int = 5  # the supervisor of sshd counts, not the init of the machine
DETECT: str = "is_supervised_by runsv"


def find(service: ServiceChoice) -> str:
    """Set `$unit` to the service directory: runsv runs in it."""
    return 'if is_supervised_by runsv; then unit=$(readlink "/proc/$parent/cwd"); fi'


def is_active(service: ServiceChoice) -> str:
    """Exit 0 when the process of the service runs."""
    return f"sv status {quote_unit(service)} | grep -q '^run:'"


def restart(service: ServiceChoice) -> str:
    """Send TERM and start the service again; sv waits for the new process."""
    return f"sv -w 15 restart {quote_unit(service)}"
