"""CloudWatch's evaluation of an alarm, over samples that a test makes up: the emulator evaluates none.

Source: Amazon CloudWatch User Guide, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data".
Known are metric alarms of the template's kind: one metric or metric math, a fixed threshold, M out of N periods.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.deploy.alarms.metric_math import Series, evaluate

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

# Beyond the evaluation periods CloudWatch looks at some more, of a number that it does not document; its own examples
# look at two more.
_FURTHER_PERIODS = 2

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": len,
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what CloudWatch tells metrics apart by."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


# A sample a minute, or none; the last one is the newest.
Samples = Mapping[Metric, Series]


@dataclass(frozen=True, slots=True)
class _Query:
    """One entry of `Metrics`, or the alarm itself where it is of a single metric."""

    id: str
    metric: Metric | None = None
    statistic: str = ""
    expression: str = ""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """What an alarm's properties say about when it goes off."""

    name: str
    queries: tuple[_Query, ...]
    returned: str
    period_minutes: int
    evaluation_periods: int
    datapoints_to_alarm: int
    comparison: str
    threshold: float
    missing: Literal["missing", "ignore", "breaching", "notBreaching"]

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "AlarmRule":
        """The rule of an AWS::CloudWatch::Alarm's properties, intrinsic functions resolved."""
        queries, periods, returned = _queries(properties)
        (period,) = periods
        number = int(properties["EvaluationPeriods"])
        return cls(
            name=properties["AlarmName"],
            queries=queries,
            returned=returned,
            period_minutes=int(period) // 60,
            evaluation_periods=number,
            datapoints_to_alarm=int(properties.get("DatapointsToAlarm", number)),
            comparison=properties["ComparisonOperator"],
            threshold=float(properties["Threshold"]),
            missing=properties.get("TreatMissingData", "missing"),
        )

    @property
    def metrics(self) -> frozenset[Metric]:
        return frozenset(query.metric for query in self.queries if query.metric)

    @property
    def minutes(self) -> int:
        """How many minutes of samples an evaluation looks at."""
        return self.period_minutes * (self.evaluation_periods + _FURTHER_PERIODS)

    def state(self, samples: Samples, before: State = "OK", *, fills_nothing: bool = False) -> State:
        """What the alarm becomes that was `before` once all the samples have arrived; the last period is complete.

        Args:
            fills_nothing: see `metric_math.evaluate`.
        """
        points = self._points(samples, fills_nothing=fills_nothing)
        breaching = [None if point is None else self._breaches(point) for point in points]
        real = [point for point in breaching if point is not None]
        if len(real) >= self.evaluation_periods:
            return self._verdict(sum(real[-self.evaluation_periods :]))
        if self.missing in {"breaching", "notBreaching"}:
            filled = self.evaluation_periods - len(real) if self.missing == "breaching" else 0
            return self._verdict(sum(real) + filled)
        if all(real) and self._old_enough(breaching):
            # Nothing but breaching points, and nothing since: so that an alarm does not wait for data that never come.
            return "ALARM" if self.missing == "missing" else before
        if real:
            return self._verdict(sum(real))
        return "INSUFFICIENT_DATA" if self.missing == "missing" else before

    def _verdict(self, breaching: int) -> State:
        return "ALARM" if breaching >= self.datapoints_to_alarm else "OK"

    def _old_enough(self, breaching: list[bool | None]) -> bool:
        """Whether the oldest breaching point of the evaluation periods is at least as old as the points to alarm."""
        recent = breaching[-self.evaluation_periods :]
        return True in recent and len(recent) - recent.index(True) >= self.datapoints_to_alarm

    def _breaches(self, point: float) -> bool:
        return _COMPARISONS[self.comparison](point, self.threshold)

    def _points(self, samples: Samples, *, fills_nothing: bool) -> Series:
        empty = (None,) * self.minutes
        series: dict[str, Series] = {}
        for query in self.queries:
            if query.metric:
                taken = (*empty, *samples.get(query.metric, ()))[-self.minutes :]
                series[query.id] = self._statistic(query.statistic, taken)
        for query in self.queries:
            if query.expression:
                series[query.id] = evaluate(query.expression, series, fills_nothing=fills_nothing)
        return series[self.returned]

    def _statistic(self, statistic: str, minutes: Series) -> Series:
        periods = (minutes[at : at + self.period_minutes] for at in range(0, len(minutes), self.period_minutes))
        present = ([value for value in period if value is not None] for period in periods)
        return tuple(float(_STATISTICS[statistic](values)) if values else None for values in present)


def _queries(properties: Mapping[str, Any]) -> tuple[tuple[_Query, ...], set[Any], str]:
    """The queries, their periods, and the id of the one that the threshold is about."""
    if "MetricName" in properties:
        return (_Query("m", metric_of(properties), properties["Statistic"]),), {properties["Period"]}, "m"
    queries, periods = [], set()
    for entry in properties["Metrics"]:
        if "Expression" in entry:
            queries.append(_Query(entry["Id"], expression=entry["Expression"]))
            periods |= {entry["Period"]} if "Period" in entry else set()
        else:
            stat = entry["MetricStat"]
            queries.append(_Query(entry["Id"], metric_of(stat["Metric"]), stat["Stat"]))
            periods.add(stat["Period"])
    # ReturnData is true unless said otherwise, and an alarm takes exactly one.
    (returned,) = (entry["Id"] for entry in properties["Metrics"] if entry.get("ReturnData", True))
    return tuple(queries), periods, returned


def metric_of(described: Mapping[str, Any]) -> Metric:
    """The metric of an alarm's, or a query's, namespace, name and dimensions."""
    dimensions = frozenset((each["Name"], each["Value"]) for each in described.get("Dimensions", ()))
    return Metric(described["Namespace"], described["MetricName"], dimensions)
