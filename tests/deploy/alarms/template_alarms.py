"""The template's alarms and the metrics of its dashboard, with what they refer to written out.

A reference to a parameter becomes its default, one to a resource becomes its logical id (and attribute), so that a test
can see which resource a dimension names. Functions that alarms have no need of are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.alarms.alarm_rules import AlarmRule, Metric

ALARM_TYPE = "AWS::CloudWatch::Alarm"
# Who is told says nothing about when.
_LEFT_OUT = {"AlarmActions", "OKActions"}

Template = Mapping[str, Any]


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """Name without the fleet's before it -> properties, of every alarm, whatever its condition."""
    fleet = template["Parameters"]["FleetName"]["Default"]
    resources = (each for each in template["Resources"].values() if each["Type"] == ALARM_TYPE)
    resolved = (
        resolve({name: value for name, value in each["Properties"].items() if name not in _LEFT_OUT}, template)
        for each in resources
    )
    return {properties["AlarmName"].removeprefix(f"{fleet}-"): properties for properties in resolved}


def rules(template: Template) -> dict[str, AlarmRule]:
    return {name: AlarmRule.of(properties) for name, properties in alarms(template).items()}


def dashboard_metrics(template: Template) -> Iterator[Metric]:
    """The metrics that the dashboard draws.

    Format: Amazon CloudWatch API Reference, "Dashboard body structure and syntax".
    """
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Dashboard":
            body = json.loads(resolve(resource["Properties"]["DashboardBody"], template))
            for widget in body["widgets"]:
                yield from _drawn(widget["properties"].get("metrics", ()))


def _drawn(rows: list[list[Any]]) -> Iterator[Metric]:
    before: list[str] = []
    for row in rows:
        texts = [each for each in row if isinstance(each, str)]
        if not texts:  # an expression
            continue
        # A dot repeats what stands in that place of the row before.
        before = [before[at] if text == "." else text for at, text in enumerate(texts)]
        namespace, name, *dimensions = before
        yield Metric(namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True)))


def resolve(node: Any, template: Template) -> Any:
    """The value with its intrinsic functions carried out."""
    match node:
        case {"Ref": name, **others} if not others:
            return _referred(name, template)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"{resource}.{attribute}"
        case {"Fn::GetAtt": str() as place}:
            return place
        case {"Fn::Sub": str() as text}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: str(_referred(found[1], template)), text)
        case dict():
            unknown = [key for key in node if key.startswith("Fn::")]
            if unknown:
                raise ValueError(f"not known here: {', '.join(unknown)}")
            return {key: resolve(value, template) for key, value in node.items()}
        case list():
            return [resolve(value, template) for value in node]
    return node


def _referred(name: str, template: Template) -> Any:
    parameter = template["Parameters"].get(name)
    return parameter["Default"] if parameter else name
