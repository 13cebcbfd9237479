"""Which driver serves whom, and that the direct one knows the installed paramiko."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import replace

import paramiko
import pytest

from sshd_keepalive.model import Host
from sshd_keepalive.ssh import connect as ssh
from sshd_keepalive.ssh import direct
from sshd_keepalive.ssh.transport import Client

HOST = Host(name="h", address="192.0.2.1")


@pytest.fixture(autouse=True)
def unknown() -> Iterator[None]:
    direct._is_fit.cache_clear()
    yield
    direct._is_fit.cache_clear()


def test_the_installed_paramiko_is_known() -> None:
    assert direct.serves(HOST)
    assert ssh._driver(HOST, scripts_only=True) is direct.DirectClient


def test_who_needs_a_connection_that_lives_by_itself_gets_the_standard_driver() -> None:
    assert ssh._driver(HOST, scripts_only=False) is Client
    for host in (replace(HOST, jump=(HOST,)), replace(HOST, password="env:P")):
        assert ssh._driver(host, scripts_only=True) is Client


@pytest.mark.parametrize(("owner", "name", "parameters"), direct.NAMES)
def test_another_paramiko_is_served_by_the_standard_driver(
    owner: type,
    name: str,
    parameters: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, direct.LOG.name)
    monkeypatch.setattr(owner, name, lambda self, something_else: None)
    assert ssh._driver(HOST, scripts_only=True) is Client
    assert ssh._driver(HOST, scripts_only=True) is Client
    assert caplog.messages == [
        f"paramiko {paramiko.__version__} is not known: each connection takes a thread of its own"
    ]


def test_without_greenlet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    assert ssh._driver(HOST, scripts_only=True) is Client
