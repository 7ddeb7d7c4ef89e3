"""What the alarms and the dashboard look at is really there: emitted by the code, or by AWS as it documents."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.handler import Handler
from consumer.run.metrics import WorkerMetrics
from shared.metrics import NAMESPACE
from tests.deploy.alarms.alarm_rules import Metric
from tests.deploy.alarms.template_alarms import dashboard_metrics, rules

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

# AWS's own metrics: namespace -> metric -> the dimensions that each of them can be asked by, one at a time, and the
# type of resource that the dimension names.
_QUEUE = {"QueueName": "AWS::SQS::Queue"}
_FUNCTION = {"FunctionName": "AWS::Lambda::Function"}
_INSTANCE = {"InstanceId": "AWS::EC2::Instance", "AutoScalingGroupName": "AWS::AutoScaling::AutoScalingGroup"}
AWS_METRICS = {
    # Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS"
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage": _QUEUE,
        "ApproximateNumberOfMessagesNotVisible": _QUEUE,
        "ApproximateNumberOfMessagesVisible": _QUEUE,
    },
    # AWS Lambda Developer Guide, "Types of metrics for Lambda functions"
    "AWS/Lambda": {"Errors": _FUNCTION},
    # Amazon EC2 User Guide, "CloudWatch metrics that are available for your instances"
    "AWS/EC2": {"StatusCheckFailed": _INSTANCE},
}


@pytest.fixture
def emitted(
    cloud: "Cloud", clock: "FakeClock", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> set[Metric]:
    """Every metric that a tick and a worker's minute emit."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    Handler(clock)({}, None)
    lines: list[Any] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    worker = WorkerMetrics(cloud.settings.fleet_name, clock, lines.append)
    clock.advance(60)
    worker.write(30)
    return {
        Metric(directive["Namespace"], metric["Name"], frozenset((key, line[key]) for key in dimensions))
        for line in lines
        for directive in line["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def looked_at(template: dict[str, Any]) -> set[Metric]:
    """What the alarms and the dashboard look at."""
    of_alarms = {metric for rule in rules(template).values() for metric in rule.metrics}
    return of_alarms | set(dashboard_metrics(template))


def test_every_metric_of_the_fleets_own_is_emitted_with_these_dimensions(
    template: dict[str, Any], emitted: set[Metric]
) -> None:
    ours = {metric for metric in looked_at(template) if metric.namespace == NAMESPACE}
    assert len(ours) > 15
    assert ours - emitted == set()


def test_every_other_metric_is_one_of_awss_and_names_a_resource_of_its_type(template: dict[str, Any]) -> None:
    theirs = [metric for metric in looked_at(template) if metric.namespace != NAMESPACE]
    assert {metric.namespace for metric in theirs} == set(AWS_METRICS)
    for metric in theirs:
        ((dimension, value),) = metric.dimensions
        resource = template["Resources"][value.split(".")[0]]
        assert AWS_METRICS[metric.namespace][metric.name][dimension] == resource["Type"]


def test_every_metric_that_is_emitted_has_someone_who_looks_at_it(
    template: dict[str, Any], emitted: set[Metric]
) -> None:
    """A metric costs money each month. The decisions are looked up when a question comes up, not drawn."""
    assert {metric.name for metric in emitted - looked_at(template)} <= {"DecisionReason", "Held"}
