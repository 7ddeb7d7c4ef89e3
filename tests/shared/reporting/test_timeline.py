"""A run's timeline: nothing of it is lost, however long the run, and its memory is bounded."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.reporting.chart import chart
from shared.reporting.timeline import Outcome, Phase, RunTimeline

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Event = tuple[float, tuple[Outcome | None, Phase | None]]
WHAT = st.tuples(st.sampled_from([None, *get_args(Outcome)]), st.sampled_from([None, *get_args(Phase)]))
EVENTS = st.lists(st.tuples(st.floats(0, 7200), WHAT), min_size=1, max_size=60)


def after(seconds: float) -> datetime:
    return STARTED + timedelta(seconds=seconds)


def played(events: list[Event]) -> tuple[RunTimeline, dict[str, float], float]:
    """A timeline of waits and what came after each; the seconds of each phase; the whole."""
    line, now = RunTimeline(STARTED), 0.0
    phase: Phase = "load"
    expected: dict[str, float] = {}
    for wait, (outcome, next_phase) in events:
        expected[phase] = expected.get(phase, 0) + wait
        now += wait
        if outcome:
            line.ended(outcome, after(now))
            expected[outcome] = expected.get(outcome, 0) + 1
        if next_phase:
            line.becomes(next_phase, after(now))
            phase = next_phase
    line.close(after(now))
    return line, {name: value for name, value in expected.items() if value}, now


@given(EVENTS)
def test_every_second_and_every_job_is_told_of_in_a_bounded_number_of_slices(events: list[Event]) -> None:
    line, expected, _ = played(events)
    found: dict[str, float] = {}
    for each in line.slices:
        for name, value in [*each.seconds.items(), *each.jobs.items()]:
            found[name] = found.get(name, 0) + value
    assert {name: value for name, value in found.items() if value > 1e-3} == pytest.approx(
        {name: value for name, value in expected.items() if value > 1e-3}, abs=0.01
    )
    assert len(line.slices) <= 240


@given(EVENTS, st.floats(0, 600))
def test_the_chart_fills_its_width_without_gaps_and_no_bar_leaves_it(events: list[Event], boot: float) -> None:
    line, _, whole = played(events)
    drawn = chart(line, boot)
    if drawn is None:
        assert whole + boot <= 0.001
        return
    at = 0.0
    for span in drawn.spans:
        assert span.left == pytest.approx(at, abs=0.05)
        at = span.left + span.width
    assert at == pytest.approx(1000, abs=0.1)
    assert all(bar.top >= -0.01 and 0 <= bar.left <= bar.left + bar.width <= 1000.1 for bar in drawn.bars)
    assert 1 <= len(drawn.ticks) <= 9


def test_a_short_run_is_told_of_second_by_second() -> None:
    line = RunTimeline(STARTED)
    line.becomes("busy", after(2))
    line.ended("completed", after(2.5))
    line.becomes("idle", after(3))
    line.close(after(4))
    assert [dict(each.seconds) for each in line.slices[:4]] == [{"load": 1}, {"load": 1}, {"busy": 1}, {"idle": 1}]
    assert line.slices[2].jobs == {"completed": 1}


def test_a_clock_that_is_set_back_loses_no_job() -> None:
    line = RunTimeline(STARTED, "idle")
    line.ended("completed", after(-30))
    line.becomes("busy", after(-20))
    line.close(after(1))
    assert line.slices[0].jobs == {"completed": 1}
    assert line.seconds == 1


def test_the_ticks_are_round_times_and_few() -> None:
    line = RunTimeline(STARTED)
    line.close(after(3600))
    drawn = chart(line, 0)
    assert drawn is not None
    assert [tick.label for tick in drawn.ticks] == [
        "0",
        "10m 00s",
        "20m 00s",
        "30m 00s",
        "40m 00s",
        "50m 00s",
        "1h 00m",
    ]
