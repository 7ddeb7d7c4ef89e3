"""Which timer is dominated by which setting of ours."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.simulate.comparison import contenders, is_ours, verdicts
from autoscaler.simulate.report import sentences
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.workload import DAY, Arrival, Trace

if TYPE_CHECKING:
    from tests.autoscaler.simulate.conftest import MakeSettings, Simulate


@pytest.fixture
def some_result(simulated: "Simulate") -> SimulationResult:
    return simulated(Trace("one", DAY, (Arrival(90, 1),)))


def named(result: SimulationResult, strategy: str, cost: float, p95: float) -> SimulationResult:
    return replace(result, strategy=strategy, cost_usd=cost, wait_p95=p95)


def test_a_timer_is_dominated_by_what_costs_no_more_and_waits_no_longer(some_result: SimulationResult) -> None:
    results = [
        named(some_result, "timer 2 h", cost=10, p95=100),
        named(some_result, "ours, dear", cost=11, p95=1),
        named(some_result, "ours, slow", cost=1, p95=101),
        named(some_result, "ours, cheaper", cost=8, p95=100),
        named(some_result, "ours, quicker", cost=10, p95=75),
    ]

    (verdict,) = verdicts(results)

    assert verdict.dominated
    assert (verdict.cheaper, verdict.quicker) == (results[3], results[4])
    assert verdict.cost_saved == pytest.approx(0.2)
    assert verdict.wait_saved == pytest.approx(0.25)


def test_a_timer_that_nothing_beats_in_both_is_not_dominated_and_the_sentence_says_so(
    some_result: SimulationResult,
) -> None:
    results = [
        named(some_result, "timer 2 h", cost=10, p95=100),
        named(some_result, "ours, dear", cost=11, p95=1),
        named(some_result, "ours, slow", cost=1, p95=101),
    ]

    (verdict,) = verdicts(results)

    assert not verdict.dominated
    assert (verdict.cost_saved, verdict.wait_saved) == (0, 0)
    assert "NOT dominated" in sentences(results)[0]


def test_a_setting_that_leaves_jobs_undone_dominates_nothing(some_result: SimulationResult) -> None:
    results = [
        named(some_result, "timer 2 h", cost=10, p95=100),
        replace(named(some_result, "ours", cost=1, p95=1), left=1),
    ]

    assert not verdicts(results)[0].dominated


def test_the_contenders_are_timers_ours_as_it_is_set_and_ours_with_thresholds(settings_with: "MakeSettings") -> None:
    settings = settings_with(max_instances=3)

    found = {contender.strategy.name: contender for contender in contenders(settings)}

    assert found["ours"].settings == settings
    assert found["timer 5 min"].strategy.interval_seconds == 300
    assert found["ours, waits 20 min"].settings.start_max_wait_seconds == 1200
    assert found["ours, waits 20 min"].settings.idle_limit_seconds == settings.idle_limit_seconds
    assert found["ours, waits 80 min, idle 5 s"].settings.idle_limit_seconds == 5
    assert {contender.settings.max_instances for contender in found.values()} == {3}
    assert {contender.settings.max_empty_polls for contender in found.values()} == {settings.max_empty_polls}
    assert len(found) == len(contenders(settings))


def test_ours_is_told_from_timers_by_name(some_result: SimulationResult) -> None:
    assert is_ours(named(some_result, "ours, waits 1 h", 1, 1))
    assert not is_ours(named(some_result, "timer 1 h", 1, 1))
