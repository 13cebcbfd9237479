"""The stand-ins that sshd reads before anything is replaced."""

from __future__ import annotations

from sshd_keepalive.model import Glob, NewContent, Plan, Policy, Snapshot
from sshd_keepalive.planning import candidate, plan
from sshd_keepalive.sshd_config.reading import read
from tests.support.snapshots import MAIN, look

D = "/etc/ssh/sshd_config.d"
INCLUDE = f"Include {D}/*.conf\n"


def stand_ins(found: Snapshot, planned: Plan) -> dict[str, str]:
    return {name: content.decode() for name, content in candidate.build(read(found), planned, "/run/c")}


def test_without_a_change_there_is_nothing_to_check() -> None:
    found = look({MAIN: "ClientAliveInterval 300\nClientAliveCountMax 3\n"})
    assert stand_ins(found, plan.plan(read(found), Policy())) == {}


def test_a_changed_main_file_is_the_only_candidate() -> None:
    found = look({MAIN: INCLUDE + "ClientAliveInterval 9\n", f"{D}/a.conf": "Port 22\n"})
    (name, text), *more = stand_ins(found, plan.plan(read(found), Policy())).items()
    assert (name, text) == ("candidate.0", INCLUDE + "ClientAliveInterval 300\nClientAliveCountMax 3\n")
    assert more == []


def test_every_file_on_the_way_to_a_change_gets_a_stand_in() -> None:
    files = {
        MAIN: f"{INCLUDE}Include /other /way\nInclude /way\n",
        "/other": "Port 22\n",
        "/way": "# way\nInclude /deep\n",
        "/deep": "ClientAliveInterval 9\nClientAliveCountMax 3\n",
        f"{D}/a.conf": "Banner none\n",
    }
    found = look(files)
    assert stand_ins(found, plan.plan(read(found), Policy())) == {
        "candidate.0": f'{INCLUDE}Include "/other" "/run/c/candidate.1"\nInclude "/run/c/candidate.1"\n',
        "candidate.1": '# way\nInclude "/run/c/candidate.2"\n',
        "candidate.2": "ClientAliveInterval 300\nClientAliveCountMax 3\n",
    }


def test_files_that_are_to_go_are_left_out() -> None:
    files = {MAIN: f"{INCLUDE}Include /gone\n", f"{D}/a.conf": "Port 22\n", f"{D}/b.conf": "Banner none\n", "/gone": ""}
    globs = (Glob(pattern=f"{D}/*.conf", paths=(f"{D}/a.conf", f"{D}/b.conf")), Glob(pattern="/gone", paths=("/gone",)))
    found = look(files, globs=globs)
    gone = tuple(
        NewContent(path=path, before=files[path].encode(), after=b"", gone=True) for path in (f"{D}/a.conf", "/gone")
    )
    planned = Plan(host=found.host, contents=gone)
    assert stand_ins(found, planned) == {"candidate.0": f'Include "{D}/b.conf"\n\n'}


def test_a_new_drop_in_is_named_where_its_include_would_find_it() -> None:
    found = look({MAIN: INCLUDE}, globs=(Glob(pattern=f"{D}/*.conf", paths=()),))
    new = NewContent(path=f"{D}/00.conf", before=None, after=b"Port 22\n")
    planned = Plan(host=found.host, contents=(new,))
    assert stand_ins(found, planned) == {"candidate.0": 'Include "/run/c/candidate.1"\n', "candidate.1": "Port 22\n"}
