"""Mail, Slack, Teams, webhooks and other services of the library apprise: `apprise:env:TEAM_CHAT`.

The URL of a service holds its password or token, so it is always given by reference.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sshd_keepalive.errors import ConfigError, NotifyError, require_extra
from sshd_keepalive.history import notice
from sshd_keepalive.model import Run

if TYPE_CHECKING:
    from apprise import NotifyBase

SECRET: bool = True


def check(target: str) -> None:
    """Check that apprise supports the URL."""
    _open_service(target)


def send(run: Run, target: str) -> None:
    """Send plain text. apprise limits every connection to a few seconds."""
    from apprise import NotifyFormat

    service = _open_service(target)
    message = notice.compose(run)
    if not service.notify(body=message.body, title=message.subject, body_format=NotifyFormat.TEXT):
        name = str(service.service_name)
        raise NotifyError(f"{name}: the notice was not accepted", hint="try the same URL with: apprise -vv -b test URL")


def _open_service(target: str) -> NotifyBase:
    with require_extra("notify"):
        from apprise import Apprise  # 300 ms
    for name in ("apprise", "urllib3"):  # their log messages may hold the URL
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    service = Apprise.instantiate(target, suppress_exceptions=True)
    if service is None:
        hint = "use a URL such as mailtos://… or slack://…, see https://appriseit.com/services/"
        raise ConfigError("apprise: this URL is not supported", hint=hint)
    return service
