"""Chooses, of the jobs in hand, those that the next window is made of.

Pure: it knows which jobs are ready, not where they came from or what is done with the window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple, Self

from consumer.jobs.stages import PreparedJob
from consumer.windows.plan import Chunk, Limits, Window, plan
from shared.settings import Settings

# A job that comes back again and again may be what kills its worker: it must not take others along each time.
_ALONE_FROM_RECEIVES: Final = 3
_FARTHEST_NEIGHBOUR: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class QueuedJob:
    """A prepared job that no window holds yet. `alone`: a window with other jobs failed."""

    prepared: PreparedJob
    priority: bool
    alone: bool = False

    @property
    def is_alone(self) -> bool:
        return self.alone or self.prepared.message.receive_count >= _ALONE_FROM_RECEIVES

    @property
    def group(self) -> tuple[str | None, ...]:
        """Jobs with the same group can share a window."""
        job = self.prepared.job
        alone = self.prepared.message.receipt_handle if self.is_alone else None
        return job.session_path, job.model, job.language, alone


class ChunkRef(NamedTuple):
    """Which chunk a job is about."""

    session_path: str
    number: int


@dataclass(frozen=True, slots=True)
class WindowSelector:
    """What makes a window worth having. `chunk_seconds` is what the recorder puts into a chunk."""

    limits: Limits
    chunk_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        limits = Limits(settings.window_seconds, settings.context_seconds, settings.context_min_seconds)
        return cls(limits, settings.chunk_seconds)

    def jobs(self, waiting: Sequence[QueuedJob], preparing: Iterable[ChunkRef], *, settled: bool) -> list[QueuedJob]:
        """Jobs of one session, each chunk once, to make a window of; none when it is better to wait.

        Args:
            waiting: in order of arrival.
            preparing: the chunks of jobs that will soon be waiting too.
            settled: no more jobs are on their way, so waiting for a fuller window is of no use.
        """
        for group in _groups(waiting):
            session = group[0].prepared.job.session_path
            coming = {place.number for place in preparing if place.session_path == session}
            if settled and not coming:
                return group
            windows = plan(self._surrounded(group), self.limits)
            if any(self.is_full(window) and not _would_tear(window, coming) for window in windows):
                return group
        return []

    def _surrounded(self, group: Sequence[QueuedJob]) -> list[Chunk]:
        """The group's gaps as they will be planned: there mostly is audio beside them, for which a core leaves room."""
        gaps = {each.prepared.number: each.prepared.audio.seconds for each in group}
        beside = {number + step for number in gaps for step in (-1, 1)} - gaps.keys()
        return [Chunk(number, seconds, is_gap=True) for number, seconds in gaps.items()] + [
            Chunk(number, self.limits.least_context, is_gap=False) for number in beside
        ]

    def neighbours(self, jobs: Sequence[QueuedJob]) -> set[int]:
        """The numbers of the chunks that may be context, or stand between two gaps of one window."""
        if any(each.is_alone for each in jobs):
            return set()
        gaps = {each.prepared.number for each in jobs}
        reach = min(ceil(self.limits.context / self.chunk_seconds), _FARTHEST_NEIGHBOUR)
        return {gap + distance for gap in gaps for distance in range(-reach, reach + 1)} - gaps

    def window(self, chunks: Iterable[Chunk]) -> Window:
        """The window to do first: a full one if there is one."""
        windows = plan(chunks, self.limits)
        return next(filter(self.is_full, windows), windows[0])

    def is_full(self, window: Window) -> bool:
        """Whether one more chunk would not fit."""
        return window.core_seconds + self.chunk_seconds + 2 * self.limits.least_context > self.limits.window


def _groups(waiting: Sequence[QueuedJob]) -> list[list[QueuedJob]]:
    """By session; those that someone waits for come first, then those that came first."""
    groups: dict[tuple[str | None, ...], dict[int, QueuedJob]] = {}
    for each in sorted(waiting, key=lambda each: not each.priority):
        groups.setdefault(each.group, {}).setdefault(each.prepared.number, each)
    return [list(group.values()) for group in groups.values()]


def _would_tear(window: Window, coming: set[int]) -> bool:
    """Whether a gap that is coming lies within the core, or would be left alone in front of it."""
    return any(window.gaps[0] - 1 <= number <= window.gaps[-1] for number in coming)
