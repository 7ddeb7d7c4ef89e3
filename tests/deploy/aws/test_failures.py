"""What stops a deployment is told in one message with its remedy. moto never fails a stack, so its events are given."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients
from deploy.aws.deploying import Request, proposed, remove_failed
from deploy.aws.problems import DeploymentError, explain, explain_reason, explained
from deploy.aws.progress import Event, check_outcome, follow
from deploy.aws.stack import StackState, look, way_to_deploy

if TYPE_CHECKING:
    from tests.deploy.aws.conftest import Answers

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/fleet/1"
STACK = "AWS::CloudFormation::Stack"


def event(number: int, status: str, resource: str = "fleet", kind: str = STACK, reason: str = "") -> dict[str, Any]:
    """An event as DescribeStackEvents gives it."""
    return {
        "EventId": f"event-{number}",
        "StackId": STACK_ID,
        "StackName": "fleet",
        "LogicalResourceId": resource,
        "PhysicalResourceId": STACK_ID if kind == STACK else "",
        "ResourceType": kind,
        "Timestamp": datetime(2026, 1, 1, 12, 0, number, tzinfo=UTC),
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def stack(status: str) -> StackState:
    return StackState("fleet", STACK_ID, status)


QUOTA = "You have requested more vCPU capacity than your current vCPU limit of 0 allows (VcpuLimitExceeded)"
FAILED_CREATION = [
    event(1, "CREATE_IN_PROGRESS"),
    event(2, "CREATE_FAILED", "Queue", "AWS::SQS::Queue", "Resource creation cancelled"),
    event(3, "CREATE_FAILED", "Instance1", "AWS::EC2::Instance", QUOTA),
    event(4, "ROLLBACK_IN_PROGRESS", reason="The following resource(s) failed to create: [Instance1, Queue]"),
    event(5, "DELETE_COMPLETE", "Queue", "AWS::SQS::Queue"),
    event(6, "ROLLBACK_COMPLETE"),
]


def test_given_a_resource_that_fails_the_first_cause_and_its_remedy_are_the_message(
    clients: DeployClients, account: Account, builders: Builders, answers: "Answers"
) -> None:
    seen: list[Event] = []
    with proposed(clients, account, Request("fleet", builders=builders), lambda _: None) as proposal:
        answers.by_operation["ExecuteChangeSet"] = {}
        shown = iter([FAILED_CREATION[:1], FAILED_CREATION])
        answers.by_operation["DescribeStackEvents"] = lambda: {"StackEvents": next(shown)[::-1]}
        with pytest.raises(DeploymentError) as failure:
            proposal.execute(clients, seen.append)

    assert failure.value.what == f"Instance1 (AWS::EC2::Instance) failed: {QUOTA}"
    assert "Running On-Demand G and VT instances" in failure.value.remedy
    assert [one.status for one in seen][-1] == "ROLLBACK_COMPLETE"
    assert seen[0].identifier == "event-2"


def test_events_are_told_once_each_in_their_order_until_the_stack_is_done(
    clients: DeployClients, answers: "Answers"
) -> None:
    all_events = [event(number, "CREATE_IN_PROGRESS", f"R{number}", "AWS::SQS::Queue") for number in range(1, 5)]
    all_events.append(event(5, "CREATE_COMPLETE"))
    shown = iter([all_events[:1], all_events[:3], all_events[:3], all_events])
    answers.by_operation["DescribeStackEvents"] = lambda: {"StackEvents": next(shown)[::-1]}
    started = clients.clock.monotonic()

    told = [one.identifier for one in follow(clients, STACK_ID, "event-1")]

    assert told == ["event-2", "event-3", "event-4", "event-5"]
    assert clients.clock.monotonic() - started == 9


def test_an_older_end_of_the_stack_is_not_taken_for_this_one(clients: DeployClients, answers: "Answers") -> None:
    older = [event(1, "CREATE_COMPLETE")]
    newer = [*older, event(2, "UPDATE_IN_PROGRESS"), event(3, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")]
    done = [*newer, event(4, "UPDATE_COMPLETE")]
    shown = iter([older, newer, done])
    answers.by_operation["DescribeStackEvents"] = lambda: {"StackEvents": next(shown)[::-1]}

    told = [one.status for one in follow(clients, STACK_ID, "event-1")]

    assert told[-1] == "UPDATE_COMPLETE"


def test_a_stack_that_ends_badly_without_a_failed_resource_is_still_a_failure(clients: DeployClients) -> None:
    with pytest.raises(DeploymentError, match="describe-stack-events"):
        check_outcome([], "fleet")


@pytest.mark.parametrize(
    ("status", "what", "remedy"),
    [
        ("ROLLBACK_COMPLETE", "its creation failed", "--replace"),
        ("ROLLBACK_FAILED", "its creation failed", "--replace"),
        ("UPDATE_IN_PROGRESS", "Somebody is at work", "Wait"),
        ("UPDATE_ROLLBACK_FAILED", "an update failed", "continue-update-rollback"),
        ("DELETE_FAILED", "not removed completely", "scribefleet destroy --fleet fleet"),
    ],
)
def test_a_stack_that_cannot_be_deployed_to_says_what_to_do_first(status: str, what: str, remedy: str) -> None:
    with pytest.raises(DeploymentError) as refused:
        way_to_deploy(stack(status), replace=False)
    assert status in refused.value.what
    assert what in refused.value.what
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("status", "way"),
    [
        ("", "create"),
        ("REVIEW_IN_PROGRESS", "create"),
        ("CREATE_COMPLETE", "update"),
        ("UPDATE_COMPLETE", "update"),
        ("UPDATE_ROLLBACK_COMPLETE", "update"),
        ("ROLLBACK_COMPLETE", "replace"),
    ],
)
def test_every_other_state_has_its_way(status: str, way: str) -> None:
    assert way_to_deploy(stack(status), replace=True) == way


def test_a_failed_stack_is_deleted_to_make_room_for_a_new_one(
    clients: DeployClients, account: Account, builders: Builders
) -> None:
    with proposed(clients, account, Request("fleet", builders=builders), lambda _: None) as proposal:
        made = proposal.execute(clients, lambda _: None)
    told: list[Event] = []

    remove_failed(clients, made, told.append)

    assert told[-1].status == "DELETE_COMPLETE"
    assert not look(clients, "fleet").identifier


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (QUOTA, "L-DB2E81BA"),
        (
            "We currently do not have sufficient g4dn.xlarge capacity in the Availability Zone you requested",
            "SubnetIds",
        ),
        (
            "Your requested instance type (g4dn.xlarge) is not supported in your requested Availability Zone",
            "SubnetIds",
        ),
        (
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            "below its minimum value of [10]",
            "ReserveAutoscalerConcurrency=false",
        ),
        ("The image id '[ami-0123]' does not exist (InvalidAMIID.NotFound)", "ImageId=ami-"),
        ("Volume of size 8GB is smaller than snapshot 'snap-1', expect size >= 35GB", "RootVolumeGiB"),
        ("fleet-jobs already exists in stack arn:aws:cloudformation:us-east-1:1:stack/other/1", "--fleet"),
        (
            "User: arn:aws:iam::1:user/me is not authorized to perform: iam:CreateRole on resource: x",
            "allow iam:CreateRole",
        ),
        ("Error occurred while GetObject. S3 Error Code: NoSuchKey.", "run the same command again"),
        ("The security token included in the request is expired", "Sign in again"),
        ("Your account is currently blocked and not recognized as a valid account", "verifying the account"),
        ("Invalid parameter: Email address", "--email"),
        ("Stack [fleet] cannot be deleted while TerminationProtection is enabled", "no-enable-termination-protection"),
        ("something nobody has seen", "Mend what the reason names"),
    ],
)
def test_a_reason_of_cloudformation_has_its_remedy(reason: str, remedy: str) -> None:
    explained_reason = explain_reason("Thing (AWS::X::Thing)", reason)
    assert reason in explained_reason.what
    assert remedy in explained_reason.remedy


def refused(code: str, operation: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (refused("ExpiredToken", "DescribeStacks"), ["expired", "Sign in again"]),
        (refused("InvalidClientTokenId", "GetCallerIdentity"), ["does not know these credentials", "--region"]),
        (refused("UnauthorizedOperation", "DescribeVpcs"), ["ec2:DescribeVpcs", "deployer-policy.json"]),
        (
            refused("AccessDenied", "CreateChangeSet", "User: x is not authorized to perform: iam:PassRole on y"),
            ["iam:PassRole", "deployer-policy.json"],
        ),
        (refused("403", "HeadBucket", "Forbidden"), ["s3:ListBucket"]),
        (refused("OperationAborted", "CreateBucket"), ["wait some minutes"]),
        (refused("Strange", "CreateChangeSet", "what is this"), ["CreateChangeSet", "what is this"]),
        (TokenRetrievalError(provider="sso", error_msg="gone"), ["Sign in again"]),
        (ProfileNotFound(profile="nobody"), ["nobody", "list-profiles"]),
        (EndpointConnectionError(endpoint_url="https://sts.us-east-9.amazonaws.com"), ["no region 'us-east-9'"]),
    ],
)
def test_an_error_of_aws_is_one_message_with_its_remedy(error: Exception, names: Sequence[str]) -> None:
    message = str(explain(error, "us-east-9"))
    assert all(name in message for name in names)
    assert len(message.splitlines()) == 2


def test_an_unreachable_region_that_exists_points_to_the_network() -> None:
    message = str(explain(EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com"), "eu-west-1"))
    assert "proxy" in message


def test_missing_credentials_keep_the_message_that_every_command_has() -> None:
    with pytest.raises(NoCredentialsError), explained("us-east-1"):
        raise NoCredentialsError
