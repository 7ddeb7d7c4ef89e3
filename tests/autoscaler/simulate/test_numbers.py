"""The numbers that the simulation is there to hold, on shorter spans than docs/simulation.md shows.

Wait is from the moment a job is queued until it is published, without the time in which the lock was held.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from autoscaler.simulate.comparison import ComparisonVerdict, compare, contenders, verdicts
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.workload import MADE
from autoscaler.simulate.world.conditions import STEADY, WRONG_COUNTS

if TYPE_CHECKING:
    from tests.autoscaler.simulate.conftest import MakeSettings, Simulate

Compared = Callable[..., list[SimulationResult]]
TIMERS = ("timer 5 min", "timer 30 min", "timer 2 h", "timer 6 h")
# The settings that beat the timers, a few of the range that is compared on the page.
OURS = {
    "small": (
        "ours, waits 3 min, idle 5 s",
        "ours, waits 25 min, idle 5 s",
        "ours, waits 105 min, idle 5 s",
        "ours, waits 4 h, idle 5 s",
    ),
    "small-locked": (
        "ours, waits 3 min",
        "ours, waits 3 min, idle 5 s",
        "ours, waits 80 min, idle 5 s",
        "ours, waits 8 h, idle 5 s",
    ),
}


@pytest.fixture
def compared(settings_with: "MakeSettings") -> Compared:
    """The named contenders, alone on the same ten days of a workload."""

    def run(workload: str, *names: str, seed: int = 1) -> list[SimulationResult]:
        wanted = [each for each in contenders(settings_with()) if each.strategy.name in names]
        assert len(wanted) == len(names)
        return compare(MADE[workload](10, Random(seed)), wanted, STEADY, seed, pool=3)

    return run


@pytest.mark.parametrize("workload", sorted(OURS))
def test_for_every_timer_there_is_a_setting_that_costs_no_more_and_waits_no_longer(
    compared: Compared, workload: str
) -> None:
    found = verdicts(compared(workload, *TIMERS, *OURS[workload]))

    assert [verdict.timer.strategy for verdict in found if not verdict.dominated] == []
    assert max(_best(verdict) for verdict in found if verdict.timer.strategy == "timer 2 h") >= 0.2


def _best(verdict: ComparisonVerdict) -> float:
    return max(verdict.cost_saved, verdict.wait_saved)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_two_hour_timer_is_beaten_by_a_fifth_with_the_same_workers_whatever_the_seed(
    compared: Compared, seed: int
) -> None:
    (verdict,) = verdicts(compared("small", "timer 2 h", "ours, waits 105 min, idle 5 s", seed=seed))

    assert verdict.cost_saved >= 0.2


@pytest.mark.parametrize("workload", sorted(OURS))
def test_the_default_waits_less_than_the_quickest_timer(compared: Compared, workload: str) -> None:
    timer, ours = compared(workload, "timer 5 min", "ours")

    assert ours.wait_p95 < timer.wait_p95


def test_ten_million_chunks_a_day_wait_less_than_fifteen_minutes_at_little_more_than_the_minimal_gpu_time(
    simulated: "Simulate",
) -> None:
    result = simulated(MADE["ten-million"](1, Random(1)), max_instances=100)

    assert (result.left, result.violation_count) == (0, 0)
    assert result.wait_p95 < 15 * 60
    assert result.over_least <= 1.2


@pytest.mark.parametrize("seconds", [(1, 60), (30, 300), (600, 7200)])
def test_wrong_counts_alone_start_no_more_than_one_instance_an_hour_however_long_they_stay(
    simulated: "Simulate", seconds: tuple[float, float]
) -> None:
    result = simulated(MADE["idle"](5, Random(1)), replace(WRONG_COUNTS, spike_seconds=seconds))

    assert result.starts > 0  # the spikes are seen
    assert result.most_starts_an_hour == 1
    assert result.violation_count == 0
