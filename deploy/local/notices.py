"""What the fleet tells its topic, brought to this terminal: the embedded cloud has no mail to send.

A queue is subscribed to the topic as any program's would be, so that what is shown went the whole way.
"""

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

_QUEUE = "local-notifications"


class _Envelope(BaseModel):
    """What SNS puts around a message for a queue (Amazon SNS Developer Guide, "Fanout to Amazon SQS queues")."""

    Message: str


class _Body(BaseModel):
    text: str


class Notices:
    """The texts of the topic's messages from now on."""

    def __init__(self, sns: "SNSClient", sqs: "SQSClient", topic_arn: str) -> None:
        self._sqs = sqs
        self._url = sqs.create_queue(QueueName=_QUEUE)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=attributes["QueueArn"])

    def read(self) -> list[str]:
        """The texts that came since the last look, in the order in which they came; a foreign message as it is."""
        texts = []
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                texts.append(_text(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return texts


def _text(body: str) -> str:
    try:
        return _Body.model_validate_json(_Envelope.model_validate_json(body).Message).text
    except ValidationError:
        return json.dumps(body)
