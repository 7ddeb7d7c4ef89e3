"""The life of one simulated worker: as `consumer.run` has it, with hands of jobs for threads and windows.

It knows the queue, the lock and how to ask for its own instance to be stopped; the autoscaler sees its heartbeats only.
"""

from collections.abc import Callable, Sequence

from autoscaler.simulate.agenda import moment_of
from autoscaler.simulate.jobs import Part, jobs_of, split
from autoscaler.simulate.surroundings import Surroundings, wake
from shared.ledger import Heartbeat, WorkerState


class Worker:
    """One run's worker.

    Args:
        stop_instance: asks for its own instance to be stopped.
        owned: whether it may ask that.
    """

    def __init__(
        self, instance_id: str, around: Surroundings, stop_instance: Callable[[], None], *, owned: bool
    ) -> None:
        self.instance_id = instance_id
        self._around = around
        self._stop_instance = stop_instance
        self._owned = owned
        self._state: WorkerState = "starting"
        self._step = 0  # counts changes, so that an event entered before one is known to be outdated
        self._began = self._beat_at = self._around.agenda.now
        self._idle_since: float | None = self._began
        self._frozen: float | None = None
        self._empty_polls = 0
        self._hand: list[Part] = []
        self._hand_began = 0.0
        self._jobs_done = 0
        self._progress_at: float | None = None

    def begin(self) -> None:
        """The process has come up: its first heartbeat, then the model is loaded."""
        self._state = "starting"
        self._beat_at = self._around.agenda.now
        self._around.watch.worker_began(self.instance_id)
        self._then(self._around.conditions.model_load_seconds, self._poll)

    def heartbeat(self) -> Heartbeat:
        """The last one that is in the ledger."""
        until = self._around.agenda.now if self._frozen is None else self._frozen
        period = self._around.settings.heartbeat_seconds
        return Heartbeat(
            instance_id=self.instance_id,
            state=self._state,
            beat_at=moment_of(self._beat_at + (until - self._beat_at) // period * period),
            idle_since=None if self._idle_since is None else moment_of(self._idle_since),
            jobs_done=self._jobs_done,
            real_time_factor=self._around.conditions.real_time_factor if self._jobs_done else None,
            progress_at=None if self._progress_at is None else moment_of(self._progress_at),
        )

    # --- its own steps

    def _poll(self) -> None:
        around = self._around
        if around.live.held:
            self._becomes("locked")
            self._empty_polls = 0
            around.locked.append(self)
        elif around.queue.visible:
            self.receive()
        else:
            self._becomes("idle")
            self._long_poll(self._poll_was_empty)

    def _long_poll(self, if_empty: Callable[[], None]) -> None:
        self._around.polling.append(self)
        self._then(max(self._around.settings.long_poll_seconds, 0.1), if_empty)

    def _poll_was_empty(self) -> None:
        self._around.polling.remove(self)
        self._empty_polls += 1
        if self._empty_polls < self._around.settings.max_empty_polls or self._around.live.held:
            self._poll()
            return
        self._becomes("draining")
        self._long_poll(self._drained)

    def _drained(self) -> None:
        self._around.polling.remove(self)
        self._empty_polls = 0
        if self._owned and not self._around.live.held:
            self._stop_instance()
        else:
            self._poll()

    def receive(self) -> None:
        """Take a hand of jobs."""
        around = self._around
        self._becomes("busy")
        self._empty_polls = 0
        self._hand = around.queue.take(around.hand_size())
        self._hand_began = self._progress_at = around.agenda.now
        around.working[self] = None
        for part in self._hand:
            around.watch.jobs_received(around.agenda.now, self.instance_id, part.lot, part.jobs)
        self._then(jobs_of(self._hand) * around.job_seconds, self._hand_done)

    def _hand_done(self) -> None:
        self._publish(jobs_of(self._hand))
        self._poll()

    # --- what happens to it

    def lock_taken(self) -> None:
        """A live session begins: the window in hand is finished, the rest goes back."""
        # The lock is held while it finishes, which no wait counts, so its jobs end here and now.
        around = self._around
        self._publish(self._done_by_now(), in_window=self._jobs_in_a_window())
        self._give_back()
        self._becomes("locked")
        around.locked.append(self)
        self._step += 1

    def lock_released(self) -> None:
        """The lock is free; it notices at its next look."""
        self._then(self._around.random.uniform(0, self._around.settings.lock_poll_seconds), self._unlocked)

    def _unlocked(self) -> None:
        self._becomes("idle")
        self._poll()

    def end(self, *, lose_leases: bool = False) -> None:
        """Its process ends: told to, it finishes what it can and gives back the rest; else its leases run out."""
        self._publish(self._done_by_now(), in_window=0 if lose_leases else self._jobs_in_a_window())
        if lose_leases:
            self._abandon()
        else:
            self._give_back()
        self.leave()

    def crash(self) -> None:
        """The process dies and is started afresh."""
        self.end(lose_leases=True)
        self._frozen = self._around.agenda.now
        self._then(self._around.conditions.restart_seconds, self._restart)

    def _restart(self) -> None:
        self._frozen = None
        self._idle_since = self._around.agenda.now
        self._jobs_done = 0
        self.begin()

    def hang(self) -> None:
        """It stands still for good, and its instance runs on."""
        self.end(lose_leases=True)
        self._around.watch.worker_gone(self.instance_id)
        self._frozen = self._around.agenda.now

    def notice(self) -> None:
        """Notice of an interruption: it takes no more jobs."""
        self.end()
        self._becomes("draining")

    # --- the hand

    def _publish(self, done: int, *, in_window: int = 0) -> None:
        """The first `done` jobs of the hand were done one after the other, and the next `in_window` are done now."""
        around = self._around
        now, free_time = around.agenda.now, around.live.free_time
        # The lock was free while the hand was worked on, so free time ran as the clock did.
        first = free_time - (now - self._hand_began) + around.job_seconds
        in_row = 0
        together = min(in_window, jobs_of(self._hand) - done)
        published, self._hand = split(self._hand, done + together)
        for part in published:
            row = min(part.jobs, done - in_row)
            if row:
                around.waits.add_row(first + in_row * around.job_seconds - part.lot.free_at, row)
            if part.jobs > row:
                around.waits.add_same(free_time - part.lot.free_at, part.jobs - row)
            in_row += row
            around.watch.jobs_published(now, part.lot, part.jobs)
        if published:
            around.queue.delete(done + together)
            around.busy_seconds += (done + together) * around.job_seconds
            self._jobs_done += done + together
            self._progress_at = now
        if not self._hand:
            self._hand_is_empty()

    def _done_by_now(self) -> int:
        elapsed = self._around.agenda.now - self._hand_began
        return min(jobs_of(self._hand), int(elapsed / self._around.job_seconds))

    def _jobs_in_a_window(self) -> int:
        return max(1, int(self._around.settings.window_seconds / self._around.settings.chunk_seconds))

    def _give_back(self) -> None:
        returned, self._hand = self._hand, []
        self._hand_is_empty()
        self._return(returned)

    def _abandon(self) -> None:
        abandoned, not_yet_taken = split(self._hand, self._around.settings.max_jobs_in_hand)
        self._hand = []
        self._hand_is_empty()
        self._return(not_yet_taken)
        lease = self._around.settings.visibility_timeout_seconds
        self._around.agenda.after(lease, lambda: self._return(abandoned))

    def _return(self, parts: Sequence[Part]) -> None:
        if not parts:
            return
        for part in parts:
            self._around.watch.jobs_returned(part.lot, part.jobs)
        self._around.queue.give_back(parts)
        wake(self._around)

    def _hand_is_empty(self) -> None:
        self._around.working.pop(self, None)
        self._around.watch.hand_empty(self.instance_id)

    def leave(self) -> None:
        """It is gone from wherever it waited, and events of its past no longer concern it."""
        self._step += 1
        for place in (self._around.polling, self._around.locked):
            if self in place:
                place.remove(self)

    # --- states and time

    def _becomes(self, state: WorkerState) -> None:
        if state == self._state:
            return
        now = self._around.agenda.now
        self._state = state
        self._beat_at = now
        if state != "busy":
            self._progress_at = None
        if state in {"busy", "locked"}:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now

    def _then(self, seconds: float, event: Callable[[], None]) -> None:
        self._step += 1
        step = self._step

        def happens() -> None:
            if self._step == step:
                event()

        self._around.agenda.after(seconds, happens)
