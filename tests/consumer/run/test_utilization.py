"""The busy time: what an instance is paid for, so time in which windows overlap counts once."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.run.utilization import BusyMeter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import FakeClock


def test_windows_one_after_the_other_count_as_long_as_they_last(clock: "FakeClock") -> None:
    spans: list[float] = []
    meter = BusyMeter(clock, spans.append)
    for seconds in (3, 4):
        with meter.working():
            clock.advance(seconds)
        clock.advance(100)
    assert spans == [3, 4]


def test_time_in_which_windows_overlap_counts_once(clock: "FakeClock") -> None:
    spans: list[float] = []
    meter = BusyMeter(clock, spans.append)
    first, second = meter.working(), meter.working()
    first.__enter__()
    clock.advance(2)
    second.__enter__()
    clock.advance(3)
    first.__exit__(None, None, None)
    clock.advance(4)
    second.__exit__(None, None, None)
    assert sum(spans) == 9


def test_a_window_under_way_counts_up_to_now(clock: "FakeClock") -> None:
    spans: list[float] = []
    meter = BusyMeter(clock, spans.append)
    with meter.working():
        clock.advance(3)
    clock.advance(100)
    with meter.working():
        clock.advance(4)
        assert meter.seconds == 7
        clock.advance(5)
    clock.advance(100)
    assert meter.seconds == 12


def test_a_window_that_fails_was_work_too(clock: "FakeClock") -> None:
    spans: list[float] = []
    meter = BusyMeter(clock, spans.append)

    def fail() -> None:
        with meter.working():
            clock.advance(5)
            raise ValueError("the model failed")

    with pytest.raises(ValueError, match="the model failed"):
        fail()
    clock.advance(100)
    with meter.working():
        clock.advance(1)
    assert spans == [5, 1]


def seconds_covered(windows: "Sequence[tuple[int, int]]") -> int:
    """In how many of the seconds at least one window was at work, counted second by second."""
    return len({second for begin, length in windows for second in range(begin, begin + length)})


# The clock is only ever moved on, so one serves all examples.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=8))
def test_whatever_windows_overlap_the_busy_time_is_that_in_which_any_of_them_was_at_work(
    clock: "FakeClock", windows: "list[tuple[int, int]]"
) -> None:
    spans: list[float] = []
    meter = BusyMeter(clock, spans.append)
    at_work: dict[int, AbstractContextManager[None]] = {}
    for second in range(51):
        for number, (begin, length) in enumerate(windows):
            if second == begin:
                at_work[number] = meter.working()
                at_work[number].__enter__()
            elif second == begin + length:
                at_work.pop(number).__exit__(None, None, None)
        clock.advance(1)
    assert not at_work
    assert sum(spans) == pytest.approx(seconds_covered(windows))
