"""The evaluator of alarms, held to the examples that AWS gives of its own.

Source of the tables: Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data".
"""

from typing import Any

import pytest

from tests.deploy.alarms.alarm_rules import AlarmRule, Metric, State
from tests.deploy.alarms.metric_math import Series, evaluate

METRIC = Metric("Ours", "Age", frozenset({("Fleet", "blue")}))
ALARM: dict[str, Any] = {
    "AlarmName": "blue-age",
    "Namespace": "Ours",
    "MetricName": "Age",
    "Dimensions": [{"Name": "Fleet", "Value": "blue"}],
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 10,
}


def series(points: str) -> Series:
    """`0 - X`: within the threshold, missing, beyond it."""
    values: dict[str, float | None] = {"0": 0, "-": None, "X": 11}
    return tuple(values[point] for point in points.split())


# By treatment: missing, ignore (which keeps the state before, INSUFFICIENT_DATA here), breaching, notBreaching.
INSUFFICIENT, OK, ON = "INSUFFICIENT_DATA", "OK", "ALARM"
OF_THREE = [
    ("0 - X - X", (OK, OK, OK, OK)),
    ("0 - - - -", (OK, OK, OK, OK)),
    ("- - - - -", (INSUFFICIENT, INSUFFICIENT, ON, OK)),
    ("0 X X - X", (ON, ON, ON, ON)),
    ("- - X - -", (ON, INSUFFICIENT, ON, OK)),
]
TWO_OF_THREE = [
    ("0 - X - X", (ON, ON, ON, ON)),
    ("0 0 X 0 X", (ON, ON, ON, ON)),
    ("0 - X - -", (OK, OK, ON, OK)),
    ("- - - - 0", (OK, OK, ON, OK)),
    ("- - - X -", (ON, INSUFFICIENT, ON, OK)),
]
CASES = [
    (to_alarm, points, treatment, state)
    for to_alarm, table in ((3, OF_THREE), (2, TWO_OF_THREE))
    for points, states in table
    for treatment, state in zip(("missing", "ignore", "breaching", "notBreaching"), states, strict=True)
]


@pytest.mark.parametrize(("to_alarm", "points", "treatment", "state"), CASES)
def test_the_evaluator_answers_as_the_guide_says(to_alarm: int, points: str, treatment: str, state: State) -> None:
    rule = AlarmRule.of({**ALARM, "DatapointsToAlarm": to_alarm, "TreatMissingData": treatment})
    assert rule.state({METRIC: series(points)}, before="INSUFFICIENT_DATA") == state


def test_a_longer_period_takes_the_statistic_of_its_minutes() -> None:
    rule = AlarmRule.of({**ALARM, "Period": 300, "EvaluationPeriods": 1, "Statistic": "Sum"})
    assert rule.state({METRIC: (0, 0, 0, 0, 0, 3, 3, None, 3, 2)}) == "ALARM"
    assert rule.state({METRIC: (9, 0, 0, 0, 0, 3, 3, None, 3, 1)}) == "OK"


def test_samples_of_another_dimension_are_another_metric() -> None:
    other = Metric("Ours", "Age", frozenset({("Fleet", "green")}))
    rule = AlarmRule.of({**ALARM, "TreatMissingData": "notBreaching"})
    assert rule.state({other: series("X X X X X")}) == "OK"


def test_the_threshold_is_about_the_returned_expression() -> None:
    stat = {key: ALARM[key] for key in ("Namespace", "MetricName", "Dimensions")}
    shared = {key: ALARM[key] for key in ("AlarmName", "EvaluationPeriods", "ComparisonOperator", "Threshold")}
    queries = [
        {"Id": "age", "MetricStat": {"Metric": stat, "Stat": "Maximum", "Period": 60}, "ReturnData": False},
        {"Id": "twice", "Expression": "age * 2"},
    ]
    rule = AlarmRule.of({**shared, "Metrics": queries})
    assert rule.metrics == {METRIC}
    assert rule.state({METRIC: (6, 6, 6, 6, 6)}) == "ALARM"
    assert rule.state({METRIC: (5, 5, 5, 5, 5)}) == "OK"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a + b * 2 - 1", (20, None, 2)),
        ("a / b", (0.1, None, None)),
        ("IF(a > 0 && b == 0, 1, 0)", (0, None, 1)),
        ("IF(a > 0 AND b == 0, 1, 0)", (0, None, 1)),
        ("IF(a > 2 || b > 9, 7, 8)", (7, None, 7)),
        ("IF(!(a > 2), 7, 8)", (7, 7, 8)),
        ("FILL(b, 0)", (10, 0, 0)),
        ("MAX([a, b])", (10, 2, 3)),
        ("SUM([a, b])", (11, 2, 3)),
        ("MIN([a, FILL(b, 5)])", (1, 2, 0)),
        ("DIFF(b)", (None, None, -10)),
        ("-a", (-1, -2, -3)),
    ],
)
def test_metric_math_goes_period_by_period_and_what_is_missing_stays_missing(expression: str, value: Series) -> None:
    assert evaluate(expression, {"a": (1, 2, 3), "b": (10, None, 0)}) == value


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(a)", "a +", "MAX(a)", "unknown > 1", "IF(a)"])
def test_what_the_evaluator_does_not_know_it_refuses(expression: str) -> None:
    with pytest.raises(ValueError, match=r"not |only "):
        evaluate(expression, {"a": (1.0,)})


def test_a_fill_may_be_taken_to_leave_a_series_empty_that_has_no_value() -> None:
    empty: dict[str, Series] = {"a": (None, None)}
    assert evaluate("FILL(a, 0)", empty) == (0, 0)
    assert evaluate("FILL(a, 0)", empty, fills_nothing=True) == (None, None)
