"""Runs one strategy on one trace: puts the simulated world together, lets it tick, sums up.

The observer of the rules is told of all that happens; it is not asked before anything is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from autoscaler.simulate.parts import MemoryRecords, SimulatedObserver, SimulatedRepairs
from autoscaler.simulate.pool import SimulatedPool
from autoscaler.simulate.result import Sample, SimulationResult
from autoscaler.simulate.strategies import Strategy
from autoscaler.simulate.workload import Arrival, LiveSession, Trace
from autoscaler.simulate.world.agenda import Agenda, SimulatedClock
from autoscaler.simulate.world.conditions import Conditions
from autoscaler.simulate.world.context import SimulationContext, wake
from autoscaler.simulate.world.fleet import SimulatedFleet
from autoscaler.simulate.world.jobs import Counts, Lot, SimulatedQueue
from autoscaler.simulate.world.live import LiveSessions
from autoscaler.simulate.world.rules import RuleChecker
from autoscaler.simulate.world.waits import Waits
from autoscaler.tick import TickParts
from shared.settings import Settings

_POLL_INTERVAL_SECONDS = 60.0
_MAX_SAMPLES = 2000
# After the last arrival the fleet may work on; beyond this, jobs count as left.
_GRACE_SECONDS = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class Run:
    """What is simulated.

    Attributes:
        pool: how many instances there are to start.
    """

    trace: Trace
    strategy: Strategy
    settings: Settings
    conditions: Conditions
    seed: int = 1
    pool: int = 1


def simulate(run: Run) -> SimulationResult:
    """Let all of the trace happen, and the jobs that are left at its end be worked off."""
    return _Simulation(run).result()


class _Simulation:
    def __init__(self, run: Run) -> None:
        self._run = run
        # Each part has its own numbers, so that one more drawn for the one changes nothing for the others.
        seeds = Random(run.seed)
        self._tick_random, counts_random, world_random, calls_random = (Random(seeds.random()) for _ in range(4))
        self._agenda = Agenda()
        self._live = LiveSessions(self._agenda)
        self._queue = SimulatedQueue(self._agenda)
        self._watch = RuleChecker(run.strategy.bounds(run.settings))
        settings, conditions = run.settings, run.conditions
        waits = Waits(settings.chunk_seconds / conditions.rtfx)
        self._around = SimulationContext(
            self._agenda, self._queue, self._live, self._watch, waits, settings, conditions, world_random
        )
        self._fleet = SimulatedFleet(run.pool, self._around)
        counts = Counts(self._queue, self._agenda, conditions, counts_random)
        clock = SimulatedClock(self._agenda)
        self._pool = SimulatedPool(self._fleet, clock, conditions, calls_random)
        eyes = SimulatedObserver(counts, self._live, self._fleet, clock)
        parts = TickParts(eyes, self._pool, SimulatedRepairs(self._fleet), MemoryRecords())
        self._strategy_tick = run.strategy.ticking(parts, clock)
        self._samples: list[Sample] = []
        self._sample_every = max(1, round(run.trace.seconds / _POLL_INTERVAL_SECONDS / _MAX_SAMPLES))
        self._looks = 0
        self._max_running = 0
        self._last_published: tuple[int, float] = (0, 0.0)

    def result(self) -> SimulationResult:
        """Run, and sum up."""
        self._enter_trace()
        self._enter_tick(0)
        self._look()
        end = self._run.trace.seconds
        self._agenda.run(end)
        latest = end + _GRACE_SECONDS
        while self._watch.unpublished and self._agenda.now < latest:
            self._agenda.run(self._agenda.now + _POLL_INTERVAL_SECONDS)
        return self._sum_up()

    # --- from outside

    def _enter_trace(self) -> None:
        self._live.on_taken.append(self._lock_taken)
        self._live.on_released.append(self._lock_released)
        for session in self._run.trace.sessions:
            self._enter_session(session)
        self._enter_arrival(0)

    def _enter_session(self, session: LiveSession) -> None:
        self._agenda.at(session.begins, self._live.begin)
        self._agenda.at(session.ends, self._live.end)

    def _enter_arrival(self, index: int) -> None:
        """One at a time: a trace may have a million, and the agenda is quicker while it is short."""
        arrivals = self._run.trace.arrivals
        if index < len(arrivals):
            self._agenda.at(arrivals[index].at, lambda: self._arrive(arrivals[index], index))

    def _arrive(self, arrival: Arrival, index: int) -> None:
        lot = Lot(self._agenda.now, self._live.free_time, arrival.jobs)
        self._watch.jobs_queued(lot)
        self._queue.add(lot)
        wake(self._around)
        self._enter_arrival(index + 1)

    def _lock_taken(self) -> None:
        self._watch.lock_changed(held=True)
        for worker in list(self._around.working):
            worker.lock_taken()

    def _lock_released(self) -> None:
        self._watch.lock_changed(held=False)
        waiting, self._around.locked[:] = list(self._around.locked), []
        for worker in waiting:
            worker.lock_released()

    # --- ticks

    def _enter_tick(self, number: int) -> None:
        """Ticks are evenly spaced; one of them may be late, missing, or come twice."""
        conditions, random = self._run.conditions, self._tick_random
        at = (number + 1) * self._run.strategy.interval_seconds + random.uniform(0, conditions.tick_late_seconds)
        self._agenda.at(at, lambda: self._tick(number))
        if random.random() < conditions.ticks_twice:
            self._agenda.at(at + random.uniform(0, 5), self._strategy_tick)

    def _tick(self, number: int) -> None:
        if self._tick_random.random() >= self._run.conditions.ticks_missed:
            self._strategy_tick()
        self._enter_tick(number + 1)

    # --- summing up

    def _look(self) -> None:
        agenda = self._agenda
        self._watch.look(agenda.now, self._live.free_time, visible=self._queue.visible)
        self._max_running = max(self._max_running, self._fleet.running)
        if self._watch.published > self._last_published[0]:
            self._last_published = (self._watch.published, agenda.now)
        if self._looks % self._sample_every == 0:
            self._samples.append(self._sample())
        self._looks += 1
        agenda.after(_POLL_INTERVAL_SECONDS, self._look)

    def _sample(self) -> Sample:
        return Sample(
            self._agenda.now,
            self._queue.visible,
            self._fleet.running,
            len(self._around.working),
            self._live.held,
            self._cost(),
        )

    def _cost(self) -> float:
        return self._fleet.billed_seconds() / 3600 * self._run.settings.price_usd_per_hour

    def _sum_up(self) -> SimulationResult:
        run, watch, waits = self._run, self._watch, self._around.waits
        median, p95 = waits.quantiles(0.5, 0.95)
        settings = run.settings
        arrivals = run.trace.arrivals
        return SimulationResult(
            workload=run.trace.name,
            strategy=run.strategy.name,
            seconds=run.trace.seconds,
            jobs=watch.queued,
            published=watch.published,
            left=watch.unpublished,
            audio_hours=watch.published * settings.chunk_seconds / 3600,
            wait_median=median,
            wait_p95=p95,
            wait_max=waits.longest,
            wait_mean=waits.total / waits.count if waits.count else 0.0,
            starts=len(self._fleet.started_at),
            most_starts_an_hour=_max_within(self._fleet.started_at, 3600),
            blocked=self._pool.blocked,
            gpu_seconds=self._fleet.billed_seconds(),
            busy_seconds=self._around.busy_seconds,
            least_gpu_seconds=watch.queued * self._around.job_seconds,
            most_running=self._max_running,
            cost_usd=self._cost(),
            drained_after=None if watch.unpublished or not arrivals else self._last_published[1] - arrivals[0].at,
            locked_seconds=self._agenda.now - self._live.free_time,
            violation_count=watch.count,
            violations=tuple(watch.violations),
            samples=tuple(self._samples),
        )


def _max_within(times: Sequence[float], seconds: float) -> int:
    """The most of these ascending times that lie within any span of that length, its end not included."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
