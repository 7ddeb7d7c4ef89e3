"""What runs cost together: by day, by session, for an hour of audio. Pure.

A run's cost belongs to the day (UTC) on which it began. Sessions share a run's cost by the seconds of audio that were
transcribed for each: a worker has several sessions on the GPU at once, so nobody has measured a session's own time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from producer.operator.reports.model import ReportFacts
from producer.operator.reports.store import ReportName


@dataclass(frozen=True, slots=True)
class SessionShare:
    """A session's part of a run, in seconds of audio transcribed."""

    user_id: str
    session_id: str
    audio_seconds: float


@dataclass(frozen=True, slots=True)
class RunCost:
    """One run, as far as it costs.

    Attributes:
        cost_usd: `None` when the report does not say.
    """

    day: date
    cost_usd: float | None
    gpu_seconds: float
    audio_seconds: float
    sessions: tuple[SessionShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """What some runs, or shares of them, come to."""

    runs: int = 0
    cost_usd: float = 0
    gpu_seconds: float = 0
    audio_seconds: float = 0

    @property
    def usd_per_audio_hour(self) -> float | None:
        """USD for an hour of audio; `None` where none was transcribed."""
        return self.cost_usd / (self.audio_seconds / 3600) if self.audio_seconds else None

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            self.runs + other.runs,
            self.cost_usd + other.cost_usd,
            self.gpu_seconds + other.gpu_seconds,
            self.audio_seconds + other.audio_seconds,
        )


def run_cost(name: ReportName, facts: ReportFacts) -> RunCost | None:
    """The run behind a report; `None` for a skipped scan, which no instance ran for."""
    if facts.skipped or facts.outcome == "skipped":
        return None
    return RunCost(
        day=name.began.date(),
        cost_usd=facts.gpu.cost_usd,
        gpu_seconds=facts.gpu.runtime_seconds or 0,
        audio_seconds=facts.transcription.audio_seconds or 0,
        sessions=tuple(SessionShare(each.user_id, each.session_id, each.duration or 0) for each in facts.sessions),
    )


def total(runs: Iterable[RunCost]) -> Sum:
    """All runs together; one without a cost counts with its time and its audio."""
    return sum((_whole(run) for run in runs), Sum())


def by_day(runs: Iterable[RunCost]) -> dict[date, Sum]:
    """The days on which runs began, in order."""
    days: dict[date, Sum] = defaultdict(Sum)
    for run in runs:
        days[run.day] += _whole(run)
    return dict(sorted(days.items()))


def by_session(runs: Sequence[RunCost]) -> tuple[dict[tuple[str, str], Sum], Sum]:
    """The sessions (user, session), the dearest first, and the runs that no session can answer for.

    All of them together are `total(runs)`, except that a run counts for each of its sessions.
    """
    sessions: dict[tuple[str, str], Sum] = defaultdict(Sum)
    nobodys = Sum()
    for run in runs:
        heard = sum(share.audio_seconds for share in run.sessions)
        if not heard:
            nobodys += _whole(run)
            continue
        for share in run.sessions:
            part = share.audio_seconds / heard
            sessions[share.user_id, share.session_id] += Sum(
                1, (run.cost_usd or 0) * part, run.gpu_seconds * part, share.audio_seconds
            )
    return dict(sorted(sessions.items(), key=lambda item: (-item[1].cost_usd, item[0]))), nobodys


def _whole(run: RunCost) -> Sum:
    return Sum(1, run.cost_usd or 0, run.gpu_seconds, run.audio_seconds)
