"""Writes the tables and plots of docs/simulation.md from simulations; a test holds the cheapest of them together.

    python scripts/simulation_page.py            # all of it, several minutes on one core
    python scripts/simulation_page.py counts     # one section

A section stands between `<!-- simulated: NAME -->` and `<!-- end -->`; the text around them is written by hand.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from autoscaler.simulate.cli import SPARE, settings_of
from autoscaler.simulate.comparison import (
    ComparisonVerdict,
    Contender,
    contenders,
    is_ours,
    is_stopped_soon,
    ours,
    verdicts,
)
from autoscaler.simulate.plot import draw_course, draw_frontier
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.simulation import Run, simulate
from autoscaler.simulate.workload import MADE, Trace
from autoscaler.simulate.world.conditions import NAMED, STEADY, TROUBLED, WRONG_COUNTS, Conditions
from shared.clock import human_duration

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "simulation.md"
_SECTION = re.compile(r"(<!-- simulated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """What a row simulates; without a strategy's name it is ours as it is set."""

    workload: str
    strategy: str = "ours"
    changes: tuple[str, ...] = ()
    conditions: Conditions = STEADY
    days: int = 30
    seed: int = 1

    def run(self) -> SimulationResult:
        trace = trace_of(self.workload, self.days, self.seed)
        settings = settings_of(self.changes, trace)
        contender = ours(settings) if self.strategy == "ours" else _named(contenders(settings), self.strategy)
        pool = settings.max_instances + SPARE
        return simulate(Run(trace, contender.strategy, contender.settings, self.conditions, self.seed, pool))


def _named(contending: Iterable[Contender], name: str) -> Contender:
    return next(each for each in contending if each.strategy.name == name)


@cache
def trace_of(workload: str, days: int, seed: int) -> Trace:
    """The same trace for every strategy."""
    return MADE[workload](days, Random(seed))


# --- tables

Cell = Callable[[SimulationResult], str]
STRATEGY: Mapping[str, Cell] = {"strategy": lambda each: f"**{each.strategy}**" if is_ours(each) else each.strategy}
COST: Mapping[str, Cell] = {"USD a month": lambda each: f"{each.cost_per_month:,.2f}"}
JOB_COST: Mapping[str, Cell] = {"USD a job": lambda each: f"{each.cost_per_job:.5f}"}
WAITS: Mapping[str, Cell] = {
    "median": lambda each: human_duration(each.wait_median),
    "p95": lambda each: human_duration(each.wait_p95),
    "longest": lambda each: human_duration(each.wait_max),
}
STARTS: Mapping[str, Cell] = {"starts": lambda each: f"{each.starts:,}"}
BUSY: Mapping[str, Cell] = {"busy": lambda each: f"{each.busy_fraction:.1%}"}
IDLE: Mapping[str, Cell] = {"GPU s idle": lambda each: f"{each.idle_seconds:,.0f}"}
MOST: Mapping[str, Cell] = {"most instances": lambda each: f"{each.most_running}"}
OVER: Mapping[str, Cell] = {"GPU time, times the least": lambda each: f"{each.over_least:.2f}"}
BROKEN: Mapping[str, Cell] = {"rules broken": lambda each: f"{each.violation_count}"}
COMPARED = {**STRATEGY, **COST, **JOB_COST, **WAITS, **STARTS, **BUSY, **IDLE, **BROKEN}
LARGE = {**COST, **WAITS, **OVER, **MOST, **STARTS, **BUSY, **BROKEN}


