"""Whether something left threads or descriptors behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_KEPT = {"reaper"}  # one for the whole process, by design


@contextmanager
def nothing_left(within_s: float = 30.0) -> Iterator[None]:
    """Fail when the block leaves a thread or a descriptor behind, after a moment to let things end."""
    threads, descriptors = _threads(), _descriptors()
    yield
    end = time.monotonic() + within_s
    while (_threads() - threads or _descriptors() - descriptors) and time.monotonic() < end:
        gc.collect()  # selectors are cycles; mockssh leaves one to the collector
        time.sleep(0.01)
    assert not _threads() - threads
    assert not _descriptors() - descriptors


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name not in _KEPT}


def _descriptors() -> set[tuple[str, str]]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
        if "/proc/" not in target:
            found.add((name, target))
    return found
