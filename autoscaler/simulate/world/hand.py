"""The jobs that one simulated worker has received and neither published nor given back, done one after the other.

It moves jobs between queue, worker and result, and tells the observer of the rules; when that happens is the worker's
business.
"""

from collections.abc import Sequence

from autoscaler.simulate.world.context import SimulationContext, wake
from autoscaler.simulate.world.jobs import LotPart, jobs_of, split


class Batch:
    """What one worker has in hand.

    Attributes:
        jobs: how many.
    """

    def __init__(self, instance_id: str, around: SimulationContext) -> None:
        self._instance_id = instance_id
        self._around = around
        self._parts: list[LotPart] = []
        self._began = 0.0
        self.jobs = 0

    def take(self) -> float:
        """Receive as many as there are for this worker; returns for how many seconds they keep it busy."""
        around = self._around
        self._parts = around.queue.take(around.hand_size())
        self.jobs = jobs_of(self._parts)
        self._began = around.agenda.now
        for part in self._parts:
            around.watch.jobs_received(around.agenda.now, self._instance_id, part.lot, part.jobs)
        return self.jobs * around.job_seconds

    def finish(self) -> int:
        """All of them are done; returns how many."""
        done = self._publish(self.jobs)
        self._around.watch.hand_empty(self._instance_id)
        return done

    def interrupt(self) -> int:
        """The window at work is finished, the rest goes back to the queue; returns how many are done."""
        # The lock may be held while the window finishes, which no wait counts, so its jobs end here and now.
        settings = self._around.settings
        done = self._publish(self._done_by_now(), max(1, int(settings.window_seconds / settings.chunk_seconds)))
        self._return(self._let_go())
        return done

    def abandon(self) -> int:
        """The worker is gone: what it held comes back when its leases end; returns how many are done."""
        done = self._publish(self._done_by_now())
        # A hand may stand for several turns; those to come have not been received.
        held, not_yet_taken = split(self._let_go(), self._around.settings.max_jobs_in_hand)
        self._return(not_yet_taken)
        self._around.agenda.after(self._around.settings.visibility_timeout_seconds, lambda: self._return(held))
        return done

    def _done_by_now(self) -> int:
        return min(self.jobs, int((self._around.agenda.now - self._began) / self._around.job_seconds))

    def _publish(self, in_row: int, at_once: int = 0) -> int:
        """The first `in_row` jobs were done one after the other, and the next `at_once` are done now."""
        around = self._around
        now, free_time, step = around.agenda.now, around.live.free_time, around.job_seconds
        done = min(in_row + at_once, self.jobs)
        published, self._parts = (self._parts, []) if done == self.jobs else split(self._parts, done)
        self.jobs -= done
        # The lock was free while they were worked on, so free time ran as the clock did.
        ends_first = free_time - (now - self._began) + step
        place = 0
        for part in published:
            row = min(part.jobs, in_row - place)
            if row:
                around.waits.add_row(ends_first + place * step - part.lot.free_at, row)
            if part.jobs > row:
                around.waits.add_same(free_time - part.lot.free_at, part.jobs - row)
            place += row
            around.watch.jobs_published(now, part.lot, part.jobs)
        if done:
            around.queue.delete(done)
            around.busy_seconds += done * step
        return done

    def _let_go(self) -> list[LotPart]:
        parts, self._parts, self.jobs = self._parts, [], 0
        self._around.watch.hand_empty(self._instance_id)
        return parts

    def _return(self, parts: Sequence[LotPart]) -> None:
        if not parts:
            return
        for part in parts:
            self._around.watch.jobs_returned(part.lot, part.jobs)
        self._around.queue.give_back(parts)
        wake(self._around)
