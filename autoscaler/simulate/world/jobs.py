"""The simulated job queue: jobs in lots, oldest first, and counts that are as wrong as the conditions say.

A lot is what was queued at one moment; jobs are never held one by one. SQS promises no order: oldest first is what it
does in practice, near enough for waits of minutes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from autoscaler.simulate.world.agenda import Agenda
from autoscaler.simulate.world.conditions import Conditions
from shared.aws.sqs import QueueDepth

_SAMPLE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Lot:
    """Jobs that were queued together.

    Attributes:
        queued_at: seconds since the beginning.
        free_at: the same, the time in which the lock was held left out.
    """

    queued_at: float
    free_at: float
    jobs: int


@dataclass(frozen=True, slots=True)
class LotPart:
    """Some jobs of one lot, on their way through a worker."""

    lot: Lot
    jobs: int


class SimulatedQueue:
    """What waits, and what is out of sight until its lease ends."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._waiting: deque[LotPart] = deque()
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=100)
        self.visible = 0
        self.in_flight = 0

    def add(self, lot: Lot) -> None:
        """Queue a lot of new jobs."""
        self._waiting.append(LotPart(lot, lot.jobs))
        self.visible += lot.jobs
        self._sample()

    def take(self, most: int) -> list[LotPart]:
        """Receive up to `most` jobs."""
        taken: list[LotPart] = []
        while most and self._waiting:
            part = self._waiting.popleft()
            if part.jobs > most:
                self._waiting.appendleft(LotPart(part.lot, part.jobs - most))
                part = LotPart(part.lot, most)
            taken.append(part)
            most -= part.jobs
        self._moved(-jobs_of(taken))
        return taken

    def delete(self, jobs: int) -> None:
        """Received jobs are done."""
        self.in_flight -= jobs
        self._sample()

    def give_back(self, parts: Sequence[LotPart]) -> None:
        """Received jobs are visible again, at the front: they are among the oldest."""
        self._waiting.extendleft(reversed(parts))
        self._moved(jobs_of(parts))

    def depth(self, seconds_ago: float = 0) -> QueueDepth:
        """The counts as they were about that long ago."""
        if seconds_ago > 0:
            for taken_at, visible, in_flight in reversed(self._samples):
                if taken_at <= self._agenda.now - seconds_ago:
                    return QueueDepth(visible, in_flight)
        return QueueDepth(self.visible, self.in_flight)

    def _moved(self, jobs: int) -> None:
        self.visible += jobs
        self.in_flight -= jobs
        self._sample()

    def _sample(self) -> None:
        """The newest sample is always what is true now; older ones are some seconds apart."""
        now, samples = self._agenda.now, self._samples
        if len(samples) > 1 and now - samples[-2][0] < _SAMPLE_SECONDS:
            samples.pop()
        samples.append((now, self.visible, self.in_flight))


class Counts:
    """What the queue's attributes say: late, and at times of messages that are not there."""

    def __init__(self, queue: SimulatedQueue, agenda: Agenda, conditions: Conditions, random: Random) -> None:
        self._queue = queue
        self._agenda = agenda
        self._conditions = conditions
        self._random = random
        self._spike_until = 0.0
        self._spike_jobs = 0
        if conditions.spikes_per_hour:
            self._enter_next_spike()

    def read(self) -> QueueDepth:
        """One look."""
        depth = self._queue.depth(self._random.uniform(0, self._conditions.count_lag_seconds))
        if self._agenda.now < self._spike_until:
            depth += QueueDepth(visible=self._spike_jobs)
        return depth

    def find_message(self) -> bool:
        """Whether a receive gets a message; like the real look, it asks no queue whose count shows none."""
        return self.read().visible > 0 and self._queue.visible > 0

    def _enter_next_spike(self) -> None:
        self._agenda.after(self._random.expovariate(self._conditions.spikes_per_hour / 3600), self._spike)

    def _spike(self) -> None:
        self._spike_until = self._agenda.now + self._random.uniform(*self._conditions.spike_seconds)
        self._spike_jobs = round(self._random.uniform(*self._conditions.spike_jobs))
        self._enter_next_spike()


def jobs_of(parts: Sequence[LotPart]) -> int:
    """How many jobs these are."""
    return sum(part.jobs for part in parts)


def split(parts: Sequence[LotPart], first: int) -> tuple[list[LotPart], list[LotPart]]:
    """The first so many jobs, and the rest."""
    before: list[LotPart] = []
    rest: list[LotPart] = []
    for part in parts:
        jobs = min(part.jobs, first)
        first -= jobs
        if jobs:
            before.append(LotPart(part.lot, jobs))
        if part.jobs > jobs:
            rest.append(LotPart(part.lot, part.jobs - jobs))
    return before, rest
