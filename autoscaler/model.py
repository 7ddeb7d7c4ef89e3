"""The autoscaler's values: what it sees, what it may do, what came of it.

Nothing here decides or calls anything; every value is made once and never changed. The policy has its own module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime

from autoscaler.policy import Policy
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat
from shared.formats.wire import WireModel
from shared.state.fleet_view import Instance, InstanceState
from shared.state.lock import LockState

__all__ = [
    "Action",
    "ActionOutcome",
    "Decision",
    "History",
    "Instance",
    "InstanceState",
    "MarkSuspect",
    "Observation",
    "Plan",
    "Policy",
    "ProbeResult",
    "RebootInstance",
    "StartInstance",
    "StopInstance",
    "Surplus",
]

# Clocks of two machines differ by seconds; a heartbeat from further in the future comes from a clock that is wrong.
_CLOCK_SKEW = timedelta(minutes=2)


class Surplus(WireModel):
    """A span in which each tick has seen more instances at work than it wanted.

    Attributes:
        since: when the first of them did.
        most_wanted: the most that any of them wanted.
    """

    since: AwareDatetime
    most_wanted: int


class ProbeResult(StrEnum):
    """What came of asking the queues for a real message."""

    MESSAGE = "message"
    NOTHING = "nothing"
    REFUSED = "refused"  # they could not be asked


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the fleet. `None` means that this part could not be read, which is not the same as empty.

    Attributes:
        queue: both job queues together.
        heartbeats: instance id -> its last heartbeat, of this run or an older one; of stopped instances, too.
        problems: one line for each part that could not be read.
        confirmations: the queues at the further looks of this tick, before a start.
        invalid_heartbeats: instances whose heartbeat could be read but not understood.
        sighting: what a look for a real message found; `None` when none was taken.
    """

    queue: QueueDepth | None
    lock: LockState
    instances: tuple[Instance, ...] | None
    heartbeats: Mapping[str, Heartbeat] | None
    problems: tuple[str, ...] = ()
    confirmations: tuple[QueueDepth, ...] = ()
    invalid_heartbeats: frozenset[str] = frozenset()
    sighting: ProbeResult | None = None

    def heartbeat_of(self, instance: Instance) -> Heartbeat | None:
        """The instance's last heartbeat since it booted; `None` also where the heartbeats could not be read."""
        return instance.heartbeat_in(self.heartbeats or {})

    def least_queue(self) -> QueueDepth | None:
        """The least that all looks of this tick agree on: what a start may rest on."""
        if self.queue is None:
            return None
        return min((self.queue, *self.confirmations), key=lambda depth: (depth.visible, depth.total))


@dataclass(frozen=True, slots=True)
class History:
    """What the record of earlier ticks adds to an observation; `None` where it is unknown or there has been none.

    Attributes:
        oldest_waits: for how long work has waited without a tick that saw none: the oldest job waits no longer.
        gpu_seconds_today: seconds that owned instances have run in this day (UTC).
        lock_held_for: for how long, at least, the lock has been held without a tick that saw it free; zero when it is.
        blocked_zones: availability zone -> until when no start is tried there, because AWS had no capacity.
        last_start: when the latest owned run began.
        last_work: when a worker last had work.
        last_sighting: when a probe last found a message.
        surplus: the span of surplus that the previous tick was in.
    """

    oldest_waits: timedelta | None = None
    gpu_seconds_today: float | None = None
    lock_held_for: timedelta | None = None
    blocked_zones: Mapping[str, datetime] = field(default_factory=dict)
    last_start: datetime | None = None
    last_work: datetime | None = None
    last_sighting: datetime | None = None
    surplus: Surplus | None = None


def is_from_the_future(heartbeat: Heartbeat, now: datetime) -> bool:
    """Whether the heartbeat's time is none that a right clock could have told."""
    return heartbeat.beat_at > now + _CLOCK_SKEW


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


@dataclass(frozen=True, slots=True)
class MarkSuspect:
    """Write down that one instance seems dead; a later tick that finds it so again acts on it."""

    instance_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RebootInstance:
    """Reboot one instance whose worker is dead or hung; it stays the same run."""

    instance_id: str
    reason: str


Action = StartInstance | StopInstance | MarkSuspect | RebootInstance


class Decision(StrEnum):
    """What a tick came to, in one word that metrics count by; the sentence for people is the plan's reason."""

    HOLDING = "holding"  # a live session
    OBSERVATION_FAILED = "blind"  # a part that every decision needs could not be read
    STARTING = "starting"
    STOPPING = "stopping"
    REPAIRING = "repairing"  # marking or rebooting
    NOTHING_TO_DO = "nothing-to-do"
    ENOUGH = "enough"
    ACCUMULATING = "gathering"  # too little work for a start, and not for long enough
    UNCONFIRMED = "doubting"  # counts alone ask for more than they are believed
    QUIET = "quiet"
    OVER_BUDGET = "over-budget"
    NO_CAPACITY = "no-capacity"  # AWS had none
    WAITING = "waiting"  # for an instance to end its run, or for a person to free one
    SUPERSEDED = "outrun"  # another tick decided meanwhile


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in order, and why: also why nothing is done.

    Attributes:
        alarms: one line for each thing that a person should look at.
        in_doubt: whether a start waits for a look that sees a real message, and none has been taken.
        surplus: the span that this tick belongs to, for the next one.
    """

    actions: tuple[Action, ...]
    reason: str
    decision: Decision = Decision.NOTHING_TO_DO
    alarms: tuple[str, ...] = ()
    in_doubt: bool = False
    surplus: Surplus | None = None


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What came of the actions, by instance id.

    Attributes:
        blocked: id -> AWS's code, where AWS refused for a reason that passes (no capacity, not in a state for it).
        failed: id -> AWS's code, where a person has to look.
    """

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    marked: tuple[str, ...] = ()
    rebooted: tuple[str, ...] = ()

    def __add__(self, other: "ActionOutcome") -> "ActionOutcome":
        return ActionOutcome(
            started=self.started + other.started,
            stopped=self.stopped + other.stopped,
            blocked={**self.blocked, **other.blocked},
            failed={**self.failed, **other.failed},
            marked=self.marked + other.marked,
            rebooted=self.rebooted + other.rebooted,
        )
