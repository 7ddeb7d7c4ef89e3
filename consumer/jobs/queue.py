"""The worker's calls to SQS: receive, delete, change visibility, dead-letter."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from consumer.jobs.stages import Message
from shared.aws.sqs import in_batches
from shared.clock import Clock, iso
from shared.errors import PermanentJobError
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

# An SQS message attribute may be far longer, but a dead letter's reason is read by people.
_MAX_DETAIL = 500


class JobQueue:
    """Both job queues and their dead-letter queue.

    Args:
        polling: makes the long polls. Its timeouts have to be longer than they may be for extending a lease.
    """

    def __init__(self, sqs: "SQSClient", settings: Settings, clock: Clock, polling: "SQSClient | None" = None) -> None:
        self._sqs = sqs
        self._polling = polling or sqs
        self._settings = settings
        self._clock = clock

    def receive(self, most: int, *, wait: bool) -> list[Message]:
        """Receive up to `most` messages (`receive_max_jobs` at most), from the priority queue if it has any.

        Args:
            wait: whether to wait for messages in a long poll.

        Raises what boto3 raises.
        """
        most = min(most, self._settings.receive_max_jobs)
        seconds = self._settings.long_poll_seconds if wait else 0
        return self._receive(self._settings.priority_queue_url, most, wait_seconds=0) or self._receive(
            self._settings.jobs_queue_url, most, wait_seconds=seconds
        )

    def delete(self, message: Message) -> None:
        """Delete the message. Raises what boto3 raises."""
        self._sqs.delete_message(QueueUrl=message.queue_url, ReceiptHandle=message.receipt_handle)

    def dead_letter(self, message: Message, error: PermanentJobError, worker_id: str) -> None:
        """Send the message to the dead-letter queue with its reason; the caller deletes it afterwards.

        In this order, so that a crash in between leaves it on both queues rather than on none. In two calls, so that
        retrying the delete sends no second dead letter. Raises what boto3 raises.
        """
        attributes = {
            "reason": error.reason,
            "detail": _printable(error.detail)[:_MAX_DETAIL],
            "workerId": worker_id,
            "receives": str(message.receive_count),
            "failedAt": iso(self._clock.now()),
            "sourceQueue": message.queue_url.rsplit("/", 1)[-1],
        }
        self._sqs.send_message(
            QueueUrl=self._settings.dead_letter_queue_url,
            MessageBody=message.body,
            MessageAttributes={name: _string(value) for name, value in attributes.items() if value},
        )

    def set_visibility(self, messages: Sequence[Message], seconds: int) -> set[str]:
        """Let the messages' leases end `seconds` from now; 0 releases them at once.

        Returns:
            The receipt handles that SQS refused: their leases are lost. Raises what boto3 raises when a call fails.
        """
        refused: set[str] = set()
        for url in {message.queue_url for message in messages}:
            mine = {str(number): m for number, m in enumerate(messages) if m.queue_url == url}
            entries = [
                {"Id": number, "ReceiptHandle": m.receipt_handle, "VisibilityTimeout": seconds}
                for number, m in mine.items()
            ]
            call = partial(self._change_visibility, url)
            outcome = in_batches(call, entries, self._clock)
            refused |= {mine[number].receipt_handle for number in outcome.failed}
        return refused

    def _change_visibility(self, queue_url: str, entries: Sequence[Any]) -> Mapping[str, Any]:
        return self._sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)

    def _receive(self, queue_url: str, most: int, *, wait_seconds: int) -> list[Message]:
        asked_at = self._clock.monotonic()
        sqs = self._polling if wait_seconds else self._sqs
        answer = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self._settings.visibility_timeout_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [_message(queue_url, raw, asked_at) for raw in answer.get("Messages", [])]


def _message(queue_url: str, raw: "MessageTypeDef", asked_at: float) -> Message:
    return Message(
        queue_url=queue_url,
        message_id=raw["MessageId"],
        receipt_handle=raw["ReceiptHandle"],
        body=raw["Body"],
        receive_count=int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
        received_at=asked_at,
    )


def _string(value: str) -> "MessageAttributeValueTypeDef":
    return {"DataType": "String", "StringValue": value}


def _printable(text: str) -> str:
    """Replace control characters, which SQS refuses and a hostile body can bring into an error's text."""
    return "".join(character if character.isprintable() else " " for character in text)
