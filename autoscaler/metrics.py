"""What a tick saw and did, as CloudWatch metrics.

What could not be read has no value: missing data is for the alarms to judge, and a zero would be a lie.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from autoscaler.model import Decision, Instance
from autoscaler.record import NO_CAPACITY
from autoscaler.result import TickResult
from shared.metrics import Unit, Value, metric_line

_STATES = ("pending", "running", "stopping", "stopped")


def metric_lines(result: TickResult, fleet: str) -> list[dict[str, Any]]:
    """The lines of one tick, each JSON-able: for the fleet, for the decision, and for each state of instances."""
    now, seen = result.now, result.observation
    lines = [
        metric_line(now, fleet, {**_values(result), **_work(result), **_instances(result)}),
        metric_line(now, fleet, {"DecisionReason": Value(1)}, Decision=str(result.decision)),
    ]
    if seen.instances is not None:
        states = Counter[str](instance.state for instance in seen.instances)
        lines += [metric_line(now, fleet, {"InstancesByState": Value(states[state])}, State=state) for state in _STATES]
    return lines


def _values(result: TickResult) -> dict[str, Value]:
    """What every tick knows."""
    outcome, seen = result.outcome, result.observation
    full = NO_CAPACITY in outcome.blocked.values() or result.decision is Decision.NO_CAPACITY
    return {
        "Ticks": Value(1),
        "Starts": Value(len(outcome.started)),
        "Stops": Value(len(outcome.stopped)),
        "CapacityBlocked": Value(int(full)),
        "Held": Value(int(result.decision is Decision.HOLDING)),
        "Alarms": Value(len(result.plan.alarms)),
        # An unreadable lock counts as held and so holds up everything: that is for a person, too.
        "Problems": Value(len(seen.problems) + (seen.lock.problem is not None)),
    }


def _work(result: TickResult) -> dict[str, Value]:
    """What waits, what holds it up and what it costs, as far as it could be read."""
    past = result.history
    return _known(
        ("BacklogSeconds", result.backlog_seconds, "Seconds"),
        ("OldestPendingAgeSeconds", _seconds(past.oldest_waits), "Seconds"),
        ("LockHeldSeconds", _seconds(past.lock_held_for) if result.observation.lock.held else 0.0, "Seconds"),
        ("GpuHoursToday", result.gpu_hours_today, "None"),
        ("CostTodayUSD", result.cost_today_usd, "None"),
    )


def _instances(result: TickResult) -> dict[str, Value]:
    """How long instances run, and whether their workers speak, as far as it could be read."""
    seen = result.observation
    if seen.instances is None:
        return {}
    return _known(
        ("LongestRunSeconds", _longest_run(result, seen.instances), "Seconds"),
        # One on hold is left out: the person who set the tag knows of it.
        ("SilentInstances", None if seen.heartbeats is None else _silent(result, seen.instances), "Count"),
    )


def _longest_run(result: TickResult, instances: Iterable[Instance]) -> float:
    """On hold or not: a forgotten hold is what a long run often is."""
    runs = (i.run_start for i in instances if i.owned and i.state in {"pending", "running"})
    return max(((result.now - start).total_seconds() for start in runs), default=0.0)


def _silent(result: TickResult, instances: Iterable[Instance]) -> int:
    return sum(result.standing_of(i).is_suspect for i in instances if not i.hold)


def _known(*measured: tuple[str, float | None, Unit]) -> dict[str, Value]:
    return {name: Value(number, unit) for name, number, unit in measured if number is not None}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
