"""What there is to do: when jobs are queued and when live sessions hold the lock. Made up from a seed.

A trace is only data, the same for every strategy that is compared on it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

DAY = 86_400.0
_HOUR = 3600.0
_CHUNKS_AN_HOUR = 720  # of five seconds
_MISSING = 0.05


@dataclass(frozen=True, slots=True)
class Arrival:
    """Jobs that are queued together, `at` seconds after the beginning."""

    at: float
    jobs: int


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A live session that holds the lock, in seconds after the beginning."""

    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that comes from outside, in the order of time.

    Attributes:
        seconds: how long it goes on.
        pool: instances that it takes at most, for want of a better number.
    """

    name: str
    seconds: float
    arrivals: tuple[Arrival, ...]
    sessions: tuple[LiveSession, ...] = ()
    pool: int = 1

    @property
    def jobs(self) -> int:
        return sum(arrival.jobs for arrival in self.arrivals)


def small(days: int, random: Random, *, locked: bool = False) -> Trace:
    """Twenty one-hour sessions a day, recorded within ten hours; 5 % of the chunks missing, queued at the end.

    Args:
        locked: whether sessions hold the lock while they last.
    """
    sessions = []
    for day in range(days):
        for _ in range(20):
            begins = day * DAY + 8 * _HOUR + random.uniform(0, 9 * _HOUR)
            sessions.append(LiveSession(begins, begins + _HOUR))
    sessions.sort(key=lambda session: session.ends)
    # A moment after the release, as the scan or the upload that finds the gaps follows the end of the session.
    missing = _missing_of_an_hour()
    arrivals = tuple(Arrival(session.ends + 1, missing(random)) for session in sessions)
    name = "small-locked" if locked else "small"
    return Trace(name, days * DAY, arrivals, tuple(sorted(sessions, key=_begins)) if locked else ())


def small_locked(days: int, random: Random) -> Trace:
    """The same, and sessions hold the lock while they last."""
    return small(days, random, locked=True)


def sparse(days: int, random: Random) -> Trace:
    """Three missing chunks a day, at any time."""
    times = sorted(day * DAY + random.uniform(0, DAY) for day in range(days) for _ in range(3))
    return Trace("sparse", days * DAY, tuple(Arrival(at, 1) for at in times))


def burst(days: int, random: Random) -> Trace:
    """5,000 chunks at once after an outage, once a day at any time."""
    times = (day * DAY + random.uniform(0, DAY) for day in range(days))
    return Trace("burst", days * DAY, tuple(Arrival(at, 5000) for at in times))


def bursty_day(days: int, random: Random) -> Trace:
    """Sessions all day, and every few hours a burst of hundreds or thousands of chunks."""
    missing = _missing_of_an_hour()
    arrivals = [
        *(Arrival(at, missing(random)) for at in _poisson(50 / DAY, days * DAY, random)),
        *(Arrival(at, round(10 ** random.uniform(2.5, 4))) for at in _poisson(6 / DAY, days * DAY, random)),
    ]
    return Trace("bursty-day", days * DAY, tuple(sorted(arrivals, key=_at)), pool=8)


def recorders(days: int, random: Random) -> Trace:
    """A thousand recorders at the same time, day and night, in one-hour sessions that miss 5 % of their chunks."""
    arrivals, missing = [], _missing_of_an_hour()
    for _ in range(1000):
        ends = random.uniform(0, _HOUR)
        while ends < days * DAY:
            arrivals.append(Arrival(ends, missing(random)))
            ends += _HOUR
    return Trace("recorders", days * DAY, tuple(sorted(arrivals, key=_at)), pool=8)


def ten_million(days: int, random: Random) -> Trace:
    """Ten million chunks a day, in whole one-hour recordings; at midnight a ninth of what noon brings."""
    mean = 10_000_000 / _CHUNKS_AN_HOUR / DAY

    def rate(at: float) -> float:
        return mean * (1 - 0.8 * math.cos(2 * math.pi * at / DAY))

    times = (at for at in _poisson(1.8 * mean, days * DAY, random) if random.random() < rate(at) / (1.8 * mean))
    return Trace("ten-million", days * DAY, tuple(Arrival(at, _CHUNKS_AN_HOUR) for at in times), pool=100)


def idle(days: int, random: Random) -> Trace:  # noqa: ARG001 - one signature for all of them
    """Nothing ever comes."""
    return Trace("idle", days * DAY, ())


MADE: Mapping[str, Callable[[int, Random], Trace]] = {
    "small": small,
    "small-locked": small_locked,
    "sparse": sparse,
    "burst": burst,
    "bursty-day": bursty_day,
    "recorders": recorders,
    "ten-million": ten_million,
    "idle": idle,
}


# --- numbers


def _missing_of_an_hour() -> Callable[[Random], int]:
    """Draws how many chunks of a one-hour session are missing when each is with the same probability; at least one."""
    counts = range(1, _CHUNKS_AN_HOUR + 1)
    cumulative = list(
        accumulate(
            math.comb(_CHUNKS_AN_HOUR, count) * _MISSING**count * (1 - _MISSING) ** (_CHUNKS_AN_HOUR - count)
            for count in counts
        )
    )
    return lambda random: random.choices(counts, cum_weights=cumulative)[0]


def _poisson(rate: float, seconds: float, random: Random) -> Iterator[float]:
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def _at(arrival: Arrival) -> float:
    return arrival.at


def _begins(session: LiveSession) -> float:
    return session.begins
