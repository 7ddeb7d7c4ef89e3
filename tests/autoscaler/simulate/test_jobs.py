"""The simulated queue and its counts."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.simulate.world.agenda import Agenda
from autoscaler.simulate.world.conditions import STEADY, Conditions
from autoscaler.simulate.world.jobs import Counts, Lot, LotPart, SimulatedQueue

STEPS = st.lists(st.tuples(st.sampled_from(["add", "take", "delete", "give back"]), st.integers(1, 50)), max_size=40)


@given(steps=STEPS)
def test_every_job_is_visible_in_flight_or_deleted(steps: list[tuple[str, int]]) -> None:
    queue, held = SimulatedQueue(Agenda()), list[LotPart]()
    queued = deleted = 0
    for what, jobs in steps:
        if what == "add":
            queue.add(Lot(0, 0, jobs))
            queued += jobs
        elif what == "take":
            held += queue.take(jobs)
        elif held and what == "delete":
            part = held.pop()
            queue.delete(part.jobs)
            deleted += part.jobs
        elif held:
            queue.give_back([held.pop()])
        assert queue.visible + queue.in_flight + deleted == queued
        assert queue.in_flight == sum(part.jobs for part in held)


def test_jobs_are_received_oldest_first_and_those_given_back_come_before_younger_ones() -> None:
    queue = SimulatedQueue(Agenda())
    old, young = Lot(1, 1, 5), Lot(2, 2, 5)
    queue.add(old)
    queue.add(young)

    first = queue.take(7)
    assert [(part.lot, part.jobs) for part in first] == [(old, 5), (young, 2)]

    queue.give_back(first)
    assert [(part.lot, part.jobs) for part in queue.take(6)] == [(old, 5), (young, 1)]


def test_counts_that_lag_tell_what_was_true_a_while_ago() -> None:
    agenda = Agenda()
    queue = SimulatedQueue(agenda)
    agenda.run(10)
    queue.add(Lot(10, 10, 3))
    agenda.run(100)
    queue.add(Lot(100, 100, 4))

    assert queue.depth().visible == 7
    assert queue.depth(seconds_ago=30).visible == 3


def test_a_spike_shows_messages_that_are_not_there_and_passes() -> None:
    agenda = Agenda()
    spiky = Conditions(spikes_per_hour=3600, spike_seconds=(2, 2), spike_jobs=(9, 9))
    counts = Counts(SimulatedQueue(agenda), agenda, spiky, Random(1))

    seen = set()
    for second in range(60):
        agenda.run(second)
        seen.add(counts.read().visible)

    assert seen == {0, 9}
    assert Counts(SimulatedQueue(agenda), agenda, STEADY, Random(1)).read().visible == 0
