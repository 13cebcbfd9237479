"""What the tests run scripts with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.shell import installed_shells, tools_of


def test_threads_make_the_tools_of_a_shell_at_the_same_time() -> None:
    shell = installed_shells()[0]
    with ThreadPoolExecutor(4) as pool:  # the cache lets all in that come before the first one ends
        folders = list(pool.map(tools_of.__wrapped__, [shell] * 4))
    assert all((folder / "sh").exists() for folder in folders)
