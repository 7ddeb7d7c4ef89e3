"""What a simulation found, and the JSON of it. The names in `document` are an interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MONTH_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the simulated fleet, `at` seconds after the beginning."""

    at: float
    waiting: int
    running: int
    working: int
    locked: bool
    cost_usd: float


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """One strategy on one trace.

    Attributes:
        seconds: simulated.
        wait_*: seconds from queued to published, the time in which the lock was held taken out.
        gpu_seconds: billed; `busy_seconds` of them workers were at work.
        least_gpu_seconds: what the jobs take the model, if no second of a GPU were ever lost.
        drained_after: seconds from the first job queued to the last one published; `None` while some are left.
        violations: of the fleet's rules, one line each, the first of `violation_count`.
    """

    workload: str
    strategy: str
    seconds: float
    jobs: int
    published: int
    left: int
    audio_hours: float
    wait_median: float
    wait_p95: float
    wait_max: float
    wait_mean: float
    starts: int
    most_starts_an_hour: int
    blocked: int
    gpu_seconds: float
    busy_seconds: float
    least_gpu_seconds: float
    most_running: int
    cost_usd: float
    drained_after: float | None
    locked_seconds: float
    violation_count: int
    violations: Sequence[str]
    samples: Sequence[Sample]

    @property
    def cost_per_month(self) -> float:
        return self.cost_usd * _MONTH_SECONDS / self.seconds

    @property
    def cost_per_audio_hour(self) -> float:
        return self.cost_usd / self.audio_hours if self.audio_hours else 0.0

    @property
    def cost_per_job(self) -> float:
        return self.cost_usd / self.published if self.published else 0.0

    @property
    def busy_fraction(self) -> float:
        return self.busy_seconds / self.gpu_seconds if self.gpu_seconds else 0.0

    @property
    def idle_seconds(self) -> float:
        """GPU time that is billed and in which no worker worked: boot, model load, waiting for jobs or for the lock."""
        return self.gpu_seconds - self.busy_seconds

    @property
    def over_least(self) -> float:
        """Billed GPU time as a multiple of the least."""
        return self.gpu_seconds / self.least_gpu_seconds if self.least_gpu_seconds else 0.0

    def document(self) -> dict[str, Any]:
        """As JSON-able values, without the samples."""
        return {
            "workload": self.workload,
            "strategy": self.strategy,
            "days": self.seconds / 86_400,
            "jobs": self.jobs,
            "published": self.published,
            "left": self.left,
            "audioHours": round(self.audio_hours, 3),
            "costUSD": round(self.cost_usd, 4),
            "costPerMonthUSD": round(self.cost_per_month, 4),
            "costPerAudioHourUSD": round(self.cost_per_audio_hour, 6),
            "costPerJobUSD": round(self.cost_per_job, 8),
            "waitSeconds": {
                "median": round(self.wait_median, 2),
                "p95": round(self.wait_p95, 2),
                "max": round(self.wait_max, 2),
                "mean": round(self.wait_mean, 2),
            },
            "starts": self.starts,
            "startsBlocked": self.blocked,
            "mostStartsAnHour": self.most_starts_an_hour,
            "mostRunning": self.most_running,
            "gpuSeconds": round(self.gpu_seconds, 1),
            "gpuSecondsIdle": round(self.idle_seconds, 1),
            "gpuSecondsOverLeast": round(self.over_least, 4),
            "busyFraction": round(self.busy_fraction, 4),
            "lockedSeconds": round(self.locked_seconds, 1),
            "drainedAfterSeconds": None if self.drained_after is None else round(self.drained_after, 1),
            "violations": self.violation_count,
            "violationTexts": list(self.violations),
        }
