"""What an earlier run left on a host, and the plan that takes it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sshd_keepalive.errors import HostError, ParseError
from sshd_keepalive.model import Context
from sshd_keepalive.planning import diff, undo
from sshd_keepalive.planning.undo import Past
from sshd_keepalive.scripts.guard import GuardEnd
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, look

OWN = "/etc/ssh/sshd_config.d/00-sshd-keepalive.conf"
OLD, NEW = "Include /etc/ssh/sshd_config.d/*.conf\n", "Include /etc/ssh/sshd_config.d/*.conf\n# ours\n"
PAST = Past(run_id="r1", how=GuardEnd.APPLIED, files=((MAIN, OLD.encode(), NEW.encode()), (OWN, None, b"Port 22\n")))


def test_the_script_names_the_run_as_one_word() -> None:
    found = replace(look({MAIN: NEW}), state_dir="/var/x")
    assert "WANTED='it'\\''s'" in undo.build_script(found, "it's")


def test_a_run_is_read_from_its_records() -> None:
    told = b"run 2\nr1\nhow 7\napplied\ntarget 2\n/a\nold 1\nx\nnew 1\ny\ntarget 2\n/b\nnew 1\nz\n"
    assert undo.parse(told) == Past(run_id="r1", how=GuardEnd.APPLIED, files=(("/a", b"x", b"y"), ("/b", None, b"z")))
    assert undo.parse(b"") is None


def test_backups_that_others_may_have_written_are_not_read() -> None:
    with pytest.raises(HostError, match="not read: another account than root may write to /var") as raised:
        undo.parse(b"unsafe 4\n/var\n")
    assert (raised.value.kind, raised.value.cause) == ("read_only", "not_ours")
    told = b"unsafe 4\n/var\nrun 2\nr1\nhow 7\napplied\n"
    assert undo.parse(told) == Past(run_id="r1", how=GuardEnd.APPLIED, files=()), "there is a place that is safe"


def test_the_old_bytes_come_back_and_what_was_made_goes() -> None:
    planned = undo.plan(read(look({MAIN: NEW, OWN: "Port 22\n"})), PAST, force=False)
    assert [(c.path, c.after, c.gone) for c in planned.contents] == [(MAIN, OLD.encode(), False), (OWN, b"", True)]
    assert planned.restart
    (everybody,) = planned.predictions
    assert everybody.context == Context()
    assert diff.render_diff(planned).splitlines() == [
        f"--- {MAIN}",
        f"+++ {MAIN}",
        "@@ -1,2 +1 @@",
        f" {OLD.strip()}",
        "-# ours",
        f"--- {OWN}",
        "+++ /dev/null",
        "@@ -1 +0,0 @@",
        "-Port 22",
    ]


def test_what_is_as_it_was_stays() -> None:
    planned = undo.plan(read(look({MAIN: OLD})), PAST, force=False)
    assert (planned.contents, planned.restart) == ((), False)


def test_a_file_edited_since_is_brought_back_by_force_only() -> None:
    found = look({MAIN: NEW + "# by hand\n", OWN: "Port 22\n"})
    with pytest.raises(HostError, match="was edited since run r1") as raised:
        undo.plan(read(found), PAST, force=False)
    assert raised.value.kind == "changed_meanwhile"
    assert undo.plan(read(found), PAST, force=True).contents[0].after == OLD.encode()


def test_a_file_that_somebody_removed_since_counts_as_edited() -> None:
    with pytest.raises(HostError, match=OWN):
        undo.plan(read(look({MAIN: NEW})), replace(PAST, files=((OWN, b"x\n", b"y\n"),)), force=False)


def test_old_files_that_sshd_would_refuse_today() -> None:
    past = replace(PAST, files=((MAIN, b"ClientAliveInterval x\n", NEW.encode()),))
    with pytest.raises(ParseError):
        undo.plan(read(look({MAIN: NEW})), past, force=False)
