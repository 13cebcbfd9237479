"""Fixtures of the lab; every test in this folder gets the marker `lab`."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .hosts import Lab, LabHost, unavailable

REQUIRE_VARIABLE = "KEEPALIVE_REQUIRE_LAB"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests before `-m` chooses among all of them."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Keep one lab for the session; without one, tests are skipped, or fail if KEEPALIVE_REQUIRE_LAB=1."""
    if reason := unavailable():
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(f"the lab is required: {reason}", pytrace=False)
        pytest.skip(reason)
    with Lab() as running:
        yield running


@pytest.fixture
def boot(lab: Lab) -> Iterator[Callable[..., list[LabHost]]]:
    """`boot("d12", count=2)`: hosts for one test, stopped at its end."""
    with ExitStack() as stack:

        def borrow(kind: str = "d12", *, count: int = 1) -> list[LabHost]:
            return stack.enter_context(lab.borrow(kind, count=count))

        yield borrow
