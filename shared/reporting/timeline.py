"""What a run did when: its states and the jobs that ended, in at most 240 slices of equal length.

Memory is bounded whatever a run lasts: when the slices are used up, each two become one. It knows neither how a run is
told of nor how its timeline is drawn.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

Phase = Literal["load", "busy", "idle", "locked", "draining"]
"""`load`: the model loads; `busy`: jobs are in hand; `locked`: the worker waits for a live session's end."""
Outcome = Literal["completed", "skipped", "failed"]

_MAX_SLICES: Final = 240
_FIRST_SLICE_SECONDS: Final = 1.0


@dataclass(slots=True)
class Slice:
    """One slice: the seconds that each phase had of it, and the jobs that ended in it."""

    seconds: dict[Phase, float] = field(default_factory=dict)
    jobs: dict[Outcome, int] = field(default_factory=dict)

    def absorb(self, other: "Slice") -> None:
        """Add another slice's sums to this one's."""
        for phase, seconds in other.seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0) + seconds
        for outcome, count in other.jobs.items():
            self.jobs[outcome] = self.jobs.get(outcome, 0) + count


class RunTimeline:
    """Grows while a run goes on.

    Args:
        started: when the worker of this run began.
        phase: what it began with.
    """

    def __init__(self, started: datetime, phase: Phase = "load") -> None:
        self._started = started
        self._phase: Phase = phase
        self._counted_to = 0.0
        self.slice_seconds = _FIRST_SLICE_SECONDS
        self.slices: list[Slice] = []

    @property
    def seconds(self) -> float:
        """How much of the run is told of, from its worker's start on."""
        return self._counted_to

    def becomes(self, phase: Phase, at: datetime) -> None:
        """Another phase begins."""
        self._count_to(at)
        self._phase = phase

    def ended(self, outcome: Outcome, at: datetime) -> None:
        """A job ended."""
        jobs = self._slice((at - self._started).total_seconds()).jobs
        jobs[outcome] = jobs.get(outcome, 0) + 1

    def close(self, at: datetime) -> None:
        """Tell of everything up to now; what follows may still be added."""
        self._count_to(at)

    def _count_to(self, at: datetime) -> None:
        end = (at - self._started).total_seconds()
        self._slice(end)  # first, so that the slices below keep their length
        while self._counted_to < end:
            index = int(self._counted_to / self.slice_seconds)
            until = min(end, (index + 1) * self.slice_seconds)
            seconds = self.slices[index].seconds
            seconds[self._phase] = seconds.get(self._phase, 0) + until - self._counted_to
            self._counted_to = until

    def _slice(self, at_seconds: float) -> Slice:
        """The slice at a moment of the run; a moment before its start, by a clock set back, counts as the start."""
        at_seconds = max(0.0, at_seconds)
        while at_seconds >= _MAX_SLICES * self.slice_seconds:
            self._halve()
        index = int(at_seconds / self.slice_seconds)
        while len(self.slices) <= index:
            self.slices.append(Slice())
        return self.slices[index]

    def _halve(self) -> None:
        self.slice_seconds *= 2
        for first, second in zip(self.slices[::2], self.slices[1::2], strict=False):
            first.absorb(second)
        self.slices = self.slices[::2]
