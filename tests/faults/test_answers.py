"""What a real boto3 client makes of the errors that the fault proxy answers in a service's name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.rules import (
    EC2_THROTTLED,
    EXPIRED_TOKEN,
    INTERNAL,
    PRECONDITION,
    SKEWED,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    Fail,
    Rule,
)
from tests.faults.through_proxy import WORKER, config, ec2_of, s3_of, sqs_of

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL, PRECONDITION, EXPIRED_TOKEN, SKEWED])
def test_s3_refuses_in_xml(lonely: FaultProxy, fault: Fail) -> None:
    lonely.add(Rule("s3:GetObject", fault))
    with pytest.raises(ClientError) as caught:
        s3_of(lonely).get_object(Bucket="any", Key="k")
    _same(caught.value, fault)


def test_s3_tells_a_head_only_the_status(lonely: FaultProxy) -> None:
    lonely.add(Rule("s3:HeadObject", SLOW_DOWN))
    s3 = s3_of(lonely)
    for _ in range(2):  # what one answer had too much would be the next one's beginning
        with pytest.raises(ClientError) as caught:
            s3.head_object(Bucket="any", Key="k")
        assert caught.value.response["Error"]["Code"] == "503"


@pytest.mark.parametrize("fault", [SQS_THROTTLED, INTERNAL, EXPIRED_TOKEN])
def test_sqs_refuses_in_json_and_with_a_header_of_its_own(lonely: FaultProxy, fault: Fail) -> None:
    lonely.add(Rule("sqs:*", fault))
    with pytest.raises(ClientError) as caught:
        sqs_of(lonely).receive_message(QueueUrl="http://127.0.0.1/1/jobs")
    _same(caught.value, fault)


@pytest.mark.parametrize("fault", [THROTTLED, INTERNAL, Fail(400, "ConditionalCheckFailedException")])
def test_dynamodb_refuses_in_json(lonely: FaultProxy, fault: Fail) -> None:
    lonely.add(Rule("dynamodb:*", fault))
    client = boto3.client("dynamodb", endpoint_url=lonely.endpoint(WORKER), config=config())
    with pytest.raises(ClientError) as caught:
        client.get_item(TableName="ledger", Key={"sessionPath": {"S": "p"}, "chunk": {"S": "001"}})
    _same(caught.value, fault)


@pytest.mark.parametrize("fault", [EC2_THROTTLED, Fail(400, "IncorrectInstanceState")])
def test_ec2_refuses_in_xml_of_its_own(lonely: FaultProxy, fault: Fail) -> None:
    lonely.add(Rule("ec2:*", fault))
    with pytest.raises(ClientError) as caught:
        ec2_of(lonely).describe_instances()
    _same(caught.value, fault)


@pytest.mark.parametrize(
    ("service", "ask"),
    [
        ("sns", lambda client: client.publish(TopicArn="arn:aws:sns:us-east-1:1:notify", Message="m")),
        ("autoscaling", lambda client: client.describe_auto_scaling_groups()),
        ("sts", lambda client: client.get_caller_identity()),
    ],
)
def test_services_of_the_query_protocol_refuse_in_xml(
    lonely: FaultProxy, service: Any, ask: Callable[[Any], Any]
) -> None:
    fault = Fail(400, "Throttling", "Rate exceeded")
    lonely.add(Rule(f"{service}:*", fault))
    with pytest.raises(ClientError) as caught:
        ask(boto3.client(service, endpoint_url=lonely.endpoint(WORKER), config=config()))
    _same(caught.value, fault)


def test_boto3_retries_what_says_that_it_may_be_retried(cloud: "Cloud", proxy: FaultProxy) -> None:
    slow_down = proxy.add(Rule("s3:PutObject", SLOW_DOWN, times=1))
    s3_of(proxy, attempts=2).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert slow_down.struck == 1
    assert [(each.status, each.carried_out, each.faults) for each in proxy.journal.calls("s3:PutObject")] == [
        (503, (), ("Fail",)),
        (200, (200,), ()),
    ]


def _same(error: ClientError, fault: Fail) -> None:
    assert error.response["Error"]["Code"] == fault.code
    assert error.response["Error"]["Message"] == (fault.message or "a fault was injected")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == fault.status
