"""A small OpenStack on loopback: Keystone, Nova and Glance as far as listing servers needs them.

Shapes and status codes: OpenStack's public API references, Identity v3 ("Password authentication with scoped
authorization"), Compute v2.1 ("List Servers Detailed", "Paginated collections") and Image v2 ("Show image").
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Cloud:
    """What the cloud holds, and how it behaves."""

    servers: list[dict[str, Any]]
    page_size: int = 25
    has_links: bool = True  # False: as clouds that cap a page and do not say so
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    password: str = "right"
    expires_after_pages: int = 0  # the token is worth nothing after so many pages
    deletes_marker: int = 0  # so many times the last server of a page is gone when the next is asked for
    ignores_marker: bool = False
    garbage: bytes | None = None  # in place of servers
    url: str = ""
    tokens: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    pages: int = 0

    def page(self, marker: str | None) -> tuple[int, dict[str, Any]]:
        """One answer of `GET /servers/detail`."""
        ids = [server["id"] for server in self.servers]
        if marker and self.deletes_marker:
            self.deletes_marker -= 1
            self.servers = [server for server in self.servers if server["id"] != marker]
            return 400, {"badRequest": {"code": 400, "message": f"marker [{marker}] not found"}}
        begin = ids.index(marker) + 1 if marker and not self.ignores_marker else 0
        found = self.servers[begin : begin + self.page_size]
        body: dict[str, Any] = {"servers": found}
        if self.has_links and begin + self.page_size < len(self.servers):
            href = f"{self.url}/compute/v2.1/servers/detail?marker={found[-1]['id']}"
            body["servers_links"] = [{"rel": "next", "href": href}]
        self.pages += 1
        if self.expires_after_pages and self.pages % self.expires_after_pages == 0:
            self.tokens.clear()
        return 200, body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cloud = self.cloud
        cloud.requests.append(f"POST {self.path}")
        if asked["auth"]["identity"]["password"]["user"]["password"] != cloud.password:
            self._answer(
                401,
                {
                    "error": {
                        "code": 401,
                        "title": "Unauthorized",
                        "message": "The request you have made requires authentication.",
                    }
                },
            )
            return
        token = f"token-{len(cloud.requests)}"
        cloud.tokens.append(token)
        services = {"identity": "/v3", "compute": "/compute/v2.1", "image": "/image"}
        catalog = [
            {
                "type": kind, "name": kind, "id": kind,
                "endpoints": [
                    {"id": kind, "interface": "public", "region": "r1", "region_id": "r1", "url": cloud.url + path}
                ],
            }
            for kind, path in services.items()
        ]  # fmt: skip
        project = {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}}
        body = {
            "methods": ["password"], "catalog": catalog, "project": project, "roles": [{"id": "r", "name": "reader"}],
            "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2099-01-01T00:00:00.000000Z",
        }  # fmt: skip
        self._answer(201, {"token": body}, X_Subject_Token=token)

    def do_GET(self) -> None:
        cloud, parts = self.cloud, urlsplit(self.path)
        cloud.requests.append(f"GET {self.path}")
        path = parts.path.rstrip("/")

        def version(number: str, place: str, **more: str) -> dict[str, Any]:
            links = [{"rel": "self", "href": f"{cloud.url}{place}/"}]
            return {"id": number, "status": "CURRENT", "links": links, **more}

        if path == "":
            self._answer(300, {"versions": {"values": [version("v3.14", "/v3")]}})
        elif path == "/v3":
            self._answer(200, {"version": version("v3.14", "/v3")})
        elif path == "/compute/v2.1":
            self._answer(200, {"version": version("v2.1", path, version="2.96", min_version="2.1")})
        elif path == "/image":
            self._answer(300, {"versions": [version("v2.9", "/image/v2")]})
        elif self.headers.get("X-Auth-Token") not in cloud.tokens:
            self._answer(401, {"error": {"code": 401, "title": "Unauthorized", "message": "token is not valid"}})
        elif path == "/compute/v2.1/servers/detail" and cloud.garbage is not None:
            self._answer(200, cloud.garbage)
        elif path == "/compute/v2.1/servers/detail":
            status, body = cloud.page(parse_qs(parts.query).get("marker", [None])[0])
            if not self.headers.get("OpenStack-API-Version", "").startswith("compute 2."):
                body = {
                    **body,
                    "servers": [{k: v for k, v in s.items() if k != "tags"} for s in body.get("servers", ())],
                }
            self._answer(status, body)
        elif path.startswith("/image/v2/images/") and path.rpartition("/")[2] in cloud.images:
            self._answer(200, cloud.images[path.rpartition("/")[2]])
        else:
            self._answer(404, {"itemNotFound": {"code": 404, "message": "not found"}})


def server(number: int, **more: Any) -> dict[str, Any]:
    """One server as Nova lists it."""
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"ecs-{number:02d}",
        "status": "ACTIVE",
        "addresses": {
            "net-a": [{"version": 4, "addr": f"10.0.{number >> 8}.{number & 255}", "OS-EXT-IPS:type": "fixed"}]
        },
        "accessIPv4": "",
        "metadata": {"os_type": "Linux"},
        "tags": [],
        "OS-EXT-AZ:availability_zone": "eu-01",
        "image": {"id": "linux"},
        **more,
    }


@contextmanager
def running(cloud: Cloud, *, certificate: tuple[Path, Path] | None = None) -> Iterator[Cloud]:
    """Serve the cloud on loopback until the end of the block; with a certificate and its key over TLS."""
    handler = type("Handler", (_Handler,), {"cloud": cloud})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        cloud.url = f"{'https' if certificate else 'http'}://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield cloud
        finally:
            http.shutdown()
            thread.join()
