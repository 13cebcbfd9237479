"""Two commands of the inventory, believed as they are: for managers nobody else knows."""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.services import believed, detached, no_boot, no_start, nothing, woken

RANK: int = 0
DETECT: str = "false"
later = detached
cancel = woken
at_boot = no_boot
not_at_boot = nothing
obstacle = believed
next_start = no_start


def find(service: ServiceChoice) -> str:
    """There is no unit to be named."""
    return "printf command"


def is_active(service: ServiceChoice) -> str:
    """The inventory's `is_active`."""
    return service.is_active or "false"


def restart(service: ServiceChoice) -> str:
    """The inventory's `restart`."""
    return service.restart or "false"
