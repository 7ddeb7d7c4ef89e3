"""The instances of one observation, each with its heartbeat and what it is worth, and the words for them.

Pure. What the plan's parts share lives here; none of them looks at an instance without its standing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from autoscaler.model import History, Instance, Observation, Policy, is_from_the_future
from autoscaler.planning.status import InstanceStatus, standing
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat

_MAX_NAMES = 3
# Seconds of audio in a second. What tells less is no slow worker but a strange heartbeat, and must not make a backlog
# of years of a few jobs.
_SLOWEST = 0.01


@dataclass(frozen=True, slots=True)
class Member:
    """An instance with its heartbeat of this run and what it is worth."""

    instance: Instance
    heartbeat: Heartbeat | None
    standing: InstanceStatus

    @property
    def id(self) -> str:
        return self.instance.id

    @property
    def runs(self) -> bool:
        # A start that EC2 does not show yet runs, too.
        return self.instance.state in {"pending", "running"} or self.standing is InstanceStatus.BOOTING

    @property
    def startable(self) -> bool:
        return self.standing is InstanceStatus.STOPPED and not self.instance.hold

    @property
    def may_be_stopped(self) -> bool:
        """Whether it is the autoscaler's to stop: running and not pending, as EC2 refuses the latter."""
        return self.instance.owned and not self.instance.hold and self.instance.state == "running"


Fleet = tuple[Member, ...]


def fleet_of(observation: Observation, history: History, policy: Policy, now: datetime) -> Fleet:
    """The instances in the order of their ids; none where they could not be read."""
    return tuple(
        Member(instance, observation.heartbeat_of(instance), standing(instance, observation, history, policy, now))
        for instance in sorted(observation.instances or (), key=lambda instance: instance.id)
    )


# --- work


def rtfx(observation: Observation, policy: Policy, now: datetime) -> float:
    """Seconds of audio that a worker transcribes in a second: the median of fresh heartbeats, else the setting.

    The median, so that one worker with a strange number changes nothing.
    """
    running = [instance for instance in observation.instances or () if instance.state == "running"]
    beats = [beat for instance in running if (beat := observation.heartbeat_of(instance))]
    fresh = [beat for beat in beats if now - beat.beat_at <= policy.silent_limit and not is_from_the_future(beat, now)]
    said = [beat.rtfx for beat in fresh if beat.rtfx and beat.rtfx >= _SLOWEST]
    return median(said) if said else policy.rtfx


def backlog_seconds(queue: QueueDepth, policy: Policy, factor: float | None = None) -> float:
    """Seconds that one worker needs for all jobs on the queues, at `factor` or else the policy's RTFx."""
    return queue.total * policy.chunk_seconds / (factor or policy.rtfx)


# --- words


def jobs(queue: QueueDepth) -> str:
    """`2 jobs wait (3 in flight)`."""
    waits = {0: "no job waits", 1: "1 job waits"}.get(queue.visible, f"{queue.visible:,} jobs wait")
    return f"{waits}{out_of_sight(queue)}"


def out_of_sight(queue: QueueDepth) -> str:
    """The jobs that cannot be received now, in brackets behind those that can."""
    parts = [(queue.in_flight, "in flight"), (queue.delayed, "delayed")]
    text = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    return f" ({text})" if text else ""


def instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"


def names(members: Iterable[Member]) -> str:
    """`i-1 is stopping, i-2 is draining`, cut where it would grow long."""
    texts = [f"{member.id} is {member.standing}" for member in members]
    more = f" and {len(texts) - _MAX_NAMES} more" if len(texts) > _MAX_NAMES else ""
    return ", ".join(texts[:_MAX_NAMES]) + more
