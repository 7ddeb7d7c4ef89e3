"""Where the marks of a report's timeline stand: lengths in per mille of the run, for the page's template to draw.

Pure geometry. The axis begins with the instance's start, as what is paid for does; the worker's own timeline follows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from shared.clock import human_duration
from shared.reporting.timeline import Outcome, Phase, RunTimeline

# A phase's colour on the page, as a CSS class, and its name.
_TONES: Final[Mapping[Phase, tuple[str, str]]] = {
    "load": ("load", "model load"),
    "busy": ("work", "working"),
    "idle": ("idle", "idle"),
    "locked": ("hold", "held by a live session"),
    "draining": ("stop", "shutdown"),
}
_BOOT: Final[tuple[str, str]] = ("start", "boot")
_OUTCOMES: Final[tuple[Outcome, ...]] = ("completed", "skipped", "failed")
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)
_MAX_TICKS: Final = 7


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one phase; `tone` is its colour on the page, as a CSS class."""

    tone: str
    name: str
    left: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Jobs of one outcome that ended in one slice; `top` and `height` are per mille of the chart's height."""

    outcome: Outcome
    left: float
    width: float
    top: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis."""

    left: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A run's timeline, ready to be drawn. `most_jobs` is what the highest bar stands for."""

    spans: tuple[Span, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    most_jobs: int
    slice_seconds: float

    @property
    def phases(self) -> tuple[tuple[str, str], ...]:
        """Colour and name of each phase that the run had, in the order in which they came up."""
        return tuple(dict.fromkeys((span.tone, span.name) for span in self.spans))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that jobs had."""
        return tuple(outcome for outcome in _OUTCOMES if any(bar.outcome == outcome for bar in self.bars))


def chart(timeline: RunTimeline, boot_seconds: float) -> Chart | None:
    """A run's chart; `None` when no time passed. `boot_seconds`: from the instance's start to the worker's."""
    boot = boot_seconds
    total = boot + timeline.seconds
    if total <= 0:
        return None
    most = max((sum(each.jobs.values()) for each in timeline.slices), default=0)
    return Chart(
        spans=tuple(_spans(timeline, boot, total)),
        bars=tuple(_bars(timeline, boot, total, most)) if most else (),
        ticks=tuple(_ticks(total)),
        most_jobs=most,
        slice_seconds=timeline.slice_seconds,
    )


def _spans(timeline: RunTimeline, boot: float, total: float) -> Iterator[Span]:
    if boot:
        yield Span(*_BOOT, 0, _per_mille(boot, total), boot)
    slices = [(max(each.seconds, key=lambda p: each.seconds[p]), each) for each in timeline.slices if each.seconds]
    at = boot
    for phase, group in groupby(slices, key=lambda pair: pair[0]):
        seconds = sum(sum(each.seconds.values()) for _, each in group)
        yield Span(*_TONES[phase], _per_mille(at, total), _per_mille(seconds, total), seconds)
        at += seconds


def _bars(timeline: RunTimeline, boot: float, total: float, most: int) -> Iterator[Bar]:
    for number, each in enumerate(timeline.slices):
        left = boot + number * timeline.slice_seconds
        width = min(timeline.slice_seconds, total - left)
        top = 1000.0
        for outcome in _OUTCOMES:
            if count := each.jobs.get(outcome, 0):
                height = 1000 * count / most
                top -= height
                label = f"{count:,} {outcome} from {human_duration(left)} on"
                yield Bar(outcome, _per_mille(left, total), _per_mille(width, total), top, height, label)


def _ticks(total: float) -> Iterator[Tick]:
    step = next((step for step in _STEPS if total / step <= _MAX_TICKS), total)
    count = int(total / step)
    for number in range(count + 1):
        yield Tick(_per_mille(number * step, total), human_duration(number * step) if number else "0")


def _per_mille(part: float, whole: float) -> float:
    return round(1000 * part / whole, 2)
