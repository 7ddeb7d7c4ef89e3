"""A fleet in a world of its own: the real plan and the real providers, with EC2, queue, lock and workers in memory.

The world does what AWS and workers do by themselves, second by second on a clock of its own, and lets a test break it.
It is written from architecture.md and the field notes, not from the plan: nothing here knows what the plan will decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from botocore.exceptions import ClientError

from autoscaler.model import (
    Action,
    Instance,
    MarkSuspect,
    Observation,
    Outcome,
    Plan,
    Policy,
    RebootInstance,
    StartInstance,
)
from autoscaler.plan import plan
from autoscaler.providers.contract import CapacityProvider
from autoscaler.providers.group import AutoScalingGroup
from autoscaler.providers.stoppable import InstancePool
from scripted_cloud import FLEET, Host, ScriptedEc2, ScriptedGroup
from shared.instances import FLEET_TAG, GROUP_TAG, HOLD_TAG, STARTED_AT_TAG, owned_since
from shared.ledger import Heartbeat, WorkerState
from shared.lock import Holder, LockState
from shared.queues import QueueDepth

STEP = 20  # seconds: one long poll
LEASE = timedelta(seconds=120)
JOBS_A_POLL = 40
EMPTY_POLLS = 6
ZONES = ("a", "b")
_SUSPECT, _REBOOTED, _PERSON = "suspect-since", "rebooted-at", "person"
_ALIVE = {"pending", "running", "stopping", "stopped"}


@dataclass(slots=True)
class Time:
    """The world's clock."""

    moment: datetime = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass(slots=True)
class Worker:
    """One worker process: alive or crashed, heard or mute, and able to stop its instance or not."""

    may_stop: bool
    alive: bool = True
    mute: bool = False
    hand: int = 0
    lease: datetime | None = None
    idle_since: datetime | None = None
    empty_polls: int = 0
    done: int = 0
    state: WorkerState = "starting"
    progress_at: datetime | None = None


@dataclass(slots=True)
class Blindness:
    """What the autoscaler cannot read, or reads wrongly."""

    queue: bool = False
    instances: bool = False
    heartbeats: bool = False
    lock: bool = False
    stale: bool = False
    ghosts: int = 0


