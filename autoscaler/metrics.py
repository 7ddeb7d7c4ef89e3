"""A tick as CloudWatch metrics: log lines in the embedded metric format, which CloudWatch reads by itself.

Format: Amazon CloudWatch User Guide, "Embedded metric format specification". Written here, and not with AWS's library,
because it is one dictionary, and that library brings a web client into the zip. What could not be read has no value:
missing data is for the alarms to judge, and a zero would be a lie.
"""

from collections import Counter
from typing import Any

from autoscaler.model import Decision
from autoscaler.record import NO_CAPACITY
from autoscaler.result import TickResult

NAMESPACE = "Scribefleet"
_UNITS = {
    "BacklogSeconds": "Seconds",
    "OldestPendingAgeSeconds": "Seconds",
    "Starts": "Count",
    "Stops": "Count",
    "CapacityBlocked": "Count",
    "Held": "Count",
    "Alarms": "Count",
    "Problems": "Count",
    "GpuHoursToday": "None",
    "CostTodayUSD": "None",
}
_STATES = ("pending", "running", "stopping", "stopped")


def metric_lines(result: TickResult, fleet: str) -> list[dict[str, Any]]:
    """The lines of one tick, each JSON-able: one for the fleet, one for the decision, one for each state of instances.

    A line holds one value for each of its dimensions, so states and decisions need lines of their own.
    """
    values = {name: value for name, value in _values(result).items() if value is not None}
    lines = [_line(result, {"Fleet": fleet}, values)]
    lines.append(_line(result, {"Fleet": fleet, "Decision": str(result.decision)}, {"DecisionReason": 1}))
    if result.observation.instances is not None:
        states = Counter[str](instance.state for instance in result.observation.instances)
        lines += [
            _line(result, {"Fleet": fleet, "State": state}, {"InstancesByState": states[state]}) for state in _STATES
        ]
    return lines


def _values(result: TickResult) -> dict[str, float | None]:
    oldest, outcome = result.observation.oldest_waits, result.outcome
    full = NO_CAPACITY in outcome.blocked.values() or result.decision is Decision.NO_CAPACITY
    return {
        "BacklogSeconds": result.backlog_seconds,
        "OldestPendingAgeSeconds": None if oldest is None else oldest.total_seconds(),
        "Starts": len(outcome.started),
        "Stops": len(outcome.stopped),
        "CapacityBlocked": int(full),
        "Held": int(result.decision is Decision.HOLDING),
        "Alarms": len(result.plan.alarms),
        "Problems": len(result.observation.problems),
        "GpuHoursToday": result.gpu_hours_today,
        "CostTodayUSD": result.cost_today_usd,
    }


def _line(result: TickResult, dimensions: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": _UNITS.get(name, "Count")} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": metrics}
    timestamp = int(result.now.timestamp() * 1000)
    return {"_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [directive]}, **dimensions, **values}
