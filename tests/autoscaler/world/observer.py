"""How the autoscaler sees and mends the world of `fleet_world`: what it cannot read, or reads wrongly, is set here.

The tick, the plan, the record and the providers are the real ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from autoscaler.model import ActionOutcome, Instance, Observation, Policy, ProbeResult
from autoscaler.providers.group import AutoScalingGroup
from autoscaler.providers.stoppable import InstancePool
from autoscaler.record import TickRecord
from autoscaler.tick import Autoscaler, TickParts
from shared.aws.sqs import QueueDepth
from shared.errors import LedgerError
from shared.state.instances import FLEET_TAG, HOLD_TAG, REBOOTED_TAG, SUSPECT_TAG, owned_since
from shared.state.lock import Holder, LockState
from tests.autoscaler.providers.scripted_ec2 import FLEET, Host
from tests.autoscaler.world.world import World

_ALIVE = {"pending", "running", "stopping", "stopped"}


@dataclass(slots=True)
class Blindness:
    """What the autoscaler cannot read, or reads wrongly; `ledger`: neither heartbeats nor the ticks' record."""

    queue: bool = False
    instances: bool = False
    ledger: bool = False
    lock: bool = False
    receives: bool = False
    stale: bool = False
    ghosts: int = 0


class Watched:
    """The autoscaler of a world, and what keeps it from seeing it.

    Attributes:
        before_writing, before_acting: called once in the next tick, where it writes its record and where it looks at
            the lock before it acts: something happens in between, such as another tick.
    """

    def __init__(self, world: World, policy: Policy) -> None:
        self.world = world
        self.blind = Blindness()
        self.before_writing: Callable[[], None] | None = None
        self.before_acting: Callable[[], None] | None = None
        self._record = TickRecord()
        group = world.group
        self.provider = (
            AutoScalingGroup(cast("Any", group), group.name, world.time)
            if group
            else InstancePool(cast("Any", world.ec2))
        )
        parts = TickParts(observer=self, provider=self.provider, repairs=self, records=self)
        self.autoscaler = Autoscaler(parts, policy, FLEET, world.time)

    # --- what a tick looks at

    def observe(self) -> Observation:
        blind, instances = self.blind, self._instances()
        queue = None if blind.queue else self._seen_depth()
        beats = self.world.beats
        return Observation(
            queue=queue,
            lock=self.lock_as_seen(),
            instances=instances,
            heartbeats=None
            if blind.ledger or instances is None
            else {one.id: beats[one.id] for one in instances if one.id in beats},
            problems=("something could not be read",) if None in (instances, queue) else (),
        )

    def look_again(self, observation: Observation) -> Observation:
        return replace(observation, confirmations=(*observation.confirmations, self._seen_depth()))

    def look_for_message(self, observation: Observation) -> Observation:
        if self.blind.receives:
            return replace(observation, sighting=ProbeResult.REFUSED)
        return replace(observation, sighting=ProbeResult.MESSAGE if self.world.visible else ProbeResult.NOTHING)

    def lock(self) -> LockState:
        happens, self.before_acting = self.before_acting, None
        if happens:
            happens()
        return self.lock_as_seen()

    def lock_as_seen(self) -> LockState:
        """One look at the lock."""
        if self.blind.lock:
            return LockState(problem="the lock could not be read")
        holder = Holder(user_id="u", session_id="s", timestamp=self.world.time.now())
        return LockState(holders=(holder,) if self.world.locked else ())

    def _seen_depth(self) -> QueueDepth:
        true = self.world.last_depth if self.blind.stale else self.world.depth
        return replace(true, visible=true.visible + self.blind.ghosts)

    def _instances(self) -> tuple[Instance, ...] | None:
        if self.blind.instances:
            return None
        self.world.ec2.settle()
        found = tuple(_seen(host) for host in self.world.ec2.hosts.values() if host.state in _ALIVE)
        return self.provider.see(found).instances

    # --- the record

    def zones_rest(self) -> timedelta:
        """How long no start is tried in some zone, which had no capacity when it was last asked."""
        now = self.world.time.now()
        return max(
            (block.until - now for block in self._record.zones.values() if block.until > now), default=timedelta()
        )

    def read(self) -> TickRecord:
        if self.blind.ledger:
            raise LedgerError("the ticks' record could not be read")
        return self._record

    def write(self, record: TickRecord) -> bool:
        happens, self.before_writing = self.before_writing, None
        if happens:
            happens()
        if self.blind.ledger:
            raise LedgerError("the ticks' record could not be written")
        if record.version != self._record.version + 1:
            return False
        self._record = record
        return True

    # --- repairs

    def mark(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        for name in instance_ids:
            self.world.ec2.hosts[name].tags[SUSPECT_TAG] = now.isoformat()
        return ActionOutcome(marked=instance_ids)

    def reboot(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        for name in instance_ids:
            self.world.ec2.hosts[name].tags[REBOOTED_TAG] = now.isoformat()
            self.world.reboot(name)
        return ActionOutcome(rebooted=instance_ids)


def _seen(host: Host) -> Instance:
    assert host.tags[FLEET_TAG] == FLEET
    return Instance(
        host.id,
        cast("Any", host.state),
        host.launch_time,
        owned_since(host.tags, host.launch_time),
        hold=HOLD_TAG in host.tags,
        availability_zone=host.zone,
        suspect_since=_moment(host.tags, SUSPECT_TAG),
        rebooted_at=_moment(host.tags, REBOOTED_TAG),
    )


def _moment(tags: Mapping[str, str], key: str) -> datetime | None:
    return datetime.fromisoformat(tags[key]) if key in tags else None
