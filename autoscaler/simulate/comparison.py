"""Sets ours beside timers on one trace: which settings of ours do better than which timer, and by how much.

It runs simulations and compares figures; what they look like is `autoscaler.simulate.report`'s business.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoscaler.policy import Policy
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.simulation import Run, simulate
from autoscaler.simulate.strategies import Ours, Strategy, Timer
from autoscaler.simulate.workload import Trace
from autoscaler.simulate.world.conditions import Conditions
from shared.settings import Settings

TIMERS: Mapping[str, float] = {"5 min": 300, "30 min": 1800, "2 h": 7200, "6 h": 21_600}
_WAITS = (180, 1200, 1500, 5400, 6300, 19_500, 28_800)
_SHORT_IDLE = 5
_SHORT_IDLE_WAITS = (0, 180, 600, 1200, 1500, 3600, 4800, 5400, 6300, 10_800, 14_400, 19_500, 28_800)
# More jobs than any trace queues: the first instance is started by the wait alone.
_NEVER_ENOUGH = 1_000_000
OURS = "ours"
_STOPPED_SOON = f", idle {_SHORT_IDLE} s"
_NO_WORSE = 1.0 + 1e-9


@dataclass(frozen=True, slots=True)
class Contender:
    """A strategy with the settings that its fleet has."""

    strategy: Strategy
    settings: Settings


@dataclass(frozen=True, slots=True)
class ComparisonVerdict:
    """How one timer fares.

    Attributes:
        cheaper: the cheapest of ours that waits (p95) no longer; `None` if there is none that costs no more.
        quicker: the one of ours with the least wait (p95) that costs no more; `None` likewise.
    """

    timer: SimulationResult
    cheaper: SimulationResult | None
    quicker: SimulationResult | None

    @property
    def dominated(self) -> bool:
        return self.cheaper is not None

    @property
    def cost_saved(self) -> float:
        """Share of the timer's cost, 0 to 1."""
        return 1 - self.cheaper.cost_usd / self.timer.cost_usd if self.cheaper else 0.0

    @property
    def wait_saved(self) -> float:
        """Share of the timer's p95 wait, 0 to 1."""
        return 1 - self.quicker.wait_p95 / self.timer.wait_p95 if self.quicker else 0.0


def changed(settings: Settings, **changes: Any) -> Settings:
    """The same settings but for some; checked like all others."""
    return Settings.model_validate({**settings.model_dump(), **changes})


def ours(settings: Settings, name: str = OURS) -> Contender:
    """The autoscaler's plan with these settings."""
    return Contender(Ours(name, Policy.from_settings(settings)), settings)


def timer(settings: Settings, seconds: float, name: str) -> Contender:
    """A timer whose fleet has these settings: all instances it may run, and workers that stop after the same idling."""
    return Contender(Timer(f"timer {name}", seconds, settings.max_instances), settings)


def contenders(settings: Settings) -> list[Contender]:
    """Every timer and ours as they are set, and ours with a range of thresholds and two idle limits.

    All have the same workers. That the autoscaler stops an idle one before its own empty polls do is what it can do
    and a timer cannot.
    """
    soon = changed(settings, idle_limit_seconds=_SHORT_IDLE)
    found = [timer(settings, seconds, name) for name, seconds in TIMERS.items()]
    found.append(ours(settings))
    found += [waiting(settings, seconds) for seconds in _WAITS]
    found += [waiting(soon, seconds, _STOPPED_SOON) for seconds in _SHORT_IDLE_WAITS]
    return found


def waiting(settings: Settings, seconds: int, suffix: str = "") -> Contender:
    """Ours, where the first instance starts when work has waited that long."""
    patient = changed(settings, start_min_jobs=_NEVER_ENOUGH, start_max_wait_seconds=seconds)
    return ours(patient, f"{OURS}, waits {_minutes(seconds)}{suffix}")


def compare(
    trace: Trace, contending: Iterable[Contender], conditions: Conditions, seed: int, pool: int
) -> list[SimulationResult]:
    """Each of them alone on the same trace, under the same conditions."""
    return [
        simulate(Run(trace, contender.strategy, contender.settings, conditions, seed, pool)) for contender in contending
    ]


def verdicts(results: Sequence[SimulationResult]) -> list[ComparisonVerdict]:
    """What became of each timer beside all of ours."""
    own = [result for result in results if is_ours(result)]
    return [_verdict(result, own) for result in results if not is_ours(result)]


def is_ours(result: SimulationResult) -> bool:
    return result.strategy.startswith(OURS)


def is_stopped_soon(result: SimulationResult) -> bool:
    """Whether its autoscaler stops idle workers before they stop by themselves."""
    return result.strategy.endswith(_STOPPED_SOON)


def _verdict(result: SimulationResult, own: Sequence[SimulationResult]) -> ComparisonVerdict:
    better = [
        each
        for each in own
        if each.cost_usd <= result.cost_usd * _NO_WORSE
        and each.wait_p95 <= result.wait_p95 * _NO_WORSE
        and each.left <= result.left
    ]
    return ComparisonVerdict(
        timer=result,
        cheaper=min(better, key=lambda each: each.cost_usd, default=None),
        quicker=min(better, key=lambda each: each.wait_p95, default=None),
    )


def _minutes(seconds: int) -> str:
    return f"{seconds / 3600:g} h" if seconds % 1800 == 0 and seconds >= 3600 else f"{seconds // 60} min"
