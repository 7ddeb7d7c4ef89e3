"""A fleet in a world of its own: EC2, queue, lock and workers in memory.

The world does what AWS and workers do by themselves, second by second on a clock of its own, and lets a test break it.
It is written from architecture.md and the field notes, not from the autoscaler: nothing here knows what that decides.
How the autoscaler sees the world is in `world_eyes`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.instances import GROUP_TAG, HOLD_TAG, STARTED_AT_TAG, owned_since
from tests.autoscaler.providers.scripted_ec2 import Host, ScriptedEc2
from tests.autoscaler.providers.scripted_group import ScriptedGroup

STEP = 20  # seconds: one long poll
LEASE = timedelta(seconds=120)
JOBS_A_POLL = 40
EMPTY_POLLS = 6
ZONES = ("a", "b")
_PERSON = "person"


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
class World:
    """Everything of one fleet."""

    with_group: bool
    workers_leave: bool = True  # else the autoscaler alone ends their runs
    time: Time = field(default_factory=Time)
    ec2: ScriptedEc2 = field(init=False)
    group: ScriptedGroup | None = field(init=False, default=None)
    workers: dict[str, Worker] = field(default_factory=dict)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    visible: int = 0
    sent: int = 0
    done: int = 0
    locked: bool = False
    last_depth: QueueDepth = field(default_factory=QueueDepth)

    def __post_init__(self) -> None:
        self.ec2 = ScriptedEc2(self.time)
        if self.with_group:
            self.group = ScriptedGroup(self.ec2, max_size=3, zones=ZONES)
        else:
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

    def reboot(self, name: str) -> None:
        """The instance boots again; its worker dies with what it has in hand."""
        if name in self.workers:
            self._give_back(self.workers.pop(name))