@dataclass(slots=True)
class World:
    """Everything of one fleet."""

    policy: Policy
    with_group: bool
    workers_leave: bool = True  # else the autoscaler alone ends their runs
    time: Time = field(default_factory=Time)
    ec2: ScriptedEc2 = field(init=False)
    group: ScriptedGroup | None = field(init=False, default=None)
    provider: CapacityProvider = field(init=False)
    workers: dict[str, Worker] = field(default_factory=dict)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    visible: int = 0
    sent: int = 0
    done: int = 0
    locked: bool = False
    blind: Blindness = field(default_factory=Blindness)
    last_depth: QueueDepth = field(default_factory=QueueDepth)
    waits_since: datetime | None = None

    def __post_init__(self) -> None:
        self.ec2 = ScriptedEc2(self.time)
        if self.with_group:
            self.group = ScriptedGroup(self.ec2, max_size=3, zones=ZONES)
            self.provider = AutoScalingGroup(cast("Any", self.group), self.group.name, self.time)
        else:
            self.provider = InstancePool(cast("Any", self.ec2))
            for zone in ("a", "b", "a"):
                self.ec2.add(zone)

    # --- time

    def pass_time(self, seconds: int) -> None:
        """Let the world go on by itself."""
        for _ in range(seconds // STEP):
            self.time.sleep(STEP)
            self._step()

    def _step(self) -> None:
        self.last_depth = self.depth
        if self.group:
            self.group.reconcile()
        self.ec2.settle()
        for host in list(self.ec2.hosts.values()):
            if host.state == "running":
                worker = self.workers.setdefault(host.id, Worker(self.workers_leave, idle_since=self.time.now()))
                self._work(host, worker)
            elif host.id in self.workers:
                self._give_back(self.workers.pop(host.id))
        if not self.visible:
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = self.time.now()

    @property
    def depth(self) -> QueueDepth:
        return QueueDepth(visible=self.visible, in_flight=sum(worker.hand for worker in self.workers.values()))

    # --- workers

    def _work(self, host: Host, worker: Worker) -> None:
        if not worker.alive:
            if worker.lease and self.time.now() >= worker.lease:
                self._give_back(worker)
            return
        self._finish(worker)
        if self.locked:
            self._becomes(worker, "locked")
        elif self.visible:
            worker.hand = min(JOBS_A_POLL, self.visible)
            self.visible -= worker.hand
            worker.lease, worker.empty_polls = self.time.now() + LEASE, 0
            self._becomes(worker, "busy")
        else:
            worker.empty_polls += 1
            self._becomes(worker, "idle")
        if worker.empty_polls >= EMPTY_POLLS:
            self._becomes(worker, "draining")
        self._beat(host, worker)
        if worker.state == "draining":
            self._leave(host, worker)

    def _finish(self, worker: Worker) -> None:
        if worker.hand:
            self.done, worker.done = self.done + worker.hand, worker.done + worker.hand
            worker.hand, worker.lease, worker.progress_at = 0, None, self.time.now()

    def _becomes(self, worker: Worker, state: WorkerState) -> None:
        if state in {"busy", "locked"}:
            worker.idle_since = None
            worker.progress_at = worker.progress_at or self.time.now()
        else:
            worker.idle_since = worker.idle_since or self.time.now()
            worker.progress_at = None
        worker.state = state

    def _beat(self, host: Host, worker: Worker) -> None:
        if self.group and host.id in self.group.members:
            self.group.members[host.id] = worker.state in {"busy", "locked"}
        if not worker.mute:
            self.beats[host.id] = Heartbeat(
                instance_id=host.id,
                state=worker.state,
                beat_at=self.time.now(),
                idle_since=worker.idle_since,
                jobs_done=worker.done,
                progress_at=worker.progress_at,
            )

    def _leave(self, host: Host, worker: Worker) -> None:
        worker.empty_polls = 0
        if not worker.may_stop or not self.is_ours(host) or HOLD_TAG in host.tags:
            return
        try:
            if self.group:
                self.group.terminate_instance_in_auto_scaling_group(host.id, True)
            else:
                self.ec2.stop_instances([host.id])
        except ClientError:
            return  # it polls on, as the real one does

    def _give_back(self, worker: Worker) -> None:
        self.visible += worker.hand
        worker.hand, worker.lease = 0, None

    # --- instances

    def is_ours(self, host: Host) -> bool:
        """Whether the autoscaler began the host's run, by the rules for marks and members."""
        if GROUP_TAG in host.tags:
            return True
        return owned_since(host.tags, host.launch_time) is not None

    def running(self, *, ours: bool) -> list[Host]:
        """Hosts that run or are about to; `ours` or a person's."""
        return [
            host
            for host in self.ec2.hosts.values()
            if host.state in {"pending", "running"} and (_PERSON not in host.tags) == ours
        ]

    def person_starts(self) -> None:
        """Someone runs an instance of their own: one of the pool, or one beside the group."""
        if self.group:
            self.ec2.add(running=True, tags={_PERSON: ""})
            return
        for host in self.ec2.hosts.values():
            mark = host.tags.get(STARTED_AT_TAG)
            # A start within minutes of our own lost start cannot be told from it; that is the rule's known limit.
            fresh = mark and self.time.now() - datetime.fromisoformat(mark) < timedelta(minutes=10)
            if host.state == "stopped" and not fresh and host.zone not in self.ec2.full_zones:
                host.tags[_PERSON] = ""
                self.ec2.start_by_person(host.id)
                return

    def person_stops(self) -> None:
        """They stop theirs again."""
        for host in self.running(ours=False):
            if host.state == "running":
                self.ec2.stop_by_person(host.id)
                host.tags.pop(_PERSON)

    # --- the autoscaler

    def observe(self) -> Observation:
        """What the autoscaler sees, with all that it cannot."""
        blind = self.blind
        instances = None if blind.instances else self._instances()
        queue = None if blind.queue else self._seen_depth()
        waits = self.time.now() - self.waits_since if self.waits_since else timedelta(0)
        return Observation(
            queue=queue,
            lock=self.lock(),
            instances=instances,
            heartbeats=None if blind.heartbeats or instances is None else dict(self.beats),
            problems=("something could not be read",) if None in (instances, queue) else (),
            oldest_waits=None if blind.heartbeats else waits,
        )

    def lock(self) -> LockState:
        """One look at the lock."""
        if self.blind.lock:
            return LockState(problem="the lock could not be read")
        holder = Holder(user_id="u", session_id="s", timestamp=self.time.now())
        return LockState(holders=(holder,) if self.locked else ())

    def _seen_depth(self) -> QueueDepth:
        true = self.last_depth if self.blind.stale else self.depth
        return replace(true, visible=true.visible + self.blind.ghosts)

    def _instances(self) -> tuple[Instance, ...] | None:
        self.ec2.settle()
        found = tuple(_seen(host) for host in self.ec2.hosts.values() if host.state in _ALIVE)
        return self.provider.see(found).instances

    def act(self, decided: Plan, *, held: bool) -> Outcome:
        """Do what was decided, as a tick does: with a look at the lock before each action."""
        outcome = Outcome()
        if held:
            return self.provider.hold_back()
        for action in decided.actions:
            if self.lock().held:
                return outcome + self.provider.hold_back()
            outcome += self._perform(action)
        return outcome

    def _perform(self, action: Action) -> Outcome:
        if isinstance(action, StartInstance):
            return self.provider.start(action.candidates, action.count, self.time.now())
        if isinstance(action, MarkSuspect):
            self.ec2.hosts[action.instance_id].tags[_SUSPECT] = self.time.now().isoformat()
            return Outcome()
        if isinstance(action, RebootInstance):
            self._reboot(self.ec2.hosts[action.instance_id])
            return Outcome()
        return self.provider.stop(action.instance_id)

    def _reboot(self, host: Host) -> None:
        host.tags[_REBOOTED] = self.time.now().isoformat()
        if host.id in self.workers:
            self._give_back(self.workers.pop(host.id))

    def decide(self, observation: Observation) -> Plan:
        """What the real plan makes of it."""
        return plan(observation, self.policy, self.time.now())


def _seen(host: Host) -> Instance:
    assert host.tags[FLEET_TAG] == FLEET
    return Instance(
        host.id,
        cast("Any", host.state),
        host.launch_time,
        owned_since(host.tags, host.launch_time),
        hold=HOLD_TAG in host.tags,
        availability_zone=host.zone,
        suspect_since=_moment(host.tags, _SUSPECT),
        rebooted_at=_moment(host.tags, _REBOOTED),
    )


def _moment(tags: Mapping[str, str], key: str) -> datetime | None:
    return datetime.fromisoformat(tags[key]) if key in tags else None
