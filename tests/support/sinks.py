"""Real servers on loopback that take notices: SMTP, and HTTP as webhooks know it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session


class Mailbox:
    """What an SMTP server has taken. `login` is the only account it knows."""

    def __init__(self, login: tuple[str, str]) -> None:
        self._login = tuple(word.encode() for word in login)
        self.mails: list[EmailMessage] = []
        self.port = 0

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:
        del server, session
        mail = message_from_bytes(envelope.content or b"", policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    def authenticate(
        self, server: Server, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        good = isinstance(data, LoginPassword) and (data.login, data.password) == self._login
        return AuthResult(success=good, handled=False)


class _AnyPort(Controller):
    """aiosmtpd speaks to itself once it listens, so it has to know where."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def smtp(login: tuple[str, str]) -> Iterator[Mailbox]:
    """An SMTP server on a free port that wants a login."""
    box = Mailbox(login)
    controller = _AnyPort(
        box,
        hostname="127.0.0.1",
        port=0,
        authenticator=box.authenticate,
        auth_required=True,
        auth_require_tls=False,
        ready_timeout=60,
    )
    controller.start()
    try:
        box.port = controller.port
        yield box
    finally:
        controller.stop()


class Webhook:
    """What an HTTP server was sent. `status` is what it answers with."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.port = 0


@contextmanager
def http(status: int = 200) -> Iterator[Webhook]:
    """An HTTP server on a free port that takes JSON."""
    hook = Webhook(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posts.append((self.path, json.loads(body)))
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
