"""What the doctor may do by the policy in its documentation is what it does."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.doctor.examination import examine
from deploy.doctor.fleet_checks import CHECKS, examine_fleet
from shared.state.instances import FLEET_TAG
from tests.fixtures.recorded_calls import documented_actions, record_actions

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient


def test_the_documented_policy_allows_what_the_doctor_calls_and_nothing_else(
    patient: "Patient", monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a stack, and of each kind one resource, so that every check goes on to its last call
    clients = patient.fleet.clients
    clients.cloudformation.create_stack(
        StackName="scribefleet", TemplateBody='{"Resources": {"Marker": {"Type": "AWS::SNS::Topic"}}}'
    )
    patient.with_function("scanner")
    clients.events.put_rule(Name="rule", ScheduleExpression="rate(1 minute)")
    clients.cloudwatch.put_metric_alarm(
        AlarmName="alarm",
        EvaluationPeriods=1,
        ComparisonOperator="LessThanThreshold",
        Namespace="Scribefleet",
        MetricName="Ticks",
        Statistic="Sum",
        Period=60,
        Threshold=1,
        AlarmActions=[clients.sns.create_topic(Name="alarms")["TopicArn"]],
    )
    ec2: Any = patient.cloud.ec2
    (instance,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
    ec2.create_tags(Resources=[instance["InstanceId"]], Tags=[{"Key": FLEET_TAG, "Value": "scribefleet"}])
    pool = patient.with_resources(
        ("AWS::Lambda::Function", "scanner"),
        ("AWS::Events::Rule", "rule"),
        ("AWS::CloudWatch::Alarm", "alarm"),
        InstanceType="g4dn.xlarge",
    )
    group = replace(pool, settings=patient.cloud.settings_with(capacity_provider="asg", auto_scaling_group="workers"))
    # when
    recorder = record_actions(monkeypatch)
    examine_fleet(clients, "scribefleet", patient.clock)
    for fleet in (pool, group):
        examine(CHECKS, fleet)
    # then
    assert recorder.actions == documented_actions("scribefleet doctor")
