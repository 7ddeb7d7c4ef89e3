"""The life of one simulated worker: as `consumer.run.loop` has it, with hands of jobs for threads and windows.

It knows the queue, the lock and how to ask for its own instance to be stopped; the autoscaler sees its heartbeats only.
"""

from collections.abc import Callable

from autoscaler.simulate.world.agenda import moment_of
from autoscaler.simulate.world.context import SimulationContext
from autoscaler.simulate.world.hand import Batch
from shared.formats.heartbeat import Heartbeat, WorkerState


class SimulatedWorker:
    """One run's worker.

    Args:
        stop_instance: asks for its own instance to be stopped.
        owned: whether it may ask that.
    """

    def __init__(
        self, instance_id: str, around: SimulationContext, stop_instance: Callable[[], None], *, owned: bool
    ) -> None:
        self.instance_id = instance_id
        self._around = around
        self._stop_instance = stop_instance
        self._owned = owned
        self._state: WorkerState = "starting"
        self._step = 0  # counts changes, so that an event entered before one is known to be outdated
        self._beat_at = around.agenda.now
        self._idle_since: float | None = around.agenda.now
        self._frozen: float | None = None
        self._empty_polls = 0
        self._hand = Batch(instance_id, around)
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
            rtfx=self._around.conditions.rtfx if self._jobs_done else None,
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

    def _long_poll(self, if_empty: Callable[[], None], begun: float = 0) -> None:
        """Wait for jobs, in a long poll that began that many seconds ago."""
        self._around.polling.append(self)
        self._then(max(self._around.settings.long_poll_seconds - begun, 0.1), if_empty)

    def _poll_was_empty(self) -> None:
        self._around.polling.remove(self)
        self._empty_polls += 1
        if self._empty_polls < self._around.settings.empty_polls_before_end or self._around.live.held:
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
        self._becomes("busy")
        self._empty_polls = 0
        self._progress_at = self._around.agenda.now
        self._around.working[self] = None
        self._then(self._hand.take(), self._hand_done)

    def _hand_done(self) -> None:
        around = self._around
        worked = self._hand.jobs * around.job_seconds
        self._done(self._hand.finish())
        if around.live.held or around.queue.visible:
            self._poll()
        else:
            # It polls while it works, and notices that nothing is left when the poll of that moment ends.
            self._long_poll(self._nothing_left, worked % max(around.settings.long_poll_seconds, 0.1))

    def _nothing_left(self) -> None:
        self._around.polling.remove(self)
        self._poll()

    # --- what happens to it

    def lock_taken(self) -> None:
        """A live session begins: it finishes its window and waits."""
        self._done(self._hand.interrupt())
        self._becomes("locked")
        self._around.locked.append(self)
        self._step += 1

    def lock_released(self) -> None:
        """The lock is free; it notices at its next look."""
        self._then(self._around.random.uniform(0, self._around.settings.lock_poll_seconds), self._unlocked)

    def _unlocked(self) -> None:
        self._becomes("idle")
        self._poll()

    def end(self) -> None:
        """Its process is told to end."""
        self._done(self._hand.interrupt())
        self.leave()

    def crash(self) -> None:
        """The process dies and is started afresh."""
        self._die()
        self._then(self._around.conditions.restart_seconds, self._restart)

    def _restart(self) -> None:
        self._frozen = None
        self._idle_since = self._around.agenda.now
        self._jobs_done = 0
        self.begin()

    def hang(self) -> None:
        """It stands still for good, and its instance runs on."""
        self._die()
        self._around.watch.worker_gone(self.instance_id)

    def _die(self) -> None:
        self._done(self._hand.abandon())
        self.leave()
        self._frozen = self._around.agenda.now

    def notice(self) -> None:
        """Notice of an interruption: it takes no more jobs."""
        self.end()
        self._becomes("draining")

    def leave(self) -> None:
        """It is gone from wherever it waited, and events of its past no longer concern it."""
        self._step += 1
        for place in (self._around.polling, self._around.locked):
            if self in place:
                place.remove(self)

    # --- states and time

    def _done(self, jobs: int) -> None:
        """So many jobs are done, and its hand is empty."""
        self._around.working.pop(self, None)
        if jobs:
            self._jobs_done += jobs
            self._progress_at = self._around.agenda.now

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