def line(cells: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def row(result: SimulationResult, columns: Mapping[str, Cell], name: str | None = None) -> str:
    """One line of figures, under a name of its own or none."""
    return line((*((name,) if name is not None else ()), *(cell(result) for cell in columns.values())))


def head(columns: Iterable[str]) -> Iterator[str]:
    """The first column is words, all others are figures."""
    names = list(columns)
    yield line(names)
    yield f"|---|{'--:|' * (len(names) - 1)}"


def table(cases: Mapping[str, Case], columns: Mapping[str, Cell]) -> Iterator[str]:
    """A line for each case, under its name."""
    yield from head(("", *columns))
    for name, case in cases.items():
        yield row(case.run(), columns, name)


def compared(workload: str, strategies: Sequence[str], changes: tuple[str, ...] = ()) -> Iterator[str]:
    """A line for each of these strategies."""
    yield from head(COMPARED)
    for strategy in strategies:
        yield row(Case(workload, strategy, changes).run(), COMPARED)


# --- sections

TIMERS = ("timer 5 min", "timer 30 min", "timer 2 h", "timer 6 h")
SOON = "ours, waits 0 min, idle 5 s"
_BESIDE = (
    ("timer 2 h", "ours, waits 105 min"),
    ("timer 2 h", "ours, waits 105 min, idle 5 s"),
    ("timer 5 min", "ours"),
    ("timer 5 min", SOON),
)


def _frontier(workload: str) -> Iterator[str]:
    """All contenders are drawn; those that beat a timer and the plain thresholds stand in the table."""
    trace = trace_of(workload, 30, 1)
    settings = settings_of((), trace)
    results = [Case(workload, each.strategy.name).run() for each in contenders(settings)]
    found = verdicts(results)
    winners = {each.strategy for verdict in found for each in (verdict.cheaper, verdict.quicker) if each} | {SOON}
    yield from head(COMPARED)
    for result in results:
        if not is_stopped_soon(result) or result.strategy in winners:
            yield row(result, COMPARED)
    draw_frontier(results, DOCS / "benchmarks" / f"simulate-{workload}.svg")
    yield from ("", f"![Cost against wait, {workload}](benchmarks/simulate-{workload}.svg)", "")
    yield from head(("timer", "least cost at no longer wait (p95)", "least wait (p95) at no more cost"))
    yield from map(_verdict, found)


def _verdict(verdict: ComparisonVerdict) -> str:
    cheaper = f"{verdict.cost_saved:.1%} less ({verdict.cheaper.strategy})" if verdict.cheaper else "none"
    quicker = f"{verdict.wait_saved:.1%} less ({verdict.quicker.strategy})" if verdict.quicker else "none"
    return line((verdict.timer.strategy, cheaper, quicker))


def _seeds() -> Iterator[str]:
    yield from head(
        (
            "seed",
            "waits 105 min against timer 2 h: cost, p95",
            "with idle 5 s: cost, p95",
            "default against timer 5 min: cost, p95",
            "with idle 5 s: cost, p95",
        )
    )
    for seed in range(1, 6):
        yield _beside_timers(str(seed), Case("small", seed=seed))
    yield _beside_timers("1, `usual` conditions", Case("small", conditions=NAMED["usual"]))


def _beside_timers(name: str, case: Case) -> str:
    results = {each: replace(case, strategy=each).run() for pair in _BESIDE for each in pair}
    return line((name, *(_change(results[timer], results[own]) for timer, own in _BESIDE)))


def _change(timer: SimulationResult, own: SimulationResult) -> str:
    return f"{own.cost_usd / timer.cost_usd - 1:+.1%}, {own.wait_p95 / timer.wait_p95 - 1:+.1%}"


def _sparse() -> Iterator[str]:
    waits = ("ours, waits 20 min", "ours, waits 1.5 h", "ours, waits 4 h")
    return compared("sparse", (*TIMERS, "ours", SOON, *(f"{name}, idle 5 s" for name in waits)))


def _eight() -> Iterator[str]:
    return compared("burst", (*TIMERS, "ours", SOON), ("max_instances=8", "target_drain_seconds=150"))


def _large() -> Iterator[str]:
    cases = {
        f"{workload}: {name.removeprefix('ours, ')}": Case(workload, name)
        for workload in ("bursty-day", "recorders")
        for name in ("timer 5 min", "timer 30 min", "ours", SOON)
    }
    return table(cases, LARGE)


def _ten_million() -> Iterator[str]:
    week = Case("ten-million", days=7)
    changes = ("target_drain_seconds=600", "max_run_seconds=604800", "max_instances=40")
    cases = {
        "defaults": week,
        "`usual` conditions": replace(week, conditions=NAMED["usual"]),
        **{f"`{change}`": replace(week, changes=(change,)) for change in changes},
    }
    yield from table(cases, LARGE)
    draw_course(replace(week, days=2).run(), DOCS / "benchmarks" / "simulate-ten-million.png")
    yield from ("", "![Queue, instances, lock and cost over two days](benchmarks/simulate-ten-million.png)")


def _troubled() -> Iterator[str]:
    columns = {**COST, **WAITS, **STARTS, "refused by EC2": lambda each: f"{each.blocked:,}", **BROKEN}
    cases = {
        workload: Case(workload, conditions=TROUBLED, days=7 if workload == "ten-million" else 30)
        for workload in MADE
        if workload != "idle"
    }
    return table(cases, columns)


SPIKES = {"up to 60 s": (1.0, 60.0), "30 to 300 s": (30.0, 300.0), "10 min to 2 h": (600.0, 7200.0)}


def counts(spikes: str) -> str:
    """The line of spikes of one length."""
    conditions = replace(WRONG_COUNTS, spike_seconds=SPIKES[spikes])
    return row(Case("idle", conditions=conditions).run(), _COUNTS, spikes)


_COUNTS: Mapping[str, Cell] = {
    **STARTS,
    "most starts within an hour": lambda each: f"{each.most_starts_an_hour}",
    **COST,
    **BROKEN,
}


def _counts() -> Iterator[str]:
    yield from head(("spikes last", *_COUNTS))
    yield from map(counts, SPIKES)


SECTIONS: Mapping[str, Callable[[], Iterator[str]]] = {
    "small": lambda: _frontier("small"),
    "small-locked": lambda: _frontier("small-locked"),
    "seeds": _seeds,
    "sparse": _sparse,
    "burst": lambda: compared("burst", (*TIMERS, "ours", SOON)),
    "burst-eight": _eight,
    "large": _large,
    "ten-million": _ten_million,
    "troubled": _troubled,
    "counts": _counts,
}


def with_section(page: str, name: str, text: str) -> str:
    """The page with this section in place of the one that it has."""

    def section(found: re.Match[str]) -> str:
        return f"{found[1]}\n{text}\n\n{found[3]}" if found["name"] == name else found[0]

    return _SECTION.sub(section, page)


def sections_of(page: str) -> set[str]:
    """The names of the sections that the page has."""
    return {found["name"] for found in _SECTION.finditer(page)}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SECTIONS:
        made = "\n".join(SECTIONS[wanted]())
        PAGE.write_text(with_section(PAGE.read_text(), wanted, made))
        print(f"{wanted}:\n{made}\n", flush=True)
