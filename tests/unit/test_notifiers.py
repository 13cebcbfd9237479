"""Notices that really arrive: by SMTP, by a webhook, at a program; and sinks that are dead."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sshd_keepalive import notifiers, registry
from sshd_keepalive.errors import ConfigError, ExtraError
from sshd_keepalive.history.notice import When, is_due
from sshd_keepalive.model import Run
from sshd_keepalive.secrets.retrieval import Secrets
from tests.contract.test_reports import FULL, a_run
from tests.support import sinks
from tests.support.fleets import a_fleet

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

FLEET = a_fleet(12, n_past=0)
PASSWORD = "pa55-W0rd-t0ken"


def send(target: str, run: Run = FLEET, when: When = When.ALWAYS) -> None:
    failures = notifiers.send(run, notifiers.open_sinks([target], Secrets())) if is_due(run, when) else ()
    for failure in failures:
        print(f"warning: {failure}", file=sys.stderr)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """A reference; `set_url` says to what."""
    monkeypatch.setenv("NOTICE_URL", "json://127.0.0.1:1")
    return "apprise:env:NOTICE_URL"


# ------------------------------------------------------------------------------------------------ arriving


def test_a_mail_arrives(secret: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with sinks.smtp(("ops", PASSWORD)) as box:
        url = f"mailto://ops:{PASSWORD}@127.0.0.1:{box.port}/?from=ops@example.com&to=team@example.com&mode=insecure"
        monkeypatch.setenv("NOTICE_URL", url)
        send(secret)
        (mail,) = box.mails
    assert "hosts are not compliant" in mail["Subject"]
    body = mail.get_body(preferencelist=("plain", "html"))
    assert body is not None
    text = body.get_content()
    assert "etl-0000" in text
    assert "/etc/ssh/sshd_config:90" in text
    assert capfd.readouterr() == ("", "")


def test_a_webhook_is_called_also_with_what_a_hostile_host_says(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with sinks.http() as hook:
        monkeypatch.setenv("NOTICE_URL", f"json://127.0.0.1:{hook.port}/hook/{PASSWORD}")
        send(secret, a_run((FULL,)))
        ((path, post),) = hook.posts
    assert path == f"/hook/{PASSWORD}"
    assert post["title"] == "sshd-keepalive: 1 of 1 host is not compliant"
    assert "</script>" in post["message"]
    assert "\x1b" not in post["message"]


def test_a_program_gets_subject_and_body(tmp_path: Path) -> None:
    program = tmp_path / "page somebody"
    program.write_text('#!/bin/sh\ncat >"$1"\n')
    program.chmod(0o755)
    taken = tmp_path / "taken; touch oops"
    send(f"command:'{program}' '{taken}'")
    subject, empty, body = taken.read_text().split("\n", 2)
    assert "not compliant" in subject
    assert empty == ""
    assert "etl-0000" in body
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page somebody", "taken; touch oops"]


def test_nothing_is_sent_when_nothing_is_due(tmp_path: Path) -> None:
    fine = replace(a_run(()), exit_code=0)
    send(f"command:touch {tmp_path}/sent", fine, When.DRIFT)
    assert list(tmp_path.iterdir()) == []
    send(f"command:touch {tmp_path}/sent", fine, When.ALWAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["sent"]


# ---------------------------------------------------------------------------------------------- dead sinks


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.mark.parametrize(
    "url",
    [
        "mailto://u:{p}@127.0.0.1:{port}/?from=a@example.com&to=b@example.com&mode=insecure",
        "json://u:{p}@127.0.0.1:{port}/{p}",
    ],
)
def test_a_dead_server_is_one_line_without_the_secret(
    secret: str,
    url: str,
    deaf_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("NOTICE_URL", url.format(p=PASSWORD, port=deaf_port))
    send(secret)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("warning: --notify apprise: ")
    assert err.count("\n") == 1
    assert PASSWORD not in err + caplog.text


def test_a_server_that_refuses_is_reported(
    secret: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with sinks.http(status=500) as hook:
        monkeypatch.setenv("NOTICE_URL", f"json://127.0.0.1:{hook.port}/{PASSWORD}")
        send(secret)
        assert len(hook.posts) == 1
    assert "the notice was not accepted" in capfd.readouterr().err


def test_a_wrong_password_is_reported(
    secret: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with sinks.smtp(("ops", "other")) as box:
        url = f"mailto://ops:{PASSWORD}@127.0.0.1:{box.port}/?from=a@example.com&to=b@example.com&mode=insecure"
        monkeypatch.setenv("NOTICE_URL", url)
        send(secret)
        assert box.mails == []
    err = capfd.readouterr().err
    assert err.startswith("warning: --notify apprise: ")
    assert PASSWORD not in err


def test_a_program_that_fails_is_reported_with_its_last_line(capfd: pytest.CaptureFixture[str]) -> None:
    send("command:sh -c 'echo one >&2; printf \"pager \\033[31mdown\" >&2; exit 7'")
    assert capfd.readouterr().err == "warning: --notify command: sh failed with exit code 7: 'pager \\x1b[31mdown'\n"


@pytest.mark.parametrize(
    ("left", "limit_s"),
    [("sleep 600", 0.3), ("sleep 600 & exit 0", 60.0)],
    ids=["hangs", "leaves a child that holds the pipes"],
)
def test_a_program_that_does_not_end_is_ended(
    left: str, limit_s: float, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from sshd_keepalive.notifiers import command

    monkeypatch.setattr(command, "TIMEOUT_S", limit_s)
    send(f"command:sh -c '{left}'")
    assert capfd.readouterr().err == (
        "" if "exit 0" in left else "warning: --notify command: sh did not end within 0.3 s\n"
    )


def test_one_dead_sink_does_not_silence_the_next(tmp_path: Path) -> None:
    (failure,) = notifiers.send(
        FLEET, notifiers.open_sinks(["command:false", f"command:touch {tmp_path}/sent"], Secrets())
    )
    assert failure.startswith("--notify command: false ")
    assert (tmp_path / "sent").exists()


# ------------------------------------------------------------------------- told before a host is contacted


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("command", "not KIND:TARGET"),
        ("command:", "not KIND:TARGET"),
        ("command:/no/such/program x", "/no/such/program: the program does not exist"),
        ("command:'open", "no closing quotation"),
        ("comand:x", "did you mean 'command'"),
        ("apprise:env:NOT_SET_ANYWHERE", "not set"),
        (f"apprise:mailto://ops:{PASSWORD}@example.com", "not a secret reference"),
        (f"{PASSWORD}", "not KIND:TARGET"),
    ],
)
def test_a_target_that_can_never_work_is_refused(target: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        notifiers.open_sinks([target], Secrets())
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("url", [PASSWORD, f"mailtoo://{PASSWORD}", "json://", f"https//x/{PASSWORD}"])
def test_a_url_that_no_service_takes_is_refused_and_not_shown(
    secret: str, url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTICE_URL", url)
    with pytest.raises(ConfigError, match="this URL is not supported") as caught:
        notifiers.open_sinks([secret], Secrets())
    assert PASSWORD not in f"{caught.value} {caught.value.hint}{capfd.readouterr()}"


def test_a_missing_library_is_named_with_its_extra(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ExtraError, match="not installed") as caught:
        notifiers.open_sinks([secret], Secrets())
    assert caught.value.extra == "notify"


def test_a_sink_shows_no_secret_when_it_is_printed(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTICE_URL", f"json://127.0.0.1/{PASSWORD}")
    (sink,) = notifiers.open_sinks([secret], Secrets())
    assert PASSWORD in sink.target
    assert PASSWORD not in repr(sink)
    assert set(registry.list_names("notifiers")) >= {"apprise", "command"}
