"""Two commands of the inventory, used unchecked: for service managers that have no module."""

from sshd_keepalive.model import ServiceChoice

RANK: int = 0
DETECT: str = "false"


def find(service: ServiceChoice) -> str:
    """Set `$unit` to a placeholder: the commands need no unit."""
    return "unit='command'"


def is_active(service: ServiceChoice) -> str:
    """Run the inventory's `is_active`."""
    return service.is_active or "false"


def restart(service: ServiceChoice) -> str:
    """Run the inventory's `restart`."""
    return service.restart or "false"
