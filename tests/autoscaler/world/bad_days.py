"""Clients whose service is a script, and the answers of AWS in the form that each service has for them."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.fixtures.scripted_server import Answer

if TYPE_CHECKING:
    from shared.aws.timeouts import Name

Call = Callable[[Any], Any]

QUEUE: Final = "http://queues/1/jobs"

CALLS: Final[Mapping["Name", Call]] = {
    "s3": lambda s3: s3.list_objects_v2(Bucket="recordings"),
    "sqs": lambda sqs: sqs.get_queue_attributes(QueueUrl=QUEUE, AttributeNames=["All"]),
    "sqs-poll": lambda sqs: sqs.receive_message(QueueUrl=QUEUE, WaitTimeSeconds=20),
    "dynamodb": lambda dynamodb: dynamodb.get_item(TableName="ledger", Key={"k": {"S": "x"}}),
    "ec2": lambda ec2: ec2.describe_instances(),
    "autoscaling": lambda autoscaling: autoscaling.describe_auto_scaling_groups(),
    "sns": lambda sns: sns.publish(TopicArn="arn:aws:sns:us-east-1:1:told", Message="x"),
}
"""One call of each client."""

WHOLE: Final[Mapping["Name", bytes]] = {
    "s3": b"<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
    "sqs": b'{"Attributes": {"ApproximateNumberOfMessages": "7"}}',
    "sqs-poll": b'{"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": "b"}]}',
    "dynamodb": b'{"Item": {"k": {"S": "x"}}}',
    "ec2": b"<DescribeInstancesResponse><reservationSet><item><reservationId>r-1</reservationId></item>"
    b"</reservationSet></DescribeInstancesResponse>",
    "autoscaling": b"<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>"
    b"<AutoScalingGroupName>g</AutoScalingGroupName></member></AutoScalingGroups></DescribeAutoScalingGroupsResult>"
    b"</DescribeAutoScalingGroupsResponse>",
    "sns": b"<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>",
}
"""What each answers when all is well."""

TOLD: Final[Mapping["Name", Call]] = {
    "s3": lambda answer: [each["Key"] for each in answer["Contents"]] == ["k"],
    "sqs": lambda answer: answer["Attributes"]["ApproximateNumberOfMessages"] == "7",
    "sqs-poll": lambda answer: [each["Body"] for each in answer["Messages"]] == ["b"],
    "dynamodb": lambda answer: answer["Item"] == {"k": {"S": "x"}},
    "ec2": lambda answer: answer["Reservations"][0]["ReservationId"] == "r-1",
    "autoscaling": lambda answer: answer["AutoScalingGroups"][0]["AutoScalingGroupName"] == "g",
    "sns": lambda answer: answer["MessageId"] == "m",
}
"""Whether a parsed answer says what `WHOLE` says."""

THROTTLED: Final[Mapping["Name", tuple[int, str]]] = {
    "s3": (503, "SlowDown"),
    "sqs": (400, "RequestThrottled"),
    "sqs-poll": (400, "RequestThrottled"),
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "ec2": (503, "RequestLimitExceeded"),
    "autoscaling": (400, "Throttling"),
    "sns": (400, "Throttling"),
}
"""How each says that it is asked too much."""


def error(name: "Name", status: int, code: str) -> Answer:
    """An error as the service of the client `name` sends it."""
    if name in {"sqs", "sqs-poll", "dynamodb"}:
        body = json.dumps({"__type": f"com.amazonaws.service#{code}", "message": "injected"}).encode()
        return Answer(status, body, {"x-amzn-query-error": f"{code};Sender"} if name != "dynamodb" else {})
    inner = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
    match name:
        case "s3":
            body = inner.encode()
        case "ec2":
            body = f"<Response><Errors>{inner}</Errors><RequestID>r</RequestID></Response>".encode()
        case _:
            body = f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>".encode()
    return Answer(status, body)
