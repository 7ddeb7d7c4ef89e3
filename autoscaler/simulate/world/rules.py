"""Watches the simulated events and says which of the fleet's rules were broken.

It takes part in nothing and trusts no one's word: it keeps its own account of jobs, lock and runs from the events that
it is told of, and knows nothing of how the plan decides.
"""

from collections import defaultdict
from dataclasses import dataclass

from autoscaler.simulate.world.jobs import Lot

_MAX_TEXTS = 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the rules allow, in seconds; `None` where a strategy promises nothing.

    Attributes:
        idle_seconds: that an owned instance may run without work while the lock is free.
        dead_seconds: the same for one whose worker hangs or has not come up.
        unworked_seconds: that work may wait with no instance working or coming, while the lock is free and EC2 has
            capacity.
    """

    max_instances: int
    idle_seconds: float | None
    dead_seconds: float | None
    unworked_seconds: float | None


class RuleChecker:
    """Told of every event of the simulated world, in order.

    Attributes:
        violations: one line each, the first twenty.
        count: all of them.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._locked = False
        self._no_capacity = False
        self._unpublished: dict[Lot, int] = {}
        self._in_hand: dict[Lot, int] = defaultdict(int)
        self._hands = 0
        self._running: dict[str, bool] = {}  # instance -> whether owned
        self._busy: set[str] = set()
        self._dead: set[str] = set()
        self._idle: dict[str, float] = {}  # instance -> since when, lock time left out
        self._unworked: float | None = None
        self.queued = 0
        self.published = 0
        self.violations: list[str] = []
        self.count = 0

    @property
    def unpublished(self) -> int:
        return self.queued - self.published

    # --- what happened

    def lock_changed(self, *, held: bool) -> None:
        self._locked = held

    def capacity_changed(self, *, there: bool) -> None:
        self._no_capacity = not there

    def jobs_queued(self, lot: Lot) -> None:
        self._unpublished[lot] = lot.jobs
        self.queued += lot.jobs

    def jobs_received(self, time: float, instance: str, lot: Lot, jobs: int) -> None:
        self._in_hand[lot] += jobs
        self._hands += jobs
        self._busy.add(instance)
        self._idle.pop(instance, None)
        if self._locked:
            self._broken(time, 3, f"{instance} received {jobs} jobs while the lock was held")
        if self._in_hand[lot] > self._unpublished.get(lot, 0):
            self._broken(time, 2, f"{instance} received jobs that are done")

    def jobs_returned(self, lot: Lot, jobs: int) -> None:
        self._in_hand[lot] -= jobs
        self._hands -= jobs
        self._forget(lot)

    def jobs_published(self, time: float, lot: Lot, jobs: int) -> None:
        self._in_hand[lot] -= jobs
        self._hands -= jobs
        self._unpublished[lot] = self._unpublished.get(lot, 0) - jobs
        self.published += jobs
        if self._unpublished[lot] < 0 or self._in_hand[lot] < 0:
            self._broken(time, 2, f"{jobs} jobs were published that nobody had in hand, or twice")
        self._forget(lot)

    def hand_empty(self, instance: str) -> None:
        self._busy.discard(instance)

    def instance_started(self, time: float, instance: str) -> None:
        self._running[instance] = True
        self._dead.add(instance)
        if self._locked:
            self._broken(time, 3, f"{instance} was started while the lock was held")
        if len(self._running) > self._bounds.max_instances:
            self._broken(time, 4, f"{len(self._running)} instances run")

    def worker_began(self, instance: str) -> None:
        self._dead.discard(instance)
        self._idle.pop(instance, None)

    def worker_gone(self, instance: str) -> None:
        """It hangs, or its host boots again."""
        self._dead.add(instance)

    def instance_found_running(self, instance: str) -> None:
        """A person has started it."""
        self._running[instance] = False

    def instance_stopped(self, time: float, instance: str, by: str) -> None:
        owned = self._running.pop(instance, None)
        self._busy.discard(instance)
        self._idle.pop(instance, None)
        self._dead.discard(instance)
        if by == "EC2":
            return
        if self._locked:
            self._broken(time, 3, f"{instance} was stopped by {by} while the lock was held")
        if owned is False:
            self._broken(time, 4, f"{by} stopped {instance}, which a person runs")

    # --- what lasts too long

    def look(self, time: float, free_time: float, *, visible: int) -> None:
        """A look every minute or so; `visible` is what the queue holds."""
        lost = self.unpublished - visible - self._hands
        if lost:
            self._broken(time, 1, f"{lost} jobs are lost")
        self._look_for_idle(time, free_time, work=bool(visible or self._hands))
        waits = visible and not (self._locked or self._no_capacity)
        if not waits or self._busy:
            self._unworked = None
            return
        if self._unworked is None:
            self._unworked = free_time
        bound = self._bounds.unworked_seconds
        if bound is not None and free_time - self._unworked > bound:
            self._broken(time, 5, f"{visible} jobs wait and nothing has worked for {free_time - self._unworked:.0f} s")
            self._unworked = None

    def _look_for_idle(self, time: float, free_time: float, *, work: bool) -> None:
        for instance, owned in self._running.items():
            bound = self._bounds.dead_seconds if instance in self._dead else self._bounds.idle_seconds
            if work or instance in self._busy or not owned:
                self._idle.pop(instance, None)
                continue
            since = self._idle.setdefault(instance, free_time)
            if bound is not None and free_time - since > bound:
                self._broken(time, 4, f"{instance} has run without work for {free_time - since:.0f} s")
                self._idle[instance] = free_time

    def _forget(self, lot: Lot) -> None:
        if not self._in_hand[lot]:
            del self._in_hand[lot]
            if not self._unpublished.get(lot):
                self._unpublished.pop(lot, None)

    def _broken(self, time: float, rule: int, what: str) -> None:
        self.count += 1
        if len(self.violations) < _MAX_TEXTS:
            self.violations.append(f"rule {rule}, after {time:.0f} s: {what}")
