"""Draws what simulations found: one run over time, or strategies by cost and wait. Decides and counts nothing.

On a white card of its own, so that it reads the same on a light and on a dark page. Needs matplotlib (the optional
group `bench`), and is imported only where a plot is asked for.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoscaler.simulate.comparison import is_ours, is_stopped_soon
from autoscaler.simulate.result import SimulationResult
from shared.clock import human_duration

_INK, _QUIET, _OURS, _OTHER, _LOCK = "#1f2328", "#6e7781", "#0b7285", "#b6bec8", "#e8590c"
_MINUTES = (2, 5, 10, 30, 60, 120, 360, 600)
FORMATS = (".png", ".svg")


def draw_course(result: SimulationResult, target: Path) -> None:
    """Write the queue, the instances, the lock and the cost over time as a picture."""
    days = [sample.at / 86_400 for sample in result.samples]
    figure = Figure(figsize=(10, 6.5), facecolor="white", layout="constrained")
    queue, instances, lock, cost = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 0.6, 2))
    queue.fill_between(days, [sample.waiting for sample in result.samples], step="post", color=_OURS, linewidth=0)
    _title(queue, "jobs that wait")
    running, working = [each.running for each in result.samples], [each.working for each in result.samples]
    instances.fill_between(days, running, step="post", color=_OTHER, linewidth=0, label="running")
    instances.fill_between(days, working, step="post", color=_OURS, linewidth=0, label="at work")
    instances.legend(loc="upper left", frameon=False, fontsize=9)
    _title(instances, "instances")
    held = [1 if sample.locked else 0 for sample in result.samples]
    lock.fill_between(days, held, step="post", color=_LOCK, linewidth=0)
    lock.set_yticks([])
    lock.set_ylim(0, 1)
    _title(lock, "lock held by a live session")
    cost.plot(days, [sample.cost_usd for sample in result.samples], color=_OURS)
    _title(cost, "cost so far, USD")
    cost.set_xlabel("days", color=_QUIET)
    for ax in (queue, instances, lock, cost):
        ax.set_ylim(bottom=0)
    figure.suptitle(f"{result.workload}: {result.strategy}", x=0.01, ha="left", color=_INK)
    _save(figure, target)


def draw_frontier(results: Sequence[SimulationResult], target: Path) -> None:
    """Write cost against p95 wait of each strategy as a picture: what lies lower and further left is better."""
    figure = Figure(figsize=(10, 5), facecolor="white", layout="constrained")
    ax = figure.subplots()
    for own, soon in ((True, False), (True, True), (False, False)):
        line = [each for each in results if (is_ours(each), is_stopped_soon(each)) == (own, soon)]
        line.sort(key=lambda each: each.wait_p95)
        ax.plot(
            [each.wait_p95 / 60 for each in line],
            [each.cost_per_month for each in line],
            color=_OURS if own else _LOCK,
            alpha=0.45 if soon else 1,
            label=("scribefleet" if own else "timers") + (", idle workers stopped at the next tick" if soon else ""),
            linestyle="-" if own else "",
            marker="o" if own else "s",
            markersize=5,
        )
    for result in (each for each in results if not is_ours(each)):
        place = (result.wait_p95 / 60, result.cost_per_month)
        ax.annotate(result.strategy, place, (6, 4), textcoords="offset points", fontsize=9, color=_INK)
    ax.set_xscale("log")
    ax.set_xticks(_MINUTES, [human_duration(60 * minutes) for minutes in _MINUTES])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("wait, p95", color=_QUIET)
    ax.legend(loc="upper right", frameon=False)
    _title(ax, f"{results[0].workload}: USD in 30 days")
    _save(figure, target)


def _title(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10, color=_INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _save(figure: Figure, target: Path) -> None:
    # The same bytes for the same numbers: no date, no random ids. Text stays text.
    with mpl.rc_context({"svg.hashsalt": "scribefleet", "svg.fonttype": "none", "font.family": "sans-serif"}):
        metadata = {"Date": None} if target.suffix == ".svg" else None
        figure.savefig(target, dpi=110, metadata=metadata)
