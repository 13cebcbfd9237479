"""Whatever stands in an inventory: hosts, or a ConfigError that shows no secret. Nothing else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.inventories import yaml
from sshd_keepalive.model import Host

CASES = Path(__file__).parents[1] / "cases" / "inventory"
LINES = sorted({line for path in CASES.glob("*.yaml") for line in path.read_bytes().splitlines()})
SCRAPS = [b": ", b"{", b"}", b"[", b"]", b"- ", b"&a ", b"*a", b"<<: ", b"'", b"no", b"~", b"!x ", b"\t", b"@"]
SECRET = "correct-horse-battery"
PLACES = ["password: {}", "become: {{method: sudo, password: {}}}", "become: {}", "password:{}", "password {}"]
FORMS = ["{}", "'{}'", "env: {}", "Env:{}", "!vault {}", "[{}]", "env:{}!"]


def outcome(text: bytes) -> tuple[Host, ...] | str:
    with TemporaryDirectory() as folder:
        file = Path(folder, "hosts.yaml")
        file.write_bytes(text)
        try:
            return yaml.load(str(file))
        except ConfigError as error:
            return f"{error} {error.hint or ''}".replace(str(file), "hosts.yaml")


@given(lines=st.lists(st.sampled_from(LINES), max_size=12), cut=st.integers(0, 300), scrap=st.sampled_from(SCRAPS))
def test_gives_hosts_or_mistakes(lines: list[bytes], cut: int, scrap: bytes) -> None:
    text = b"\n".join([b"hosts:", *lines, b""])
    found = outcome(text[:cut] + scrap + text[cut:])
    if isinstance(found, str):
        assert all(line.startswith("hosts.yaml:") for line in found.splitlines())
    else:
        assert len({host.name for host in found}) == len(found) > 0
        assert all(hop.jump == () and hop.name != host.name for host in found for hop in host.jump)


@given(place=st.sampled_from(PLACES), form=st.sampled_from(FORMS), flow=st.booleans())
def test_shows_no_secret(place: str, form: str, flow: bool) -> None:
    setting = place.format(form.format(SECRET))
    found = outcome((f"hosts:\n  a: {{{setting}}}\n" if flow else f"hosts:\n  a:\n    {setting}\n").encode())
    assert isinstance(found, str)
    assert SECRET not in found
