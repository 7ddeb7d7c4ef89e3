"""Whole simulations: what is known beforehand comes out, and the fleet's rules hold whatever goes wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.simulate.workload import DAY, MADE, Arrival, LiveSession, Trace
from autoscaler.simulate.world.conditions import NAMED, STEADY, TROUBLED
from autoscaler.simulate.world.rules import Bounds
from autoscaler.tick import TickParts
from shared.clock import Clock
from shared.settings import Settings

if TYPE_CHECKING:
    from autoscaler.simulate.world.conditions import Conditions
    from tests.autoscaler.simulate.conftest import Simulate

ONE_JOB = Trace("one", DAY, (Arrival(90, 1),))
# From the start of an instance to its first job done: boot, model load, five seconds of audio at twenty times its pace.
FIRST_JOB = 95 + 8 + 0.25


def test_one_job_waits_for_the_tick_the_boot_and_itself_and_costs_one_short_run(simulated: "Simulate") -> None:
    result = simulated(ONE_JOB, start_confirm_reads=1)

    # Ticks are on the minute: the job of 1:30 is seen at 2:00.
    assert result.wait_max == result.wait_p95 == pytest.approx(30 + FIRST_JOB, abs=0.02)
    assert (result.starts, result.published, result.left) == (1, 1, 0)
    # The poll in which the job was done, three empty ones and a last one, twenty seconds each, end the run.
    assert result.gpu_seconds == pytest.approx(FIRST_JOB - 0.25 + 5 * 20)
    assert result.cost_usd == pytest.approx(result.gpu_seconds * 0.526 / 3600)
    assert result.busy_fraction == pytest.approx(0.25 / result.gpu_seconds)


def test_a_second_look_before_the_start_delays_it_by_its_seconds(simulated: "Simulate") -> None:
    once = simulated(ONE_JOB, start_confirm_reads=1)
    twice = simulated(ONE_JOB, start_confirm_reads=2)

    assert twice.wait_max - once.wait_max == pytest.approx(3, abs=0.02)


def test_jobs_of_a_burst_wait_evenly_longer_one_after_the_other(simulated: "Simulate") -> None:
    burst = Trace("burst", DAY, (Arrival(61, 4000),))

    result = simulated(burst, start_confirm_reads=1)

    # It arrives a second after a tick.
    first = 59 + FIRST_JOB
    assert result.wait_max == pytest.approx(first + 3999 * 0.25, abs=0.3)
    assert result.wait_median == pytest.approx(first + 1999 * 0.25, abs=0.3)
    assert result.wait_p95 == pytest.approx(first + 3799 * 0.25, abs=0.3)
    assert result.drained_after == pytest.approx(result.wait_max, abs=60)


def test_a_run_shorter_than_a_minute_costs_a_minute(simulated: "Simulate") -> None:
    quick = replace(STEADY, boot_seconds=(10, 10), model_load_seconds=1)

    result = simulated(ONE_JOB, quick, max_empty_polls=1, long_poll_seconds=1)

    assert result.starts == 1
    assert result.gpu_seconds == 60


def test_nothing_starts_while_the_lock_is_held_and_that_time_is_no_wait(simulated: "Simulate") -> None:
    locked = Trace("locked", DAY, (Arrival(90, 1),), (LiveSession(80, 4000),))

    result = simulated(locked, start_confirm_reads=1)

    # Released at 1:06:40, seen at 1:07:00.
    assert result.wait_max == pytest.approx(20 + FIRST_JOB, abs=0.02)
    assert result.locked_seconds == pytest.approx(3920)
    assert result.violation_count == 0


def test_a_session_that_begins_in_the_middle_of_the_work_interrupts_it_and_nothing_is_lost(
    simulated: "Simulate",
) -> None:
    interrupted = Trace("locked", DAY, (Arrival(0, 2000),), (LiveSession(300, 900),))

    result = simulated(interrupted)

    assert (result.published, result.left, result.violation_count) == (2000, 0, 0)
    assert result.starts == 1
    # Ten minutes of lock are no part of any wait, but of what the run costs.
    assert result.wait_max < result.gpu_seconds - 500


def test_the_same_seed_gives_the_same_figures_and_another_one_others(simulated: "Simulate") -> None:
    trace = MADE["bursty-day"](1, Random(3))

    first, second, third = (simulated(trace, TROUBLED, seed=seed, max_instances=4) for seed in (1, 1, 2))

    assert first.document() == second.document()
    assert first.document() != third.document()


def test_an_idle_owned_instance_whose_worker_never_ends_stops_within_the_limit_and_two_ticks(
    simulated: "Simulate",
) -> None:
    result = simulated(ONE_JOB, max_empty_polls=1000, start_confirm_reads=1, idle_limit_seconds=300)

    idle = result.gpu_seconds - FIRST_JOB
    assert 300 < idle <= 300 + 2 * 60
    assert result.violation_count == 0


def test_a_burst_is_drained_sooner_by_more_instances(simulated: "Simulate") -> None:
    burst = MADE["burst"](1, Random(1))

    one = simulated(burst, max_instances=1)
    eight = simulated(burst, max_instances=8, target_drain_seconds=150)

    assert eight.most_running == 8
    assert one.drained_after is not None
    assert eight.drained_after is not None
    assert eight.drained_after < one.drained_after / 3
    assert one.violation_count == eight.violation_count == 0


@pytest.mark.parametrize("name", sorted(NAMED))
@pytest.mark.parametrize("workload", ["small-locked", "bursty-day"])
def test_no_rule_is_broken_under_any_conditions_that_have_a_name(
    simulated: "Simulate", name: str, workload: str
) -> None:
    result = simulated(MADE[workload](2, Random(4)), NAMED[name], max_instances=3)

    assert list(result.violations) == []
    assert result.left == 0


@dataclass(frozen=True)
class Careless:
    """Starts everything at once, whatever it sees."""

    name: str = "careless"
    interval_seconds: float = 60

    def ticking(self, parts: TickParts, clock: Clock) -> Callable[[], object]:
        def tick() -> None:
            instances = parts.observer.observe().instances or ()
            stopped = tuple(each.id for each in instances if each.state == "stopped")
            parts.provider.start(stopped, len(stopped), clock.now())

        return tick

    def bounds(self, settings: Settings) -> Bounds:
        return Bounds(settings.max_instances, None, None, None)


def test_a_strategy_that_starts_too_many_is_found_out(simulated: "Simulate") -> None:
    result = simulated(Trace("busy", 7200, (Arrival(0, 2000),)), strategy=Careless())

    assert [line for line in result.violations if line.startswith("rule 4") and "instances run" in line]


def test_a_strategy_that_starts_an_instance_while_the_lock_is_held_is_found_out(simulated: "Simulate") -> None:
    result = simulated(Trace("locked", 7200, (Arrival(0, 10),), (LiveSession(0, 900),)), strategy=Careless(), pool=1)

    assert [line for line in result.violations if line.startswith("rule 3") and "started" in line]


def test_a_strategy_that_stops_an_instance_while_the_lock_is_held_is_found_out(simulated: "Simulate") -> None:
    class Stopper(Careless):
        def ticking(self, parts: TickParts, clock: Clock) -> Callable[[], object]:
            start = super().ticking(parts, clock)

            def tick() -> None:
                if not parts.observer.lock().held:
                    start()
                for each in parts.observer.observe().instances or ():
                    if parts.observer.lock().held and each.state == "running":
                        parts.provider.stop(each.id)

            return tick

    trace = Trace("locked", 7200, (Arrival(0, 2000),), (LiveSession(300, 900),))

    result = simulated(trace, strategy=Stopper(), pool=1)

    assert [line for line in result.violations if line.startswith("rule 3")]
    assert (result.left, result.published) == (0, 2000)


CONDITIONS = st.builds(
    replace,
    st.just(TROUBLED),
    crashes_per_hour=st.integers(0, 10),
    hangs_per_hour=st.sampled_from([0, 0.1, 1]),
    interruptions_per_hour=st.integers(0, 4),
    spikes_per_hour=st.integers(0, 10),
    capacity_outages_per_day=st.integers(0, 12),
    ticks_missed=st.sampled_from([0, 0.05, 0.2]),
    ticks_twice=st.sampled_from([0, 0.1, 1]),
    starts_throttled=st.sampled_from([0, 0.2]),
    answers_lost=st.sampled_from([0, 0.2]),
)
ARRIVALS = st.lists(st.builds(Arrival, at=st.floats(0, 15_000), jobs=st.integers(1, 3000)), min_size=1, max_size=12)
SESSIONS = st.lists(st.tuples(st.floats(0, 15_000), st.floats(0, 4000)), max_size=6)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    conditions=CONDITIONS,
    arrivals=ARRIVALS,
    sessions=SESSIONS,
    seed=st.integers(0, 1_000_000),
    max_instances=st.integers(1, 6),
)
def test_no_rule_is_broken_whatever_comes_and_goes_wrong(
    simulated: "Simulate",
    conditions: "Conditions",
    arrivals: list[Arrival],
    sessions: list[tuple[float, float]],
    seed: int,
    max_instances: int,
) -> None:
    trace = Trace(
        "any",
        20_000,
        tuple(sorted(arrivals, key=lambda arrival: arrival.at)),
        tuple(
            sorted((LiveSession(begins, begins + length) for begins, length in sessions), key=lambda each: each.begins)
        ),
    )

    result = simulated(trace, conditions, seed=seed, max_instances=max_instances)

    assert list(result.violations) == []
    assert result.left == 0
    assert result.published == trace.jobs
