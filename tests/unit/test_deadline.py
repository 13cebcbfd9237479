from __future__ import annotations

import threading
import time

from sshd_keepalive.deadline import Deadline, Reaper


def test_alarms_fire_in_order_and_not_early() -> None:
    reaper = Reaper()
    fired: list[str] = []
    done = threading.Event()
    started_s = time.monotonic()

    def arm_all() -> None:
        first, second, last = Deadline(0.1), Deadline(0.2), Deadline(0.3)
        reaper.arm(last, done.set)
        reaper.arm(second, lambda: fired.append("second"))
        reaper.arm(first, lambda: fired.append("first"))

    reaper.arm(Deadline(0), arm_all)  # in the reaper's own thread: none fires before all are armed
    assert done.wait(30)
    assert fired == ["first", "second"]
    assert time.monotonic() - started_s >= 0.3


def test_a_cancelled_alarm_is_forgotten() -> None:
    reaper = Reaper()
    fired: list[int] = []
    done = threading.Event()
    alarms = [reaper.arm(Deadline(60), lambda: fired.append(1)) for _ in range(100)]
    for alarm in alarms:
        alarm.cancel()
        alarm.cancel()
    assert len(reaper._heap) < 100
    reaper.arm(Deadline(0.01), done.set)
    assert done.wait(30)
    for alarm in alarms:
        alarm.fire()
    assert fired == []


def test_an_action_that_fails_does_not_stop_the_others() -> None:
    reaper = Reaper()
    done = threading.Event()
    reaper.arm(Deadline(0), lambda: 1 / 0)
    reaper.arm(Deadline(0.01), done.set)
    assert done.wait(30)


def test_deadline() -> None:
    assert Deadline(-1).is_over
    assert Deadline(-1).left_s() == 0
    assert Deadline(60).left_s(5) == 5
    assert 59 < Deadline(60).left_s() <= 60
