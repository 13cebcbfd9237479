"""The servers of an OpenStack cloud, `openstack:CLOUD`: Open Telekom Cloud, Huawei Cloud and any other.

CLOUD is an entry of clouds.yaml. openstacksdk logs in, renews its token and requests pages until one is empty: some
clouds limit a page without a link to the next one.
Source: OpenStack's Compute API, "Paginated collections"; Huawei Cloud's ECS API, "Querying Data in Pages".
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sshd_keepalive import files
from sshd_keepalive.errors import ConfigError, require_extra
from sshd_keepalive.hosts import argument
from sshd_keepalive.hosts.servers import ServerSelection, build_hosts, find_image, is_active
from sshd_keepalive.model import Host
from sshd_keepalive.spelling import show

LOG: Final = logging.getLogger(__name__)
OPTIONS: Final = ("address", "region", "user", "prefix", "cache")
REQUEST_LIMIT_S: Final = 60
LISTING_LIMIT_S: Final = 900
TRIES: Final = 3
PAGE: Final = 1000  # servers; a cloud may give fewer
TAGS_SINCE: Final = "2.26"  # the microversion that lists a server's tags
_KEPT: Final = (
    "id", "name", "status", "addresses", "accessIPv4", "accessIPv6", "metadata", "tags", "image",
    "OS-EXT-AZ:availability_zone",
)  # fmt: skip
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def load(source: str) -> tuple[Host, ...]:
    """Load the ACTIVE servers of a cloud that do not run Windows.

    Options after `?`: `address=private` (default), `public` or `cidr:10.0.0.0/8`; `region`; `user`, the login name;
    `prefix`, for the names; `cache=SECONDS`, the age of a usable earlier answer (default 0: ask the cloud).

    Raises:
        ConfigError: the cloud is not configured, not verified, not reachable, or gives an invalid answer.
    """
    cloud, options = argument.split(source, OPTIONS)
    selection, max_age_s = _parse_options(cloud, options)
    file = _locate_cache(cloud, options.get("region", ""))
    answer = _read_cache(file)
    age_s = time.time() - answer["asked_at"] if answer else 0.0
    if answer is None or not 0 <= age_s <= max_age_s:
        answer = _fetch(cloud, options.get("region"))
        _write_cache(file, answer)
    else:
        LOG.warning(
            "openstack:%s: %d servers from the cache, %d s old; cache=0 asks the cloud",
            cloud, len(answer["servers"]), age_s,
        )  # fmt: skip
    hosts = build_hosts(answer["servers"], selection, systems=answer["systems"])
    LOG.info("openstack:%s: %d servers, %d of them are hosts", cloud, len(answer["servers"]), len(hosts))
    if not hosts:
        raise ConfigError(f"openstack:{cloud}: none of {len(answer['servers'])} servers is ACTIVE and runs Linux")
    return hosts


def list_known(source: str) -> tuple[Host, ...]:
    """List the hosts of the last answer, of any age."""
    cloud, options = argument.split(source, OPTIONS)
    answer = _read_cache(_locate_cache(cloud, options.get("region", "")))
    return (
        build_hosts(answer["servers"], _parse_options(cloud, options)[0], systems=answer["systems"]) if answer else ()
    )


def _parse_options(cloud: str, options: dict[str, str]) -> tuple[ServerSelection, float]:
    if not cloud:
        raise ConfigError(
            "openstack: the name of the cloud is missing",
            hint="write openstack:CLOUD, where CLOUD is an entry of clouds.yaml",
        )
    selection = ServerSelection(
        address=options.get("address", "private"), prefix=options.get("prefix", ""), user=options.get("user")
    )
    cache = options.get("cache", "0")
    try:
        selection.parse_network()
        if not (cache.isascii() and cache.isdigit()):
            raise ValueError(f"cache is a number of seconds, not {show(cache)}")
    except ValueError as error:
        raise ConfigError(f"openstack:{cloud}: {error}") from None
    return selection, float(cache)


# ------------------------------------------------------------------------------------------------- the cloud


def _fetch(cloud: str, region: str | None) -> dict[str, Any]:
    """Log in and list everything; every failure is a ConfigError."""
    with require_extra("openstack"):
        import openstack
        from keystoneauth1.exceptions import ClientException
        from openstack.exceptions import SDKException
    try:
        config = openstack.config.OpenStackConfig()
        more: dict[str, Any] = {"region_name": region} if region else {}
        region_config = config.get_one(cloud=cloud, api_timeout=REQUEST_LIMIT_S, **more)
        _refuse_unverified(cloud, region_config)
        with openstack.connection.Connection(config=region_config) as connection:
            _refuse_plain(cloud, str(connection.compute.get_endpoint() or ""))
            servers = _list_servers(connection, cloud)
            systems = _fetch_systems(connection, servers)
        return {"schema": 1, "asked_at": time.time(), "servers": servers, "systems": systems}
    except (SDKException, ClientException, OSError) as error:
        text = " ".join(str(error).split())
        hint = "check its entry in clouds.yaml"
        if "certificate" in text.lower() or "ssl" in text.lower():
            hint = "name the authority as `cacert` in clouds.yaml; the check is never switched off"
        raise ConfigError(f"openstack:{cloud}: {show(text, longest=300)}", hint=hint) from None


def _refuse_unverified(cloud: str, region_config: Any) -> None:
    verify, _ = region_config.get_requests_verify_args()
    if verify is False:
        raise ConfigError(
            f"openstack:{cloud}: clouds.yaml says `verify: false`, so anybody on the path could supply hosts",
            hint="remove it, and name the authority as `cacert`",
        )
    _refuse_plain(cloud, str(region_config.config.get("auth", {}).get("auth_url") or ""))


def _refuse_plain(cloud: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"openstack:{cloud}: {url} is not https, so the password or token would be sent in clear text"
        )


def _list_servers(connection: Any, cloud: str) -> list[dict[str, Any]]:
    """List all servers; start again when the last one of a page is deleted before the next page is requested."""
    from openstack.exceptions import BadRequestException

    for _ in range(TRIES):
        try:
            return list({server["id"]: server for server in _list_pages(connection, cloud)}.values())
        except BadRequestException:
            continue
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ConfigError(f"openstack:{cloud}: the answer is not a list of servers") from None
    raise ConfigError(f"openstack:{cloud}: the servers change faster than they can be listed, try again")


def _list_pages(connection: Any, cloud: str) -> Iterator[dict[str, Any]]:
    """List all pages: with a limit, openstacksdk requests the next page until one is empty."""
    from openstack.compute.v2.server import Server
    from openstack.utils import maximum_supported_microversion

    version = maximum_supported_microversion(connection.compute, TAGS_SINCE)
    end_at = time.monotonic() + LISTING_LIMIT_S
    for server in Server.list(connection.compute, base_path="/servers/detail", limit=PAGE, microversion=version):
        if time.monotonic() > end_at:
            raise ConfigError(f"openstack:{cloud}: not all servers were listed within {LISTING_LIMIT_S} s")
        data = server.to_dict(computed=False, original_names=True)
        yield {key: data[key] for key in _KEPT if data[key] is not None}


def _fetch_systems(connection: Any, servers: list[dict[str, Any]]) -> dict[str, str]:
    """Fetch the operating systems of images, for servers that do not name theirs; a deleted image counts as Linux."""
    systems: dict[str, str] = {}
    for image in {image for server in servers if is_active(server) and (image := find_image(server))}:
        response = connection.image.get(f"/images/{image}")
        if response.status_code == 200:
            data = response.json()
            systems[image] = str(data.get("os_type") or data.get("__os_type") or "")
    return systems


# ------------------------------------------------------------------------------------------------- the cache


def _locate_cache(cloud: str, region: str) -> Path:
    from platformdirs import user_cache_path

    which = "\0".join((cloud, region, os.environ.get("OS_CLIENT_CONFIG_FILE", ""), str(Path.cwd())))
    return user_cache_path("sshd-keepalive") / f"openstack-{hashlib.sha256(which.encode()).hexdigest()[:24]}.json"


def _read_cache(file: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(file.read_bytes())
        is_complete = (
            answer["schema"] == 1 and isinstance(answer["servers"], list) and isinstance(answer["asked_at"], float)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return answer if is_complete else None


def _write_cache(file: Path, answer: dict[str, Any]) -> None:
    """Write the cache atomically, readable by this account only; a failure is logged and ignored."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(file, json.dumps(answer).encode(), mode=0o600)
    except OSError as error:
        LOG.info("no cache: %s", error)
