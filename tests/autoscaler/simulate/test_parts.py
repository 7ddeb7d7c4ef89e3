"""The simulated world behind the interfaces of the real tick."""

from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from autoscaler.record import TickRecord
from autoscaler.simulate.parts import MemoryRecords
from autoscaler.simulate.workload import DAY, MADE, Arrival, Trace
from autoscaler.simulate.world.agenda import Agenda, SimulatedClock
from autoscaler.simulate.world.conditions import STEADY, Conditions

if TYPE_CHECKING:
    from tests.autoscaler.simulate.conftest import Simulate


def test_events_happen_in_the_order_of_their_times_and_then_of_their_entry() -> None:
    agenda, happened = Agenda(), list[tuple[str, float]]()
    for name, time in (("late", 9), ("early", 1), ("early, too", 1), ("never", 99)):
        agenda.at(time, partial(lambda name: happened.append((name, agenda.now)), name))

    agenda.run(10)

    assert happened == [("early", 1), ("early, too", 1), ("late", 9)]
    assert agenda.now == 10


def test_the_world_goes_on_while_an_event_waits_and_time_never_goes_back() -> None:
    agenda, happened = Agenda(), list[tuple[str, float]]()
    clock = SimulatedClock(agenda)

    def tick() -> None:
        clock.sleep(5)
        happened.append(("tick", agenda.now))

    agenda.at(7, tick)
    agenda.at(9, lambda: happened.append(("other", agenda.now)))
    agenda.run(10)

    assert happened == [("other", 9), ("tick", 12)]
    assert agenda.now == 12


def test_a_record_is_written_only_over_the_version_that_was_read() -> None:
    records = MemoryRecords()
    first, second = (records.read().model_copy(update={"version": 1, "gpu_seconds": seconds}) for seconds in (1, 2))

    assert records.write(first)
    assert not records.write(second)
    assert records.read() == TickRecord(version=1, gpu_seconds=1)


def test_of_two_ticks_at_the_same_moment_one_acts(simulated: "Simulate") -> None:
    burst = MADE["burst"](1, Random(1))

    once = simulated(burst, max_instances=4)
    twice = simulated(burst, replace(STEADY, ticks_twice=1), max_instances=4)

    assert twice.starts == once.starts
    assert twice.violation_count == 0


@pytest.mark.parametrize("conditions", [replace(STEADY, starts_throttled=0.7), replace(STEADY, answers_lost=1)])
def test_work_is_done_although_calls_are_refused_or_their_answers_get_lost(
    simulated: "Simulate", conditions: Conditions
) -> None:
    result = simulated(MADE["burst"](1, Random(1)), conditions, max_instances=4)

    assert (result.left, result.violation_count) == (0, 0)
    assert result.most_running <= 4


def test_a_start_in_doubt_that_finds_no_message_is_not_made(simulated: "Simulate") -> None:
    # The first start for counts alone is made; its run finds nothing, and all later spikes of the hour are doubted.
    always = replace(STEADY, spikes_per_hour=600, spike_seconds=(300, 300))
    hour = Trace("idle", 3600, ())

    assert simulated(hour, always).starts == 1


def test_a_start_in_doubt_that_finds_a_message_is_made_at_once(simulated: "Simulate") -> None:
    always = replace(STEADY, spikes_per_hour=600, spike_seconds=(300, 300), spike_jobs=(3, 3))
    late = Trace("late", 3600, (Arrival(1800, 3),))

    result = simulated(late, always)

    assert result.left == 0
    assert result.wait_max < 60 + 95 + 8 + 10


def test_where_one_zone_is_full_an_instance_of_another_starts(simulated: "Simulate") -> None:
    full = replace(STEADY, capacity_outages_per_day=100, capacity_outage_seconds=(900, 900))

    result = simulated(MADE["sparse"](10, Random(1)), full, pool=6)

    assert result.blocked > 0
    assert (result.left, result.violation_count) == (0, 0)


def test_a_worker_notices_that_nothing_is_left_at_the_end_of_a_long_poll(simulated: "Simulate") -> None:
    # 30 s of work: the second poll while it works ends at 40 s, the autoscaler sees an idle worker and stops it.
    work = Trace("work", DAY, (Arrival(90, 120),))

    result = simulated(work, start_confirm_reads=1, idle_limit_seconds=1)

    came_up = 95 + 8
    assert result.gpu_seconds == pytest.approx(-(-(came_up + 40) // 60) * 60, abs=1)
