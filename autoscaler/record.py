"""What ticks tell the next one, and how it follows from what a tick saw. Pure; `autoscaler.record_store` keeps it.

Nothing that decides whether work is done rests on it: without it the autoscaler still starts what work needs and stops
what is idle. It says since when work waits, what the day has cost, where AWS had no capacity a moment ago, and when the
last run began and a worker last had work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from pydantic import AwareDatetime

from autoscaler.model import ActionOutcome, History, Instance, Observation, ProbeResult, Surplus, is_from_the_future
from shared.formats.heartbeat import Heartbeat
from shared.formats.wire import WireModel
from shared.state.last_tick import LastTick
from shared.state.lock import LockState

NO_CAPACITY = "InsufficientInstanceCapacity"
# A start is billed for a minute at least (EC2 pricing, "On-Demand").
_SHORTEST_BILL = timedelta(minutes=1)
_BACK_OFF_MINUTES = (1, 2, 4, 8, 15)
# Blocks that ended this long ago are forgotten: the next one is a first again.
_FORGET = timedelta(hours=1)
# A start is remembered for longer than EC2 takes to show it.
_FORGET_START = timedelta(minutes=5)


class ZoneBlock(WireModel):
    """AWS had no capacity in a zone: how many times in a row, and until when it is not asked again."""

    failures: int
    until: AwareDatetime


class TickRecord(LastTick):
    """The record that ticks share: what others may read of it, and what is between ticks.

    Attributes:
        version: counts the writes; a tick writes only over the version that it has read.
        held_since: since when each tick has seen the lock held; absent when the last one saw it free.
        last_start, last_work, last_sighting: as in the observation; members of a group leave no trace but these.
        surplus: as the last plan told it.
        starts: instance id -> when a tick last started it, a moment ago.
    """

    version: int = 0
    held_since: AwareDatetime | None = None
    last_start: AwareDatetime | None = None
    last_work: AwareDatetime | None = None
    last_sighting: AwareDatetime | None = None
    surplus: Surplus | None = None
    zones: Mapping[str, ZoneBlock] = {}
    starts: Mapping[str, AwareDatetime] = {}

    def after(self, observation: Observation, now: datetime) -> "TickRecord":
        """The record as the tick that saw `observation` at `now` writes it."""
        fields: dict[str, object] = {"version": self.version + 1, "ticked_at": now}
        queue = observation.least_queue()
        if queue is not None:
            fields["waiting_since"] = (self.waiting_since or now) if queue.visible else None
        fields["held_since"] = (self.held_since or _hold_seen(observation.lock, now)) if observation.lock.held else None
        if observation.instances is not None:
            fields["gpu_seconds"] = self._of(_day(now)) + self._seconds_since(observation.instances, now)
            fields["counted_until"] = now
            fields["last_start"] = _latest(self.last_start, _starts(observation.instances))
        fields["last_work"] = _latest(self.last_work, _work(observation, now))
        if observation.sighting is ProbeResult.MESSAGE:
            fields["last_sighting"] = now
        fields["zones"] = {zone: block for zone, block in self.zones.items() if now - _FORGET < block.until}
        fields["starts"] = {name: begun for name, begun in self.starts.items() if now - begun < _FORGET_START}
        return self.model_copy(update=fields)

    def with_zones(
        self, instances: Iterable[Instance], outcome: ActionOutcome, fleet: str, now: datetime
    ) -> "TickRecord":
        """The record after the starts of this tick: zones without capacity rest, longer each time; others are free.

        Returns:
            This very record where nothing has changed.
        """
        zone_of = {instance.id: instance.availability_zone for instance in instances}
        full = {zone_of.get(name, "") for name, code in outcome.blocked.items() if code == NO_CAPACITY} - {""}
        free = {zone_of.get(name, "") for name in outcome.started} - full
        zones = {zone: block for zone, block in self.zones.items() if zone not in free}
        for zone in sorted(full):
            failures = self.zones[zone].failures + 1 if zone in self.zones else 1
            zones[zone] = ZoneBlock(failures=failures, until=now + back_off(fleet, zone, failures))
        return self if zones == self.zones else self.model_copy(update={"zones": zones, "version": self.version + 1})

    def with_starts(self, outcome: ActionOutcome, now: datetime) -> "TickRecord":
        """The record after a tick that has decided at `now`: what it started, it may not see for a moment."""
        if not outcome.started:
            return self
        return self.model_copy(update={"starts": {**self.starts, **dict.fromkeys(outcome.started, now)}})

    def telling(self, decision: str, reason: str) -> "TickRecord":
        """The record that says what the tick came to, for people; the next tick does not read it."""
        return self.model_copy(update={"decision": str(decision), "reason": reason})

    def history(self, observation: Observation, now: datetime) -> History:
        """What the record, brought up to `now` by `after`, adds to the observation."""
        return History(
            oldest_waits=None if observation.queue is None else now - (self.waiting_since or now),
            gpu_seconds_today=None if observation.instances is None else self._of(_day(now)),
            lock_held_for=now - (self.held_since or now),
            blocked_zones={zone: block.until for zone, block in self.zones.items() if now < block.until},
            last_start=self.last_start,
            last_work=self.last_work,
            last_sighting=self.last_sighting,
            surplus=self.surplus,
        )

    def with_own_starts(self, observation: Observation) -> Observation:
        """The observation with the starts of a moment ago that EC2 does not show yet."""
        if observation.instances is None:
            return observation
        return replace(observation, instances=tuple(map(self._as_started, observation.instances)))

    def _as_started(self, instance: Instance) -> Instance:
        """The instance with the mark of the start that the record knows of, where EC2 does not show that mark yet.

        Taken for one that is stopped, it would be started again: that start would put its own mark over the first one,
        find the instance started by somebody else, and take the mark back. Nobody would ever stop that GPU.
        """
        begun = self.starts.get(instance.id)
        if begun is None or instance.state != "stopped" or (instance.owned_since and instance.owned_since >= begun):
            return instance
        return replace(instance, owned_since=begun)

    def _of(self, day: date) -> float:
        return self.gpu_seconds if self.counted_until and _day(self.counted_until) == day else 0

    def _seconds_since(self, instances: Iterable[Instance], now: datetime) -> float:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = max(midnight, self.counted_until or midnight)
        return sum(_ran(instance, begin, now) for instance in instances if instance.owned)


def back_off(fleet: str, zone: str, failures: int) -> timedelta:
    """How long a zone rests after so many refusals in a row: 1, 2, 4, 8, then 15 minutes, each a quarter more or less.

    The deviation is drawn from the names, so fleets do not ask all at once and the same case gives the same answer.
    """
    minutes = _BACK_OFF_MINUTES[min(failures, len(_BACK_OFF_MINUTES)) - 1]
    draw = sha256(f"{fleet}/{zone}/{failures}".encode()).digest()[0] / 255
    return timedelta(minutes=minutes) * (0.75 + draw / 2)


def _hold_seen(lock: LockState, now: datetime) -> datetime:
    """A moment at which the lock was held: when its oldest hold was last refreshed. Nothing tells when it began."""
    return min((now, *(holder.timestamp for holder in lock.holders)))


def _latest(known: datetime | None, found: Iterable[datetime]) -> datetime | None:
    return max((*found, *((known,) if known else ())), default=None)


def _starts(instances: Iterable[Instance]) -> Iterable[datetime]:
    return (instance.run_start for instance in instances if instance.owned)


def _work(observation: Observation, now: datetime) -> Iterable[datetime]:
    """Moments up to `now` at which workers had work in hand."""
    for heartbeat in (observation.heartbeats or {}).values():
        worked = _last_work(heartbeat)
        if worked and not is_from_the_future(heartbeat, now):
            yield min(worked, now)


def _last_work(heartbeat: Heartbeat) -> datetime | None:
    if heartbeat.state == "busy":
        return heartbeat.beat_at
    return heartbeat.idle_since if heartbeat.jobs_done else None


def _ran(instance: Instance, begin: datetime, now: datetime) -> float:
    """Seconds of its last run that are billed between `begin` and `now`; none before it has come up."""
    first = max(begin, instance.run_start)
    if instance.state == "running":
        return max(0.0, (now - first).total_seconds())
    ended = instance.stopped_at
    if ended is None or ended <= begin:
        return 0.0
    return max(0.0, (max(ended, instance.run_start + _SHORTEST_BILL) - first).total_seconds())


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
