from typing import TYPE_CHECKING, Any

import pytest

from deploy.alarms.reading import Topic
from deploy.doctor.alarms import look_at_alarms, topic_finding
from deploy.doctor.examination import ExaminedFleet

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen

TOPIC = "arn:aws:sns:us-east-1:123456789012:scribefleet-alarms"


def alarm(patient: "Patient", name: str, **changes: Any) -> None:
    cloudwatch: Any = patient.fleet.clients.cloudwatch
    wanted = {
        "AlarmName": name,
        "Namespace": "Scribefleet",
        "MetricName": "Ticks",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 5,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "AlarmActions": [topic(patient)],
    }
    cloudwatch.put_metric_alarm(**wanted | changes)


def topic(patient: "Patient") -> str:
    return patient.fleet.clients.sns.create_topic(Name="scribefleet-alarms")["TopicArn"]


def with_alarms(patient: "Patient", *names: str) -> ExaminedFleet:
    return patient.with_resources(*(("AWS::CloudWatch::Alarm", name) for name in names))


def test_given_alarms_wired_to_someone_who_confirmed_then_all_is_ok(patient: "Patient", wrong: "Seen") -> None:
    alarm(patient, "no-ticks")
    patient.fleet.clients.sns.subscribe(TopicArn=topic(patient), Protocol="email", Endpoint="you@example.org")

    found = list(look_at_alarms(with_alarms(patient, "no-ticks")))

    assert wrong(found) == []
    assert found[-1].seen == "1 confirmed on scribefleet-alarms"


@pytest.mark.parametrize(
    ("changes", "seen"),
    [({"ActionsEnabled": False}, "switched off: silent"), ({"AlarmActions": []}, "speak to no topic: silent")],
)
def test_given_an_alarm_that_tells_nobody_then_it_is_named(
    changes: dict[str, object], seen: str, patient: "Patient", wrong: "Seen"
) -> None:
    alarm(patient, "loud")
    alarm(patient, "silent", **changes)

    found = wrong(look_at_alarms(with_alarms(patient, "loud", "silent")))

    assert ("failure", seen) in found


def test_given_an_alarm_that_rings_then_it_is_a_warning_that_names_it(patient: "Patient", wrong: "Seen") -> None:
    alarm(patient, "no-ticks")
    patient.fleet.clients.cloudwatch.set_alarm_state(AlarmName="no-ticks", StateValue="ALARM", StateReason="test")

    found = wrong(look_at_alarms(with_alarms(patient, "no-ticks")))

    assert ("warning", "ringing: no-ticks") in found


def test_given_an_alarm_that_was_deleted_by_hand_then_it_is_missed(patient: "Patient", wrong: "Seen") -> None:
    alarm(patient, "kept")

    found = wrong(look_at_alarms(with_alarms(patient, "kept", "gone")))

    assert ("failure", "deleted by hand: gone") in found


def test_given_a_stack_without_alarms_then_nobody_is_told_anything(patient: "Patient", wrong: "Seen") -> None:
    ((status, seen),) = wrong(look_at_alarms(patient.fleet))

    assert (status, seen) == ("warning", "the stack has none: nobody is told when something goes wrong")


@pytest.mark.parametrize(
    ("topic_", "status", "seen"),
    [
        (Topic(TOPIC, confirmed=2), "ok", "2 confirmed on scribefleet-alarms"),
        (Topic(TOPIC, pending=("you@x.org",)), "failure", "scribefleet-alarms: you@x.org has not confirmed"),
        # one who hears it does not excuse another who waits in vain
        (Topic(TOPIC, 1, ("you@x.org",)), "failure", "scribefleet-alarms: you@x.org has not confirmed"),
        (Topic(TOPIC), "warning", "scribefleet-alarms has no subscription: alarms reach nobody"),
        (Topic(TOPIC, problem="NotFound"), "unknown", "unknown: scribefleet-alarms could not be read (NotFound)"),
        (
            Topic(TOPIC, problem="AuthorizationError"),
            "unknown",
            "scribefleet-alarms: AWS refused sns:ListSubscriptions",
        ),
    ],
)
def test_a_topic_is_judged_by_who_has_confirmed(topic_: Topic, status: str, seen: str) -> None:
    found = topic_finding(topic_)

    assert found.status == status
    assert found.seen.startswith(seen)
