"""Reads what there is to do from a file that someone wrote or exported."""

import csv
import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from autoscaler.simulate.workload import DAY, Arrival, LiveSession, Trace
from shared.errors import ConfigurationError


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
    arrivals = sorted((Arrival(row.seconds, row.jobs) for row in read.arrivals), key=lambda arrival: arrival.at)
    sessions = sorted((LiveSession(row.begins, row.ends) for row in read.sessions), key=lambda session: session.begins)
    last = max([arrivals[-1].at, *(session.ends for session in sessions)])
    return Trace(path.stem, math.ceil((last + 1) / DAY) * DAY, tuple(arrivals), tuple(sessions), pool)


def _read_csv(path: Path) -> _File:
    with path.open(newline="", encoding="utf-8") as file:
        rows = TypeAdapter(list[_ArrivalRow]).validate_python(list(csv.DictReader(file)))
    return _File(arrivals=rows)
