"""The names of paramiko that the transport relies on, held against the installed release."""

from __future__ import annotations

import inspect
import zlib

import paramiko
import pytest
from paramiko.auth_handler import AuthHandler
from paramiko.packet import Packetizer

from sshd_keepalive.ssh.transport import AheadAuthHandler, Client, Deflate, Inflate, PatientPacketizer


@pytest.mark.parametrize(
    "name",
    [
        "_preferred_ciphers",
        "_preferred_macs",
        "_preferred_kex",
        "_kex_info",
        "_cipher_info",
        "_mac_info",
        "_key_info",
        "_channel_handler_table",
        "_active_check_timeout",
        "_parse_disconnect",
        "_parse_debug",
        "_log",
        "preferred_keys",
        "preferred_ciphers",
        "_preferred_compression",
        "_compression_info",
        "_auth_trigger",
        "_send_message",
        "_send_user_message",
        "_next_channel",
        "_parse_ext_info",
        "is_authenticated",
        "get_exception",
    ],
)
def test_the_transport_has(name: str) -> None:
    assert hasattr(paramiko.Transport, name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("start_handshake", ["self", "timeout"]),
        ("handshake_timed_out", ["self"]),
        ("complete_handshake", ["self"]),
        ("readline", ["self", "timeout"]),
        ("read_message", ["self"]),
        ("_read_timeout", ["self", "timeout"]),
    ],
)
def test_the_packetizer_has(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(Packetizer, name)).parameters) == parameters
    assert name in vars(PatientPacketizer)


@pytest.mark.parametrize(
    ("name", "parameters"), [("_request_auth", ["self"]), ("_parse_service_accept", ["self", "m"])]
)
def test_the_login_has(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(AuthHandler, name)).parameters) == parameters
    assert name in vars(AheadAuthHandler)


@pytest.mark.parametrize(
    "name",
    [
        "_handle_request",
        "_handle_close",
        "_set_transport",
        "_set_window",
        "_event_pending",
        "_wait_for_event",
        "out_window_size",
        "active",
        "recv_stderr_ready",
        "status_event",
    ],
)
def test_the_channel_has(name: str) -> None:
    assert hasattr(paramiko.Channel(0), name)


def test_what_we_offer_is_what_paramiko_has() -> None:
    assert set(Client._preferred_ciphers) <= set(Client._cipher_info)
    assert set(Client._preferred_macs) <= set(Client._mac_info)
    assert set(Client._preferred_kex) <= set(Client._kex_info)
    assert "curve25519-sha256" in Client._preferred_kex


def test_nothing_weak_is_offered() -> None:
    offered = " ".join((*Client._preferred_ciphers, *Client._preferred_macs, *Client._preferred_kex))
    for weak in ("cbc", "3des", "arcfour", "md5", "hmac-sha1", "group1-", "group-exchange-sha1"):
        assert weak not in offered


def test_compression_begins_after_the_login_only() -> None:
    """A server decompresses nobody's bytes before."""
    assert Client._preferred_compression == ("zlib@openssh.com", "none")
    assert set(Client._preferred_compression) == set(Client._compression_info)


def test_a_packet_that_repeats_an_earlier_one_is_short() -> None:
    deflate, inflate = Deflate(), Inflate()
    text = bytes(range(256)) * 4
    packets = [deflate(text), deflate(text)]
    assert [inflate(packet) for packet in packets] == [text, text]
    assert len(packets[1]) < len(packets[0]) / 4


@pytest.mark.parametrize("packet", [zlib.compress(bytes(10_000_000)), b"not compressed"])
def test_a_packet_that_takes_too_much_memory_or_is_damaged_ends_the_connection(packet: bytes) -> None:
    with pytest.raises(paramiko.SSHException, match="packet"):
        Inflate()(packet)
