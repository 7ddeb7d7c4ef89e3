"""What follows from a look at the fleet: how fast it works, how long that will take, when it scans next. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from producer.operator.status.model import FleetInstance, Overview, Unread
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat
from shared.settings import Settings

# Seconds of audio in a second. What tells less is no slow worker but a strange heartbeat.
_SLOWEST = 0.01
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
# States in which a worker takes jobs, now or in a moment.
_TAKING = frozenset({"starting", "idle", "busy"})


@dataclass(frozen=True, slots=True)
class Outlook:
    """What to expect.

    Attributes:
        working: workers that take jobs.
        backlog_seconds: for which one worker would need to do all jobs on the queues; `None` where they are not known.
        seconds_left: for which the present workers will; `None` where that is not known or nobody works.
        oldest_waits_seconds: the oldest job waits this long at most, as the autoscaler has seen it; `None` where it
            has not said so, 0 where nothing waits.
        next_scan: when the scanner is expected; `None` where that is not known.
    """

    working: int
    backlog_seconds: float | None
    seconds_left: float | None
    oldest_waits_seconds: float | None
    next_scan: datetime | None


def outlook(seen: Overview, settings: Settings) -> Outlook:
    """What to expect after a look."""
    factors = [
        factor_of(each.heartbeat, settings)
        for each in (seen.instances if not isinstance(seen.instances, Unread) else ())
        if each.heartbeat and is_taking_jobs(each, seen.observed_at, settings)
    ]
    audio = _audio_waiting(seen, settings)
    held = seen.lock.held
    return Outlook(
        working=len(factors),
        backlog_seconds=None if audio is None else audio / settings.rtfx,
        seconds_left=None if audio is None or held or (audio and not factors) else audio / (sum(factors) or 1),
        oldest_waits_seconds=_oldest_waits(seen),
        next_scan=_next_scan(seen),
    )


def is_silent(each: FleetInstance, now: datetime, settings: Settings) -> bool:
    """Whether a running instance's worker should have been heard of by now, and was not."""
    if each.instance.state != "running":
        return False
    if each.heartbeat:
        return now - each.heartbeat.beat_at > timedelta(seconds=settings.silent_limit_seconds)
    return now - each.instance.boot_start > timedelta(seconds=settings.boot_limit_seconds)


def is_taking_jobs(each: FleetInstance, now: datetime, settings: Settings) -> bool:
    """Whether its worker is there and takes jobs."""
    if each.instance.state != "running" or each.heartbeat is None or is_silent(each, now, settings):
        return False
    return each.heartbeat.state in _TAKING


def factor_of(heartbeat: Heartbeat, settings: Settings) -> float:
    """Seconds of audio that the worker transcribes in a second: what it says, else the setting."""
    said = heartbeat.rtfx
    return said if said and said >= _SLOWEST else settings.rtfx


def _audio_waiting(seen: Overview, settings: Settings) -> float | None:
    """Seconds of audio in all jobs on the queues, each taken for one chunk."""
    if not isinstance(seen.jobs, QueueDepth) or not isinstance(seen.priority, QueueDepth):
        return None
    return (seen.jobs + seen.priority).total * settings.chunk_seconds


def _oldest_waits(seen: Overview) -> float | None:
    if isinstance(seen.tick, Unread) or seen.tick is None or seen.tick.ticked_at is None:
        return None
    if seen.tick.waiting_since is None:
        return 0.0
    return max(0.0, (seen.observed_at - seen.tick.waiting_since).total_seconds())


def _next_scan(seen: Overview) -> datetime | None:
    """After a rate's whole intervals since the last scan. Of a cron expression only EventBridge knows it."""
    if isinstance(seen.schedule, Unread) or seen.schedule is None or not seen.schedule.enabled:
        return None
    every = _RATE.fullmatch(seen.schedule.expression)
    if every is None or isinstance(seen.scan, Unread) or seen.scan is None:
        return None
    interval = timedelta(**{f"{every[2]}s": int(every[1])})
    if not interval:
        return None
    since = max(timedelta(0), seen.observed_at - seen.scan.timestamp)
    return seen.scan.timestamp + interval * (since // interval + 1)
