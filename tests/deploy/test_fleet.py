"""Finding a fleet by its stack, with the template as it is."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deploy.fleet import FleetNotFoundError, FleetStack, StackResource, find_fleet

if TYPE_CHECKING:
    from tests.deploy.conftest import AwsClient, Deploy

STACK = FleetStack(
    name="north",
    stack_id="arn:aws:cloudformation:eu-west-1:123456789012:stack/north/1",
    status="CREATE_COMPLETE",
    reason="",
    outputs={
        "BucketName": "recordings",
        "JobsQueueUrl": "https://sqs/jobs",
        "PriorityQueueUrl": "https://sqs/jobs-priority",
        "DeadLetterQueueUrl": "https://sqs/dead-letter",
        "TableName": "ledger",
    },
    parameters={"FleetName": "north"},
    resources=(StackResource("Jobs", "AWS::SQS::Queue", "https://sqs/jobs", "CREATE_COMPLETE"),),
)


def test_given_a_deployed_template_then_its_fleets_settings_are_those_that_its_parts_run_with(
    deploy_fleet: "Deploy", aws: "AwsClient"
) -> None:
    deployed = deploy_fleet("found", MaxInstances="3", LockEnabled="false", PriceUsdPerHour="0.75")

    settings = find_fleet(aws("cloudformation"), deployed.name).settings()

    assert settings.fleet_name == deployed.name
    assert (settings.max_instances, settings.lock_enabled, settings.price_usd_per_hour) == (3, False, 0.75)
    function = deployed.function_environment("AutoscalerFunctionName")
    assert settings.bucket == function["SCRIBEFLEET_BUCKET"]
    assert settings.jobs_queue_url == function["SCRIBEFLEET_JOBS_QUEUE_URL"]
    assert settings.priority_queue_url == function["SCRIBEFLEET_PRIORITY_QUEUE_URL"]
    assert settings.dead_letter_queue_url == function["SCRIBEFLEET_DEAD_LETTER_QUEUE_URL"]
    assert settings.table_name == function["SCRIBEFLEET_TABLE_NAME"]


def test_given_a_deployed_template_then_its_resources_are_found_by_type(
    deploy_fleet: "Deploy", aws: "AwsClient"
) -> None:
    deployed = deploy_fleet("typed")

    stack = find_fleet(aws("cloudformation"), deployed.name)

    functions = {resource.name for resource in stack.of_type("AWS::Lambda::Function")}
    assert functions == {f"{deployed.name}-scanner", f"{deployed.name}-autoscaler"}
    assert len(stack.of_type("AWS::SQS::Queue")) == 3
    assert stack.region == "us-east-1"


def test_given_no_such_stack_then_it_says_where_it_looked_and_what_to_do(aws: "AwsClient") -> None:
    with pytest.raises(FleetNotFoundError, match=r"no stack nowhere in us-east-1: `scribefleet deploy` makes one"):
        find_fleet(aws("cloudformation"), "nowhere")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_COMPLETE", r"deploy --replace"),
        ("REVIEW_IN_PROGRESS", r"never executed; run `scribefleet deploy`"),
        ("DELETE_FAILED", r"run `scribefleet destroy` again"),
    ],
)
def test_given_a_stack_that_has_no_resources_then_its_state_says_what_to_do(status: str, advice: str) -> None:
    with pytest.raises(FleetNotFoundError, match=rf"the stack north is in {status}: .*{advice}"):
        replace(STACK, status=status, outputs={}).settings()


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
def test_given_a_stack_that_was_changed_then_the_fleet_is_still_there(status: str) -> None:
    assert replace(STACK, status=status).settings().bucket == "recordings"


def test_given_a_stack_of_something_else_then_it_is_no_fleet() -> None:
    other = replace(STACK, outputs={"Url": "https://example.org"})

    with pytest.raises(FleetNotFoundError, match=r"north is no scribefleet: it has no output BucketName, JobsQueueUrl"):
        other.settings()


def test_given_a_fleet_with_a_group_then_the_settings_name_it() -> None:
    group = StackResource("Group", "AWS::AutoScaling::AutoScalingGroup", "north-workers", "CREATE_COMPLETE")
    stack = replace(STACK, parameters={"CapacityProvider": "asg"}, resources=(*STACK.resources, group))

    settings = stack.settings()

    assert (settings.capacity_provider, settings.auto_scaling_group) == ("asg", "north-workers")


def test_given_a_value_that_this_version_does_not_take_then_it_is_named() -> None:
    stack = replace(STACK, parameters={"MaxInstances": "-1"})

    with pytest.raises(FleetNotFoundError, match=r"does not take: max_instances: Input should be greater"):
        stack.settings()
