"""What there is to do: when jobs are queued and when live sessions hold the lock. Made up from a seed, or read.

A trace is only data, the same for every strategy that is compared on it.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import ConfigurationError

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
class Session:
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
    sessions: tuple[Session, ...] = ()
    pool: int = 1

    @property
    def jobs(self) -> int:
        return sum(arrival.jobs for arrival in self.arrivals)


# --- made up


def small(days: int, random: Random, *, locked: bool = False) -> Trace:
    """Twenty one-hour sessions a day, recorded within ten hours; 5 % of the chunks missing, queued at the end.

    Args:
        locked: whether sessions hold the lock while they last.
    """
    sessions = []
    for day in range(days):
        for _ in range(20):
            begins = day * DAY + 8 * _HOUR + random.uniform(0, 9 * _HOUR)
            sessions.append(Session(begins, begins + _HOUR))
    sessions.sort(key=lambda session: session.ends)
    # A moment after the release, as the scan or the upload that finds the gaps follows the end of the session.
    arrivals = tuple(Arrival(session.ends + 1, _some(_CHUNKS_AN_HOUR, _MISSING, random)) for session in sessions)
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
    arrivals = [
        *(Arrival(at, _some(_CHUNKS_AN_HOUR, _MISSING, random)) for at in _poisson(50 / DAY, days * DAY, random)),
        *(Arrival(at, round(10 ** random.uniform(2.5, 4))) for at in _poisson(6 / DAY, days * DAY, random)),
    ]
    return Trace("bursty-day", days * DAY, tuple(sorted(arrivals, key=_at)), pool=8)


def recorders(days: int, random: Random) -> Trace:
    """A thousand recorders at the same time, day and night, in one-hour sessions that miss 5 % of their chunks."""
    arrivals = []
    for _ in range(1000):
        ends = random.uniform(0, _HOUR)
        while ends < days * DAY:
            arrivals.append(Arrival(ends, _some(_CHUNKS_AN_HOUR, _MISSING, random)))
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


# --- read


class _ArrivalRow(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0, allow_inf_nan=False)
    jobs: int = Field(ge=1)


class _SessionRow(BaseModel):
    model_config = ConfigDict(extra="forbid")

    begins: float = Field(ge=0, allow_inf_nan=False)
    ends: float = Field(ge=0, allow_inf_nan=False)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arrivals: list[_ArrivalRow] = Field(min_length=1)
    sessions: list[_SessionRow] = []


def read_trace(path: Path, pool: int) -> Trace:
    """A trace from a file.

    CSV has a line `seconds,jobs` and then one line for each arrival. JSON has `{"arrivals": [{"seconds", "jobs"}],
    "sessions": [{"begins", "ends"}]}`, `sessions` being those that hold the lock, and may be absent. All times are in
    seconds from the beginning, in any order.

    Raises:
        ConfigurationError: the file cannot be read or holds something else.
    """
    try:
        read = _read_csv(path) if path.suffix.lower() == ".csv" else _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigurationError(f"{path.name} is no workload: {where}: {problem['msg']}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the workload {path.name} cannot be read: {error}") from error
    if any(session.ends < session.begins for session in read.sessions):
        raise ConfigurationError(f"{path.name} is no workload: a session ends before it begins")
    arrivals = sorted((Arrival(row.seconds, row.jobs) for row in read.arrivals), key=_at)
    sessions = sorted((Session(row.begins, row.ends) for row in read.sessions), key=_begins)
    last = max([arrivals[-1].at, *(session.ends for session in sessions)])
    return Trace(path.stem, math.ceil((last + 1) / DAY) * DAY, tuple(arrivals), tuple(sessions), pool)


def _read_csv(path: Path) -> _File:
    with path.open(newline="", encoding="utf-8") as file:
        rows = TypeAdapter(list[_ArrivalRow]).validate_python(list(csv.DictReader(file)))
    return _File(arrivals=rows)


# --- numbers


def _some(most: int, share: float, random: Random) -> int:
    """How many of `most` it is when each is with a probability of `share`; at least one."""
    return max(1, sum(random.random() < share for _ in range(most)))


def _poisson(rate: float, seconds: float, random: Random) -> Iterator[float]:
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def _at(arrival: Arrival) -> float:
    return arrival.at


def _begins(session: Session) -> float:
    return session.begins
