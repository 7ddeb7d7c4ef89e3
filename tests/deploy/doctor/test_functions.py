from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.record import TickRecord
from autoscaler.record_store import RecordStore
from deploy.doctor import functions
from deploy.doctor.examination import ExaminedFleet

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FUNCTION = ("AWS::Lambda::Function", "scribefleet-autoscaler")
RULE = ("AWS::Events::Rule", "scribefleet-autoscaler")


@pytest.fixture
def fleet(patient: "Patient") -> ExaminedFleet:
    """A fleet with one function that a rule invokes each minute."""
    arn = patient.with_function(FUNCTION[1])
    events = patient.fleet.clients.events
    events.put_rule(Name=RULE[1], ScheduleExpression="rate(1 minute)", State="ENABLED")
    events.put_targets(Rule=RULE[1], Targets=[{"Id": "it", "Arn": arn}])
    return patient.with_resources(FUNCTION, RULE)


def test_given_a_function_and_its_schedule_then_all_is_ok(fleet: ExaminedFleet, wrong: "Seen") -> None:
    assert wrong(functions.look_at_functions(fleet)) == []
    assert wrong(functions.look_at_errors(fleet)) == []
    assert wrong(functions.look_at_schedules(fleet)) == []


def test_given_a_function_that_was_deleted_by_hand_then_the_others_are_still_looked_at(
    fleet: ExaminedFleet, patient: "Patient", wrong: "Seen"
) -> None:
    two = patient.with_resources(("AWS::Lambda::Function", "gone"), FUNCTION)

    found = list(functions.look_at_functions(two))

    assert wrong(found) == [("failure", "gone is gone: deleted by hand")]
    assert found[-1].seen.startswith("scribefleet-autoscaler is active")


def test_given_a_function_that_may_not_run_then_it_is_a_failure(fleet: ExaminedFleet, wrong: "Seen") -> None:
    fleet.clients.functions.put_function_concurrency(FunctionName=FUNCTION[1], ReservedConcurrentExecutions=0)

    ((status, seen),) = wrong(functions.look_at_functions(fleet))

    assert (status, seen) == ("failure", "scribefleet-autoscaler may not run: its reserved concurrency is 0")


def test_given_one_reserved_execution_then_it_runs_as_deployed(fleet: ExaminedFleet, wrong: "Seen") -> None:
    fleet.clients.functions.put_function_concurrency(FunctionName=FUNCTION[1], ReservedConcurrentExecutions=1)

    assert wrong(functions.look_at_functions(fleet)) == []


def test_given_errors_within_the_hour_then_they_are_counted_and_older_ones_are_not(
    fleet: ExaminedFleet, patient: "Patient", wrong: "Seen"
) -> None:
    for minutes, errors in ((5, 2), (30, 1), (90, 40)):
        fleet.clients.cloudwatch.put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": "Errors",
                    "Dimensions": [{"Name": "FunctionName", "Value": FUNCTION[1]}],
                    "Value": errors,
                    "Timestamp": patient.clock.now() - timedelta(minutes=minutes),
                }
            ],
        )

    assert wrong(functions.look_at_errors(fleet)) == [
        ("warning", "scribefleet-autoscaler failed 3 times in the last hour")
    ]


def test_given_a_schedule_that_is_off_then_it_is_a_failure(fleet: ExaminedFleet, wrong: "Seen") -> None:
    fleet.clients.events.disable_rule(Name=RULE[1])

    assert wrong(functions.look_at_schedules(fleet)) == [("failure", "scribefleet-autoscaler (rate(1 minute)) is off")]


def test_given_a_schedule_without_a_target_then_it_is_a_failure(fleet: ExaminedFleet, wrong: "Seen") -> None:
    fleet.clients.events.remove_targets(Rule=RULE[1], Ids=["it"])

    ((status, seen),) = wrong(functions.look_at_schedules(fleet))

    assert (status, seen) == ("failure", "scribefleet-autoscaler (rate(1 minute)) invokes nothing")


def test_given_a_fleet_that_has_never_ticked_then_nothing_starts_and_it_says_so(
    fleet: ExaminedFleet, wrong: "Seen"
) -> None:
    assert wrong(functions.look_at_ticks(fleet)) == [
        ("failure", "the autoscaler has never ticked: nothing starts or stops")
    ]


def test_given_the_autoscalers_own_record_then_its_last_tick_is_found(fleet: ExaminedFleet, wrong: "Seen") -> None:
    store = RecordStore(fleet.clients.dynamodb, fleet.settings.table_name)
    assert store.write(TickRecord(version=1, ticked_at=fleet.clock.now() - timedelta(seconds=40)))

    (found,) = functions.look_at_ticks(fleet)

    assert (found.status, found.seen) == ("ok", "the autoscaler last ticked 40s ago")


@pytest.mark.parametrize(
    ("ago", "status"),
    [
        (timedelta(minutes=5), "ok"),
        (timedelta(minutes=5, seconds=1), "failure"),
        (timedelta(seconds=-90), "ok"),
        (timedelta(minutes=-3), "warning"),
    ],
)
def test_a_tick_is_late_after_five_minutes_and_wrong_when_it_lies_ahead(ago: timedelta, status: str) -> None:
    assert functions.tick_finding(NOON - ago, NOON, "f").status == status


def test_given_a_function_whose_update_failed_then_the_reason_is_told() -> None:
    described: Any = {
        "FunctionName": "f",
        "State": "Failed",
        "LastUpdateStatus": "Failed",
        "StateReason": "the role is gone",
    }

    found = functions.configuration_finding(described)

    assert (found.status, found.seen) == ("failure", "f cannot run: Failed, last update Failed: the role is gone")
