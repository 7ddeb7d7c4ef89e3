"""The autoscaler's values: what it sees, what it may do, what came of it.

Nothing here decides or calls anything; every value is made once and never changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, Self

from shared.ledger import Heartbeat
from shared.lock import LockState
from shared.queues import QueueDepth
from shared.settings import Settings

InstanceState = Literal["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of the pool.

    Attributes:
        launch_time: when its present or last run began, as EC2 says.
        owned_since: when the autoscaler began that run; `None` when someone else did (rule: `shared.instances`).
        hold: whether a person protects it from being started or stopped.
    """

    id: str
    state: InstanceState
    launch_time: datetime
    owned_since: datetime | None = None
    hold: bool = False
    availability_zone: str = ""

    @property
    def owned(self) -> bool:
        return self.owned_since is not None

    @property
    def run_start(self) -> datetime:
        """When this run began."""
        return self.owned_since or self.launch_time


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the fleet. `None` means that this part could not be read, which is not the same as empty.

    Attributes:
        queue: both job queues together.
        heartbeats: instance id -> its last heartbeat, of this run or an older one.
        problems: one line for each part that could not be read.
    """

    queue: QueueDepth | None
    lock: LockState
    instances: tuple[Instance, ...] | None
    heartbeats: Mapping[str, Heartbeat] | None
    problems: tuple[str, ...] = ()

    def heartbeat_of(self, instance: Instance) -> Heartbeat | None:
        """The instance's last heartbeat of this run: "draining" from the run before says nothing about this one."""
        heartbeat = (self.heartbeats or {}).get(instance.id)
        return heartbeat if heartbeat and heartbeat.beat_at >= instance.run_start else None


@dataclass(frozen=True, slots=True)
class Policy:
    """How many instances are worth it, and how patient the autoscaler is.

    Attributes:
        target_drain_seconds: seconds in which the backlog should be worked off.
        real_time_factor: seconds of audio that one worker transcribes in a second.
        chunk_seconds: seconds of audio behind one job.
        boot_limit: from an instance's start to its worker's first heartbeat.
        idle_limit: without work before an owned instance is stopped.
        silent_limit: without a heartbeat before a worker counts as gone.
    """

    max_instances: int
    target_drain_seconds: float
    real_time_factor: float
    chunk_seconds: float
    boot_limit: timedelta
    idle_limit: timedelta
    silent_limit: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            max_instances=settings.max_instances,
            target_drain_seconds=settings.target_drain_seconds,
            real_time_factor=settings.real_time_factor,
            chunk_seconds=settings.chunk_seconds,
            boot_limit=timedelta(seconds=settings.boot_limit_seconds),
            idle_limit=timedelta(seconds=settings.idle_limit_seconds),
            silent_limit=timedelta(seconds=settings.silent_limit_seconds),
        )


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start `count` of the `candidates`, in their order; the next one is tried when one has no capacity."""

    candidates: tuple[str, ...]
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class StopInstance:
    """Stop one instance."""

    instance_id: str
    reason: str


Action = StartInstance | StopInstance


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in order, and why: also why nothing is done."""

    actions: tuple[Action, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the actions, by instance id.

    Attributes:
        blocked: id -> AWS's code, where AWS refused for a reason that passes (no capacity, not in a state for it).
        failed: id -> AWS's code, where a person has to look.
    """

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            started=self.started + other.started,
            stopped=self.stopped + other.stopped,
            blocked={**self.blocked, **other.blocked},
            failed={**self.failed, **other.failed},
        )


class Pool(Protocol):
    """Where actions go: EC2, or a dry run that only says what it would do."""

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> Outcome:
        """Start up to `count` of the `candidates`, in order."""

    def stop(self, instance_id: str) -> Outcome:
        """Stop one instance."""
