"""The evaluator decides as the IAM User Guide says, and as the emulator does where that decides at all."""

from typing import TYPE_CHECKING, Any

import pytest
from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from tests.iam.harness.emulator import in_emulators_words
from tests.iam.harness.evaluator import Request, Statement, UnknownToEvaluatorError, allows, applies

if TYPE_CHECKING:
    from tests.iam.harness.recording import Recording

INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"


def statement(condition: dict[str, Any] | None = None, **changes: Any) -> Statement:
    made = {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "arn:aws:ec2:*:*:instance/*", **changes}
    return made | ({"Condition": condition} if condition else {})


def stop(**context: str | tuple[str, ...]) -> Request:
    values = {key.replace("__", ":"): (v,) if isinstance(v, str) else v for key, v in context.items()}
    return Request("ec2:StopInstances", INSTANCE, values)


def test_what_nothing_speaks_of_is_refused() -> None:
    assert not allows([], stop())
    assert not allows([statement(Action="ec2:StartInstances")], stop())


def test_a_denial_wins_over_any_permission() -> None:
    assert allows([statement()], stop())
    assert not allows([statement(), statement(Effect="Deny"), statement()], stop())


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("ec2:StopInstances", True),
        ("EC2:stopinstances", True),
        ("ec2:Stop*", True),
        ("ec2:Stop?nstances", True),
        ("*", True),
        ("ec2:Stop", False),
        ("s3:*", False),
    ],
)
def test_actions_are_matched_without_regard_to_case(pattern: str, matches: bool) -> None:
    assert applies(statement(Action=["s3:GetObject", pattern]), stop()) is matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (INSTANCE, True),
        (INSTANCE.upper(), False),
        ("arn:aws:ec2:us-east-1:123456789012:instance/*", True),
        ("arn:aws:ec2:us-east-1:123456789012:volume/*", False),
        ("${ec2:SourceInstanceARN}", False),
    ],
)
def test_resources_are_matched_with_regard_to_case(pattern: str, matches: bool) -> None:
    assert applies(statement(Resource=pattern), stop()) is matches


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "A", "a", False),
        ("StringEquals", "a", None, False),
        ("StringEquals", "*", "a", False),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", "a", None, True),
        ("StringLike", "a*", "abc", True),
        ("StringNotLike", "a*", "abc", False),
        ("ArnLike", "arn:aws:ec2:*:1:instance/*", "arn:aws:ec2:r:1:instance/i", True),
        ("ArnLike", "arn:aws:*:instance/i", "arn:aws:ec2:r:1:instance/i", False),
        ("Bool", "true", "True", True),
        ("Null", "true", None, True),
        ("Null", "false", None, False),
        ("Null", "false", "a", True),
    ],
)
def test_a_condition_on_one_value(operator: str, wanted: Any, value: str | None, holds: bool) -> None:
    request = stop(aws__Key=value) if value is not None else stop()
    assert applies(statement({operator: {"aws:Key": wanted}}), request) is holds


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringEquals", None, True),
        ("ForAnyValue:StringEquals", ("a", "c"), True),
        ("ForAnyValue:StringEquals", ("c",), False),
        ("ForAnyValue:StringEquals", None, False),
    ],
)
def test_a_condition_on_several_values(operator: str, values: tuple[str, ...] | None, holds: bool) -> None:
    request = stop(aws__TagKeys=values) if values else stop()
    assert applies(statement({operator: {"aws:TagKeys": ["a", "b"]}}), request) is holds


def test_all_conditions_must_hold() -> None:
    both = statement({"StringEquals": {"aws:A": "a", "aws:B": "b"}, "Null": {"aws:C": "true"}})
    assert applies(both, stop(aws__A="a", aws__B="b"))
    assert not applies(both, stop(aws__A="a", aws__B="b", aws__C="c"))
    assert not applies(both, stop(aws__A="a"))


def test_a_variable_stands_for_the_requests_value() -> None:
    itself = statement({"StringEquals": {"aws:ARN": "${ec2:SourceInstanceARN}"}})
    assert applies(itself, stop(aws__ARN=INSTANCE, ec2__SourceInstanceARN=INSTANCE))
    assert not applies(itself, stop(aws__ARN=INSTANCE, ec2__SourceInstanceARN=INSTANCE + "2"))
    assert not applies(itself, stop(aws__ARN=INSTANCE))


@pytest.mark.parametrize(
    "unknown",
    [
        statement({"NumericLessThan": {"aws:Key": "1"}}),
        statement({"ForMostValues:StringEquals": {"aws:Key": "1"}}),
        statement(NotResource="*"),
    ],
)
def test_what_it_does_not_know_it_does_not_judge(unknown: Statement) -> None:
    for request in (stop(), stop(aws__Key="1")):
        with pytest.raises(UnknownToEvaluatorError):
            applies(unknown, request)


def test_evaluator_and_emulator_agree_on_every_recorded_call_and_statement(pool_recording: "Recording") -> None:
    disagreed = [
        (request, one)
        for call in pool_recording.calls
        for request in call.requests
        for role in pool_recording.policies.values()
        for one in role
        if emulator_allows(one, call.service, call.operation, request) is not ours_without_condition(one, request)
    ]
    assert disagreed == []


def emulator_allows(one: Statement, service: str, operation: str, request: Request) -> bool:
    # The emulator's own names: S3's actions are IAM's there, and all others the operations.
    action = request.action if service == "s3" else f"{service}:{operation}"
    resource = request.resource if service in {"s3", "sqs"} else "*"
    answer = IAMPolicyStatement(in_emulators_words(one)).is_action_permitted(action, resource)
    return bool(answer is PermissionResult.PERMITTED)


def ours_without_condition(one: Statement, request: Request) -> bool:
    known = request.action.split(":")[0] in {"s3", "sqs"}
    return applies(
        {
            "Effect": one["Effect"],
            "Action": one["Action"],
            "Resource": one["Resource"] if known else "*",
        },
        request,
    )
