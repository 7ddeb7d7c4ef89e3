"""Everything that may happen to a fleet, in any order, and the rules that must hold whatever happens.

The rules are those of the design's section 5 that concern the autoscaler.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoscaler.model import ActionOutcome, Decision, Policy, StartInstance, StopInstance
from autoscaler.result import TickResult
from shared.state.instances import HOLD_TAG
from tests.autoscaler.providers.scripted_ec2 import Fault
from tests.autoscaler.world.observer import Blindness, Watched
from tests.autoscaler.world.world import STEP, Worker, World

LIMIT = timedelta(minutes=3)
# Once the faults are over, and no zone rests any more. The longest way to work: a worker that has just fallen silent
# holds the only place (silent limit), is marked, is rebooted a minute later, boots, and waits for the lease of what it
# had in hand. The longest way to an end: all that, once more silent after it, and the stop; or work, and then the idle
# limit.
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
    *[Blindness()] * 6,
    Blindness(queue=True),
    Blindness(instances=True),
    Blindness(ledger=True),
    Blindness(lock=True),
    Blindness(stale=True, ghosts=1),
    Blindness(ghosts=500),
    Blindness(ghosts=500, receives=True),
]


@dataclass(frozen=True)
class Before:
    """The world as a tick found it."""

    held: bool
    ours: frozenset[str]
    idle: frozenset[str]
    desired: int


class FleetMachine(RuleBasedStateMachine):
    """The world, the autoscaler's ticks in it, and whatever may happen to both."""

    world: World
    watched: Watched
    reached: ClassVar[Counter[Decision]] = Counter()

    @initialize(
        most=st.integers(1, 3),
        with_group=st.booleans(),
        min_jobs=st.sampled_from([1, 30]),
        drain=st.sampled_from([5, 60]),
        workers_leave=st.booleans(),
    )
    def a_fleet(self, most: int, with_group: bool, min_jobs: int, drain: int, workers_leave: bool) -> None:
        self.policy = Policy(
            max_instances=most,
            target_drain_seconds=drain,
            rtfx=20,
            chunk_seconds=5,
            boot_limit=LIMIT,
            idle_limit=LIMIT,
            silent_limit=LIMIT,
            start_min_jobs=min_jobs,
            start_max_wait=LIMIT,
            surplus_limit=LIMIT,
            stuck_limit=timedelta(minutes=10),
            max_run=timedelta(minutes=30),
        )
        self.world = World(with_group, workers_leave)
        self.watched = Watched(self.world, self.policy)
        self.persons: set[str] = set()
        self.runs: dict[tuple[str, datetime], None] = {}
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

    @rule(before_acting=st.booleans())
    def a_tick_comes_while_one_is_deciding_or_acting(self, before_acting: bool) -> None:
        self.world.pass_time(60)
        self._meanwhile(self.tick, before_acting=before_acting)

    @rule(seconds=st.sampled_from([STEP, 2 * STEP]), before_acting=st.booleans())
    def a_tick_takes_long(self, seconds: int, before_acting: bool) -> None:
        self._meanwhile(lambda: self.world.pass_time(seconds), before_acting=before_acting)

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
        self.watched.blind = blind

    # --- a tick, and what must be true of it

    def tick(self) -> None:
        self._look()
        result = self.watched.autoscaler.unlogged_tick()
        self.reached[result.decision] += 1
        self._nothing_is_done_under_the_lock(result)
        self._nothing_is_done_blindly(result)
        self._only_what_was_planned_is_done(result)
        group, before = self.world.group, self.before
        if group:
            assert group.desired <= max(group.max_size, before.desired)
        ours = self.world.running(ours=True)
        assert all(self.world.is_ours(host) for host in ours if host.id not in before.ours), "nobody may stop it"
        self.runs.update(dict.fromkeys((host.id, host.launch_time) for host in ours))

    def _look(self) -> None:
        """Keep what the tick, or what is left of it, finds."""
        world = self.world
        self.before = Before(
            self.watched.lock_as_seen().held,
            frozenset(host.id for host in world.running(ours=True)),
            frozenset(host.id for host in world.ec2.hosts.values() if host.state not in {"pending", "running"}),
            world.group.desired if world.group else 0,
        )

    def _meanwhile(self, happens: Callable[[], None], *, before_acting: bool) -> None:
        """A tick in the middle of which something happens."""

        def interrupted() -> None:
            happens()
            self._look()

        if before_acting:
            self.watched.before_acting = interrupted
        else:
            self.watched.before_writing = interrupted
        self.tick()
        self.watched.before_acting = self.watched.before_writing = None

    def _nothing_is_done_under_the_lock(self, result: TickResult) -> None:
        seen_held = result.observation.lock.held
        assert not (seen_held and result.plan.actions)
        if not (seen_held or self.before.held):
            return
        outcome, group = result.outcome, self.world.group
        assert (outcome.started, outcome.stopped) == ((), ())
        now_idle = {host.id for host in self.world.ec2.hosts.values() if host.state not in {"pending", "running"}}
        assert now_idle == self.before.idle
        if group and seen_held and result.decision is Decision.HOLDING and outcome == ActionOutcome():
            assert group.desired <= len(group.members)

    def _nothing_is_done_blindly(self, result: TickResult) -> None:
        seen, outcome = result.observation, result.outcome
        if seen.queue is None or seen.instances is None:
            assert outcome.started == ()
        if seen.heartbeats is None:
            assert outcome.stopped == ()
        if seen.queue and not seen.queue.visible:
            assert outcome.started == ()

    def _only_what_was_planned_is_done(self, result: TickResult) -> None:
        actions, outcome = result.plan.actions, result.outcome
        most = sum(action.count for action in actions if isinstance(action, StartInstance))
        assert len(outcome.started) <= most
        assert set(outcome.stopped) <= {action.instance_id for action in actions if isinstance(action, StopInstance)}
        for name in outcome.stopped:
            worker, beat = self.world.workers.get(name), self.world.beats.get(name)
            fresh = beat and result.now - beat.beat_at < LIMIT
            stale_look = result.now < self.world.time.now()
            assert stale_look or not (fresh and worker and worker.alive and not worker.mute and worker.hand), name

    # --- what must be true at any time

    @invariant()
    def no_job_is_lost_or_made_up(self) -> None:
        depth = self.world.depth
        assert depth.total + self.world.done == self.world.sent

    @invariant()
    def no_more_of_ours_run_than_the_limit(self) -> None:
        ours = [host for host in self.world.running(ours=True) if self.world.is_ours(host)]
        assert len(ours) <= self.policy.max_instances

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
            within = WORK_WITHIN + self.watched.zones_rest()
            self._until(self._more_is_done(), within, "work waits, the lock is free, and nobody works")
        self._until(lambda: not self.world.running(ours=True), ENDS_WITHIN, "a GPU runs for nothing")

    def _faults_end(self) -> None:
        world = self.world
        self.watched.blind, world.locked = Blindness(), False
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
            assert self.world.time.now() - begin <= within, otherwise
            self.a_tick_a_minute()

    def _more_is_done(self) -> Callable[[], bool]:
        before = self.world.done
        return lambda: self.world.done > before

    def _worker(self, which: int) -> Worker:
        workers = list(self.world.workers.values())
        return workers[which % len(workers)]
