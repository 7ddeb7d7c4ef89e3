"""How many instances are worth it, and how patient the autoscaler is: the settings in the units of decisions."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self

from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A stretch of each day (UTC) in which nothing is started; one that ends before it begins goes over midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From `22:00-06:00`; nothing from an empty text."""
        if not text:
            return None
        begin, end = text.split("-")
        return cls(time.fromisoformat(begin), time.fromisoformat(end))

    def include(self, moment: datetime) -> bool:
        """Whether `moment` lies in them; the end does not."""
        clock = moment.astimezone(UTC).time()
        if self.begin <= self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that an operator sets.

    Attributes:
        target_drain_seconds: seconds in which the backlog should be worked off.
        rtfx: seconds of audio that one worker transcribes in a second, where no worker says its own.
        chunk_seconds: seconds of audio behind one job.
        boot_limit: from an instance's start to its worker's first heartbeat.
        idle_limit: without work before an owned instance is stopped.
        silent_limit: without a heartbeat before a worker counts as gone.
        start_min_jobs: waiting jobs from which the first instance is started at once.
        start_max_wait: for which fewer of them wait at most.
        confirm_reads: looks at the queues that must all see waiting work before a start.
        surplus_limit: for which more instances must have been at work than wanted before idle ones of them are stopped.
        stuck_limit: without a finished job before a busy worker counts as hung.
        max_run: after which an owned instance is stopped as soon as it is not busy.
        daily_gpu_seconds: that owned instances may run in a day; `None` for no limit.
        daily_cost_usd: that they may cost in a day; `None` for no limit.
        budget_override_until: until then these two limits are not kept.
    """

    max_instances: int
    target_drain_seconds: float
    rtfx: float
    chunk_seconds: float
    boot_limit: timedelta
    idle_limit: timedelta
    silent_limit: timedelta
    min_instances: int = 0
    start_min_jobs: int = 1
    start_max_wait: timedelta = timedelta(0)
    confirm_reads: int = 1
    surplus_limit: timedelta = timedelta(days=1)
    stuck_limit: timedelta = timedelta(days=1)
    max_run: timedelta = timedelta(days=7)
    daily_gpu_seconds: float | None = None
    daily_cost_usd: float | None = None
    budget_override_until: datetime | None = None
    price_usd_per_hour: float = 0
    quiet_hours: QuietHours | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            max_instances=settings.max_instances,
            target_drain_seconds=settings.target_drain_seconds,
            rtfx=settings.rtfx,
            chunk_seconds=settings.chunk_seconds,
            boot_limit=timedelta(seconds=settings.boot_limit_seconds),
            idle_limit=timedelta(seconds=settings.idle_limit_seconds),
            silent_limit=timedelta(seconds=settings.silent_limit_seconds),
            min_instances=min(settings.min_instances, settings.max_instances),
            start_min_jobs=settings.start_min_jobs,
            start_max_wait=timedelta(seconds=settings.start_max_wait_seconds),
            confirm_reads=settings.start_confirm_reads,
            surplus_limit=timedelta(seconds=settings.surplus_limit_seconds),
            stuck_limit=timedelta(seconds=settings.stuck_limit_seconds),
            max_run=timedelta(seconds=settings.max_run_seconds),
            daily_gpu_seconds=settings.daily_gpu_hours * 3600 or None,
            daily_cost_usd=settings.daily_cost_usd or None,
            budget_override_until=settings.budget_override_until,
            price_usd_per_hour=settings.price_usd_per_hour,
            quiet_hours=QuietHours.parse(settings.quiet_hours),
        )

    @property
    def has_budget(self) -> bool:
        return self.daily_gpu_seconds is not None or self.daily_cost_usd is not None

    def cost_usd(self, gpu_seconds: float) -> float:
        """What `gpu_seconds` of one instance cost."""
        return gpu_seconds * self.price_usd_per_hour / 3600
