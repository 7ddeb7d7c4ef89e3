"""A request to stop leaves the job in hand its time, and a second one leaves it none."""

from typing import TYPE_CHECKING

from consumer.lifecycle.stop_request import StopRequest

if TYPE_CHECKING:
    from tests.conftest import FakeClock


def test_the_job_in_hand_may_finish_within_the_drain_time(clock: "FakeClock") -> None:
    stop = StopRequest(clock, drain_seconds=50)
    assert not stop.must_abort()
    stop.request()
    assert stop.requested
    clock.advance(49)
    assert not stop.must_abort()
    clock.advance(1)
    assert stop.must_abort()


def test_a_second_request_ends_the_job_at_once(clock: "FakeClock") -> None:
    stop = StopRequest(clock, drain_seconds=50)
    stop.request()
    stop.request()
    assert stop.must_abort()


def test_a_wait_ends_with_the_request(clock: "FakeClock") -> None:
    stop = StopRequest(clock, drain_seconds=50)
    stop.wait(10)
    began = clock.monotonic()
    stop.request()
    stop.wait(10)
    assert clock.monotonic() == began
