"""Reads the dead-letter queue without taking anything off it."""

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from producer.operator.dlq.message import read_letter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_BATCH: Final = 10
# Longer than reading them all takes, or some would be read twice.
_HIDDEN_SECONDS: Final = 120


class DeadLetter(NamedTuple):
    """One message; user, session and chunk are empty where its body names none."""

    session: str
    chunk: str
    reason: str
    user: str = ""
    body: str = ""


class DeadLetters:
    """The dead-letter queue of a fleet.

    Args:
        sqs: past the proxy.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str) -> None:
        self._sqs = sqs
        self._url = queue_url
        self._reading = threading.Lock()

    def all(self) -> list[DeadLetter]:
        """Every message. Meanwhile they are hidden from other readers; afterwards all are visible again."""
        with self._reading:
            found: list[MessageTypeDef] = []
            try:
                while messages := self._receive():
                    found += messages
            finally:
                self._show(found)
        return [_letter(message) for message in found]

    def _receive(self) -> "list[MessageTypeDef]":
        return self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=0,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])

    def _show(self, messages: "list[MessageTypeDef]") -> None:
        for start in range(0, len(messages), _BATCH):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                    for number, message in enumerate(messages[start : start + _BATCH])
                ],
            )


def _letter(message: "MessageTypeDef") -> DeadLetter:
    letter = read_letter(message)
    return DeadLetter(letter.session_id, letter.chunk, letter.reason, letter.user_id, letter.body)
