from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_keepalive.hosts.ranges import expand, has_range


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("web[0]", ["web[0]"]),
        ("2001:db8::5", ["2001:db8::5"]),
        ("[2001:db8::5]", ["[2001:db8::5]"]),
        ("ecs-[08:11]", ["ecs-08", "ecs-09", "ecs-10", "ecs-11"]),
        ("ecs-[8:11]", ["ecs-8", "ecs-9", "ecs-10", "ecs-11"]),
        ("ecs-[008:010].example.com", ["ecs-008.example.com", "ecs-009.example.com", "ecs-010.example.com"]),
        ("[0:2]", ["0", "1", "2"]),
        ("db-[a:c]", ["db-a", "db-b", "db-c"]),
        ("db-[X:Z]", ["db-X", "db-Y", "db-Z"]),
        ("web[1:9:4]", ["web1", "web5", "web9"]),
        ("web[1:8:4]", ["web1", "web5"]),
        ("r[1:2]-[a:b]", ["r1-a", "r1-b", "r2-a", "r2-b"]),
    ],
)
def test_expands(text: str, names: list[str]) -> None:
    assert list(expand(text)) == names


@pytest.mark.parametrize(
    "text",
    [
        "a[3:1]",
        "a[b:a]",
        "a[a:C]",
        "a[A:c]",
        "a[1:c]",
        "a[01:5]",
        "a[01:005]",
        "a[1:5:0]",
        "a[0:1000000]",
        "[0:1999][0:1999]",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\["):
        expand(text)


@given(
    first=st.integers(0, 300),
    n=st.integers(1, 300),
    step=st.integers(1, 5),
    tail=st.sampled_from(["", ".example.com", "-x"]),
)
def test_gives_every_name_once_and_in_order(first: int, n: int, step: int, tail: str) -> None:
    last = first + (n - 1) * step
    width = len(str(last))
    names = expand(f"h[{first:0{width}d}:{last:0{width}d}:{step}]{tail}")
    numbers = [int(name.removeprefix("h").removesuffix(tail)) for name in names]
    assert numbers == list(range(first, last + 1, step))
    assert len({len(name) for name in names}) == 1 or str(first)[0] != "0"


@given(st.text(max_size=40))
def test_never_fails_otherwise(text: str) -> None:
    try:
        names = expand(text)
    except ValueError:
        return
    assert has_range(text) or names == (text,)
    assert len(set(names)) == len(names)
