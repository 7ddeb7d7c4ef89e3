"""The gate: nothing begins while a live session holds the lock or after a stop, and S3 is asked no more than needed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from consumer.lifecycle.gate import Gate
from consumer.lifecycle.stop_request import StopRequest
from shared.state.lock import Holder, LockState, SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.consumer.conftest import Refuse


class Door:
    """A gate over a lock that a test takes; counts how often it was read."""

    def __init__(self, clock: "FakeClock") -> None:
        self.clock = clock
        self.reads = 0
        self._holders: tuple[Holder, ...] = ()
        self.stop = StopRequest(clock, drain_seconds=50)
        self.gate = Gate(self._read, self.stop, clock)

    def take(self) -> None:
        self._holders = (Holder(user_id="u", session_id="live", timestamp=self.clock.now()),)

    def release(self) -> None:
        self._holders = ()

    def _read(self) -> LockState:
        self.reads += 1
        return LockState(self._holders)


@pytest.fixture
def lock(cloud: "Cloud", clock: "FakeClock") -> SessionLock:
    """The real one, in the test cloud."""
    return SessionLock(cloud.s3, cloud.settings.bucket, clock, timedelta(minutes=30))


@pytest.fixture
def door(clock: "FakeClock") -> Door:
    return Door(clock)


def test_the_gate_is_open_while_no_live_session_holds_the_lock(door: Door) -> None:
    assert door.gate.is_open()
    door.take()
    door.clock.advance(2)
    assert not door.gate.is_open()
    door.release()
    door.clock.advance(2)
    assert door.gate.is_open()


def test_the_lock_is_read_once_in_two_seconds_however_often_the_gate_is_asked(door: Door) -> None:
    for _ in range(40):  # ten seconds
        door.gate.is_open()
        door.clock.advance(0.25)
    assert door.reads == 5


def test_threads_that_ask_at_the_same_time_share_one_read(lock: SessionLock, clock: "FakeClock") -> None:
    together, reads = threading.Barrier(8), list[LockState]()

    def read() -> LockState:
        reads.append(lock.read())
        return reads[-1]

    gate = Gate(read, StopRequest(clock, drain_seconds=50), clock)

    def ask(_: int) -> bool:
        together.wait(timeout=10)
        return gate.is_open()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
    assert len(reads) == 1


def test_a_lock_that_is_taken_is_seen_two_seconds_later_at_the_latest(door: Door) -> None:
    assert door.gate.is_open()
    door.take()
    door.clock.advance(1.9)
    assert door.gate.is_open()
    door.clock.advance(0.1)
    assert not door.gate.is_open()


def test_a_look_is_always_at_the_lock_as_it_is_now_and_the_gate_goes_by_it(door: Door) -> None:
    assert door.gate.is_open()
    door.take()
    assert [holder.session_id for holder in door.gate.look().holders] == ["live"]
    assert not door.gate.is_open()
    assert door.reads == 2


def test_a_look_that_is_getting_old_is_renewed_so_that_the_gate_need_not_read(door: Door) -> None:
    door.gate.is_open()
    door.clock.advance(1.5)
    door.gate.refresh()
    door.gate.refresh()  # this one is fresh
    assert door.reads == 2
    door.clock.advance(1.5)  # three seconds after the first read
    assert door.gate.is_open()
    assert door.reads == 2


def test_a_lock_that_cannot_be_read_counts_as_held_and_a_person_is_told(
    cloud: "Cloud", lock: SessionLock, clock: "FakeClock", refuse: "Refuse"
) -> None:
    gate = Gate(lock.read, StopRequest(clock, drain_seconds=50), clock)
    refuse(cloud.s3, "s3.GetObject", "AccessDenied", 403, times=1)
    with capture_logs() as logs:
        assert not gate.is_open()
    assert [(line["event"], line["log_level"]) for line in logs] == [("lock_unreadable", "error")]
    clock.advance(2)
    assert gate.is_open()


@pytest.mark.parametrize("shut", [lambda door: door.gate.close(), lambda door: door.stop.request()])
def test_once_it_is_closed_or_a_stop_is_asked_for_nothing_begins_any_more(
    door: Door, shut: Callable[[Door], None]
) -> None:
    assert door.gate.is_open()
    shut(door)
    assert not door.gate.is_open()
    door.clock.advance(60)
    assert not door.gate.is_open()
    # The lock itself can still be looked at, for the report.
    assert not door.gate.look().held


def test_a_fleet_without_live_sessions_has_no_lock_to_wait_for_but_can_be_stopped(clock: "FakeClock") -> None:
    stop = StopRequest(clock, drain_seconds=50)
    gate = Gate(None, stop, clock)
    gate.refresh()
    assert gate.is_open()
    assert gate.look() == LockState()
    stop.request()
    assert not gate.is_open()
