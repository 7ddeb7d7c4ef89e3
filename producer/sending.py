"""Sends job messages, ten at a time, each user's in a fairness group of their own.

What becomes of a message that SQS does not take is the caller's business.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.aws.sqs import in_batches
from shared.clock import Clock
from shared.formats.messages import ChunkJob

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; `user_id` is whose work it is, empty when the message does not say."""

    body: str
    user_id: str


@dataclass(slots=True)
class Sent:
    """What became of messages, by their place in the sequence; `refused` maps to SQS's error code."""

    taken: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def send(sqs: "SQSClient", queue_url: str, messages: Sequence[Outgoing], clock: Clock) -> Sent:
    """Send all `messages`: each is in the result once. Raises what boto3 raises when a whole call fails."""
    entries = [
        {"Id": str(number), "MessageBody": message.body, "MessageGroupId": _fairness_group(message.user_id)}
        for number, message in enumerate(messages)
    ]
    outcome = in_batches(lambda some: sqs.send_message_batch(QueueUrl=queue_url, Entries=some), entries, clock)
    return Sent([int(i) for i in outcome.succeeded], {int(i): code for i, code in outcome.failed.items()})


def outgoing(job: ChunkJob) -> Outgoing:
    """The message of a job."""
    return Outgoing(job.to_json(), job.user_id)


def _fairness_group(user_id: str) -> str:
    """SQS shares a standard queue fairly between groups, so one user's outage does not starve the others.

    A hash, since a group id takes neither every character nor the length that a user id may have.
    """
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]
