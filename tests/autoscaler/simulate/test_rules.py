"""The observer notices every broken rule, and nothing where none is."""

import pytest

from autoscaler.simulate.world.jobs import Lot
from autoscaler.simulate.world.rules import Bounds, RuleChecker

BOUNDS = Bounds(max_instances=1, idle_seconds=300, dead_seconds=900, unworked_seconds=600)


@pytest.fixture
def watch() -> RuleChecker:
    return RuleChecker(BOUNDS)


def one_line(watch: RuleChecker) -> str:
    (line,) = watch.violations
    assert watch.count == 1
    return line


def test_a_job_that_is_done_once_by_a_run_that_ends_breaks_no_rule(watch: RuleChecker) -> None:
    lot = Lot(0, 0, 2)
    watch.jobs_queued(lot)
    watch.look(0, 0, visible=2)
    watch.instance_started(60, "i-1")
    watch.jobs_received(160, "i-1", lot, 2)
    watch.look(160, 160, visible=0)
    watch.jobs_published(161, lot, 2)
    watch.hand_empty("i-1")
    watch.look(162, 162, visible=0)
    watch.instance_stopped(240, "i-1", "worker")

    assert watch.count == 0
    assert (watch.published, watch.unpublished) == (2, 0)


def test_a_job_that_nobody_holds_and_no_queue_shows_is_lost(watch: RuleChecker) -> None:
    watch.jobs_queued(Lot(0, 0, 2))

    watch.look(60, 60, visible=1)

    assert one_line(watch) == "rule 1, after 60 s: 1 jobs are lost"


def test_a_job_that_is_published_twice_is_noticed(watch: RuleChecker) -> None:
    lot = Lot(0, 0, 1)
    watch.jobs_queued(lot)
    watch.jobs_received(1, "i-1", lot, 1)
    watch.jobs_published(2, lot, 1)

    watch.jobs_published(3, lot, 1)

    assert one_line(watch).startswith("rule 2")


def test_a_job_that_two_workers_receive_is_noticed(watch: RuleChecker) -> None:
    lot = Lot(0, 0, 1)
    watch.jobs_queued(lot)
    watch.jobs_received(1, "i-1", lot, 1)

    watch.jobs_received(2, "i-2", lot, 1)

    assert one_line(watch).startswith("rule 2")


@pytest.mark.parametrize("event", ["start", "stop", "receive"])
def test_nothing_starts_stops_or_receives_while_the_lock_is_held(watch: RuleChecker, event: str) -> None:
    lot = Lot(0, 0, 1)
    watch.jobs_queued(lot)
    if event != "start":
        watch.instance_started(0, "i-1")
    watch.lock_changed(held=True)

    if event == "start":
        watch.instance_started(1, "i-1")
    elif event == "stop":
        watch.instance_stopped(1, "i-1", "autoscaler")
    else:
        watch.jobs_received(1, "i-1", lot, 1)

    assert one_line(watch).startswith("rule 3")


def test_what_ec2_takes_away_while_the_lock_is_held_is_nobodys_fault(watch: RuleChecker) -> None:
    watch.instance_started(0, "i-1")
    watch.lock_changed(held=True)

    watch.instance_stopped(1, "i-1", "EC2")

    assert watch.count == 0


def test_more_instances_than_are_allowed_are_noticed(watch: RuleChecker) -> None:
    watch.instance_started(0, "i-1")

    watch.instance_started(1, "i-2")

    assert one_line(watch).startswith("rule 4")


def test_the_instance_of_a_person_is_never_stopped_and_may_idle(watch: RuleChecker) -> None:
    watch.instance_found_running("i-1")
    for minute in range(20):
        watch.look(minute * 60, minute * 60, visible=0)
    assert watch.count == 0

    watch.instance_stopped(1300, "i-1", "autoscaler")

    assert one_line(watch).startswith("rule 4")


def test_an_instance_that_idles_longer_than_the_bound_is_noticed_but_lock_time_does_not_count(
    watch: RuleChecker,
) -> None:
    watch.instance_started(0, "i-1")
    watch.worker_began("i-1")
    watch.look(0, 0, visible=0)
    watch.look(2000, 290, visible=0)
    assert watch.count == 0

    watch.look(2060, 310, visible=0)

    assert one_line(watch).startswith("rule 4")


def test_work_that_waits_beyond_the_bound_is_noticed(watch: RuleChecker) -> None:
    watch.jobs_queued(Lot(0, 0, 1))
    watch.look(0, 0, visible=1)
    watch.look(590, 590, visible=1)
    assert watch.count == 0

    watch.look(650, 650, visible=1)

    assert one_line(watch).startswith("rule 5")


@pytest.mark.parametrize("reason", ["lock", "capacity", "at work"])
def test_work_may_wait_for_the_lock_for_capacity_and_for_a_worker_that_is_busy(watch: RuleChecker, reason: str) -> None:
    lot = Lot(0, 0, 2)
    watch.jobs_queued(lot)
    visible = 2
    if reason == "lock":
        watch.lock_changed(held=True)
    elif reason == "capacity":
        watch.capacity_changed(there=False)
    else:
        watch.instance_started(0, "i-1")
        watch.jobs_received(0, "i-1", lot, 1)
        visible = 1
    for minute in range(60):
        watch.look(minute * 60, 0 if reason == "lock" else minute * 60, visible=visible)

    assert watch.count == 0


@pytest.mark.parametrize("dead", ["never came up", "hangs", "boots again"])
def test_a_dead_worker_has_a_bound_of_its_own(watch: RuleChecker, dead: str) -> None:
    watch.instance_started(0, "i-1")
    if dead != "never came up":
        watch.worker_began("i-1")
        watch.worker_gone("i-1")
    watch.look(0, 0, visible=0)
    watch.look(890, 890, visible=0)
    assert watch.count == 0

    watch.look(950, 950, visible=0)

    assert one_line(watch).startswith("rule 4")
