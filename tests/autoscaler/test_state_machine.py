"""The rules that always hold, under any order of messages, ticks, crashes, lock changes, refusals and wrong counts.

A sequence ends with the end of all faults: from there on waiting work must be done, and owned instances must stop,
within a bound. The rules are those of the design's section 5 that concern the autoscaler.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import ClassVar

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from autoscaler.model import Decision, Observation, Outcome, Plan, Policy, StartInstance, StopInstance
from fleet_world import STEP, Blindness, Worker, World
from scripted_cloud import Fault
from shared.instances import HOLD_TAG

LIMIT = timedelta(minutes=3)
# Once the faults are over. The longest way to work: a worker that has just fallen silent holds the only place (silent
# limit), is marked, is rebooted a minute later, boots, and waits for the lease of what it had in hand. The longest way
# to an end: all that, once more silent after it, and the stop; or work, and then the idle limit.
WORK_WITHIN = 2 * LIMIT + timedelta(minutes=6)
ENDS_WITHIN = 4 * LIMIT + timedelta(minutes=6)

REFUSALS = [
    Fault("start_instances", "RequestLimitExceeded", 503),
    Fault("start_instances", "UnauthorizedOperation", 403),
    Fault("start_instances", "InternalError", 500),
    Fault("start_instances", "InternalError", 500, done=True),
    Fault("create_tags", "InternalError", 500),
    Fault("create_tags", "InternalError", 500, done=True),
    Fault("stop_instances", "InternalError", 500),
]
GROUP_REFUSALS = [
    Fault("describe_auto_scaling_groups", "Throttling"),
    Fault("set_desired_capacity", "ScalingActivityInProgress"),
    Fault("set_desired_capacity", "InternalFailure", 500, done=True),
    Fault("terminate_instance_in_auto_scaling_group", "ScalingActivityInProgress"),
]
# Half of the looks are clear again, so that faults end before the end, too.
BLINDNESS = [
    *[Blindness()] * 5,
    Blindness(queue=True),
    Blindness(instances=True),
    Blindness(heartbeats=True),
    Blindness(lock=True),
    Blindness(stale=True, ghosts=1),
    Blindness(ghosts=500),
]


class FleetMachine(RuleBasedStateMachine):
    """The world, the autoscaler's ticks in it, and whatever may happen to both."""

    world: World
    reached: ClassVar[Counter[Decision]] = Counter()

    @initialize(
        most=st.integers(1, 3),
        with_group=st.booleans(),
        min_jobs=st.sampled_from([1, 30]),
        drain=st.sampled_from([5, 60]),
        workers_leave=st.booleans(),
    )
    def a_fleet(self, most: int, with_group: bool, min_jobs: int, drain: int, workers_leave: bool) -> None:
        policy = Policy(
            max_instances=most,
            target_drain_seconds=drain,
            real_time_factor=20,
            chunk_seconds=5,
            boot_limit=LIMIT,
            idle_limit=LIMIT,
            silent_limit=LIMIT,
            start_min_jobs=min_jobs,
            start_max_wait=LIMIT,
            stuck_limit=timedelta(minutes=10),
            max_run=timedelta(minutes=30),
        )
        self.world = World(policy, with_group, workers_leave)
        self.persons: set[str] = set()
        self.messages_arrive(40)

    # --- work and time

    @rule(count=st.sampled_from([1, 5, 40, 150]))
    def messages_arrive(self, count: int) -> None:
        self.world.visible += count
        self.world.sent += count

    @rule()
    def a_tick_a_minute(self) -> None:
        self.world.pass_time(60)
        self.tick()

    @rule(minutes=st.integers(2, 10))
    def ticks_go_on(self, minutes: int) -> None:
        for _ in range(minutes):
            self.a_tick_a_minute()

    @rule()
    def a_tick_comes_twice(self) -> None:
        self.world.pass_time(60)
        first, second = self.world.observe(), self.world.observe()
        decided = self.world.decide(first), self.world.decide(second)
        self.act(first, decided[0])
        self.act(second, decided[1])

    @rule(seconds=st.sampled_from([STEP, 2 * STEP]))
    def a_tick_acts_late(self, seconds: int) -> None:
        observation = self.world.observe()
        decided = self.world.decide(observation)
        self.world.pass_time(seconds)
        self.act(observation, decided)

    @rule(minutes=st.integers(2, 12))
    def ticks_are_missing(self, minutes: int) -> None:
        self.world.pass_time(60 * minutes)

    # --- workers

    @precondition(lambda self: self.world.workers)
    @rule(which=st.integers(0, 2), how=st.sampled_from(["crashes", "crashes", "goes mute", "is heard"]))
    def a_worker(self, which: int, how: str) -> None:
        worker = self._worker(which)
        if how == "crashes":
            worker.alive = False
        else:
            worker.mute = how == "goes mute"

    @precondition(lambda self: self.world.running(ours=True))
    @rule(which=st.integers(0, 2), held=st.booleans())
    def a_person_holds_an_instance(self, which: int, held: bool) -> None:
        hosts = self.world.running(ours=True)
        tags = hosts[which % len(hosts)].tags
        if held:
            tags[HOLD_TAG] = ""
        else:
            tags.pop(HOLD_TAG, None)

    @rule(starts=st.booleans())
    def a_person_runs_an_instance(self, starts: bool) -> None:
        if starts:
            self.world.person_starts()
        else:
            self.world.person_stops()
        self.persons = {host.id for host in self.world.running(ours=False)}

    # --- the lock

    @rule(locked=st.sampled_from([True, False, False]))
    def a_live_session(self, locked: bool) -> None:
        self.world.locked = locked

    # --- AWS

    @rule(zones=st.sets(st.sampled_from(["a", "b"])))
    def zones_are_full(self, zones: set[str]) -> None:
        self.world.ec2.full_zones = zones

    @rule(which=st.integers(0, 6))
    def the_next_call_is_refused(self, which: int) -> None:
        group = self.world.group
        if group:
            group.faults.append(GROUP_REFUSALS[which % len(GROUP_REFUSALS)])
        else:
            self.world.ec2.faults.append(REFUSALS[which])

    @rule(blind=st.sampled_from(BLINDNESS))
    def the_autoscaler_sees_badly(self, blind: Blindness) -> None:
        self.world.blind = blind

    # --- a tick, and what must be true of it

    def tick(self) -> None:
        observation = self.world.observe()
        decided = self.world.decide(observation)
        self._no_fresh_busy_worker_is_stopped(decided)
        self.act(observation, decided)

    def act(self, observation: Observation, decided: Plan) -> None:
        world = self.world
        before, held = self._stopped_by_now(), world.lock().held
        ours_before = {host.id for host in world.running(ours=True)}
        desired_before = world.group.desired if world.group else 0
        outcome = world.act(decided, held=observation.lock.held)
        self.reached[decided.decision] += 1
        assert not (observation.lock.held and decided.actions)
        self._nothing_is_done_under_the_lock(observation, outcome, before, held=held)
        self._nothing_is_done_blindly(observation, outcome)
        self._only_what_was_planned_is_done(decided, outcome)
        if world.group:
            assert world.group.desired <= max(world.group.max_size, desired_before)
        started = {host.id for host in world.running(ours=True)} - ours_before
        assert all(world.is_ours(world.ec2.hosts[name]) for name in started), "started, and nobody may stop it"

    def _no_fresh_busy_worker_is_stopped(self, decided: Plan) -> None:
        for action in decided.actions:
            if isinstance(action, StopInstance):
                worker, beat = self.world.workers.get(action.instance_id), self.world.beats.get(action.instance_id)
                fresh = beat and self.world.time.now() - beat.beat_at < LIMIT
                assert not (fresh and worker and worker.alive and not worker.mute and worker.hand), action

    def _nothing_is_done_under_the_lock(
        self, observation: Observation, outcome: Outcome, before: set[str], *, held: bool
    ) -> None:
        if not (observation.lock.held or held):
            return
        assert (outcome.started, outcome.stopped) == ((), ())
        assert self._stopped_by_now() == before
        group = self.world.group
        if group and not outcome.blocked and not outcome.failed and (observation.lock.held or observation.instances):
            assert observation.lock.held is False or group.desired <= len(group.members)

    def _nothing_is_done_blindly(self, observation: Observation, outcome: Outcome) -> None:
        if observation.queue is None or observation.instances is None:
            assert outcome.started == ()
        if observation.heartbeats is None:
            assert outcome.stopped == ()
        if observation.queue and not observation.queue.visible:
            assert outcome.started == ()

    def _only_what_was_planned_is_done(self, decided: Plan, outcome: Outcome) -> None:
        most = sum(action.count for action in decided.actions if isinstance(action, StartInstance))
        assert len(outcome.started) <= most
        stops = {action.instance_id for action in decided.actions if isinstance(action, StopInstance)}
        assert set(outcome.stopped) <= stops

    def _stopped_by_now(self) -> set[str]:
        return {host.id for host in self.world.ec2.hosts.values() if host.state not in {"pending", "running"}}

    # --- what must be true at any time

    @invariant()
    def no_job_is_lost_or_made_up(self) -> None:
        depth = self.world.depth
        assert depth.total + self.world.done == self.world.sent

    @invariant()
    def no_more_of_ours_run_than_the_limit(self) -> None:
        ours = [host for host in self.world.running(ours=True) if self.world.is_ours(host)]
        assert len(ours) <= self.world.policy.max_instances

    @invariant()
    def nobody_stops_an_instance_that_a_person_runs(self) -> None:
        assert self.persons <= {host.id for host in self.world.running(ours=False)}

    @invariant()
    def nobody_stops_an_instance_on_hold(self) -> None:
        held = [host for host in self.world.ec2.hosts.values() if HOLD_TAG in host.tags]
        assert all(host.state in {"pending", "running"} for host in held)

    # --- the end of all faults

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self._faults_end()
        while self.world.depth.total:
            self._until(self._more_is_done(), WORK_WITHIN, "work waits, the lock is free, and nobody works")
        self._until(lambda: not self.world.running(ours=True), ENDS_WITHIN, "a GPU runs for nothing")

    def _faults_end(self) -> None:
        world = self.world
        world.blind, world.locked = Blindness(), False
        world.ec2.full_zones = set()
        world.ec2.faults.clear()
        if world.group:
            world.group.faults.clear()
        world.person_stops()
        self.persons = set()
        for host in world.ec2.hosts.values():
            host.tags.pop(HOLD_TAG, None)

    def _until(self, done: Callable[[], object], within: timedelta, otherwise: str) -> None:
        begin = self.world.time.now()
        while not done():
            assert self.world.time.now() - begin <= within, f"{otherwise}: {self.world.decide(self.world.observe())}"
            self.a_tick_a_minute()

    def _more_is_done(self) -> Callable[[], bool]:
        before = self.world.done
        return lambda: self.world.done > before

    def _worker(self, which: int) -> Worker:
        workers = list(self.world.workers.values())
        return workers[which % len(workers)]


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Tens of thousands of ticks write no log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_quiet")
def test_the_rules_hold_and_work_is_done_whatever_happens_in_whatever_order() -> None:
    FleetMachine.reached.clear()
    run_state_machine_as_test(
        FleetMachine,
        settings=settings(max_examples=1000, stateful_step_count=50, suppress_health_check=list(HealthCheck)),
    )
    # Sequences that never come to a start, a stop, a repair or a held lock would show nothing.
    interesting = {Decision.STARTING, Decision.STOPPING, Decision.REPAIRING, Decision.HOLDING, Decision.BLIND}
    assert min(FleetMachine.reached[decision] for decision in interesting) >= 100, FleetMachine.reached
