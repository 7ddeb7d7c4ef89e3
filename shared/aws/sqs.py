"""Sending to SQS in batches, and reading how much waits.

A batch call answers 200 with a list of entries that failed: each of them is handled here, so that no caller can
forget one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from shared.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
UNANSWERED = "Unanswered"
"""In place of an error code, of an entry that no answer mentioned."""
_TRIES = 4


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Approximate message counts, as of now. SQS says that they can lag by a minute.

    Attributes:
        visible: waiting to be received.
        in_flight: received and neither deleted nor given back.
        delayed: sent with a delay that has not passed.
    """

    visible: int = 0
    in_flight: int = 0
    delayed: int = 0

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed

    def __add__(self, other: "QueueDepth") -> "QueueDepth":
        return QueueDepth(self.visible + other.visible, self.in_flight + other.in_flight, self.delayed + other.delayed)


def queue_depth(sqs: "SQSClient", queue_url: str) -> QueueDepth:
    """The queue's approximate counts. Raises what boto3 raises."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return QueueDepth(
        visible=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
    )


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch's entries, by their Id; `failed` maps to SQS's error code."""

    succeeded: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def in_batches(
    call: Callable[[Sequence[Any]], Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], clock: Clock
) -> BatchOutcome:
    """Make a batch call for all `entries`, ten at a time, trying failed ones again when SQS is at fault.

    Args:
        call: takes up to ten entries and returns SQS's answer with `Successful` and `Failed`.
        entries: each with an `Id` that is unique among them.

    Returns:
        Every entry's Id under `succeeded` or `failed`: none is missing. Raises what boto3 raises when a whole call
        fails; entries of earlier calls may have succeeded then.
    """
    outcome = BatchOutcome()
    for start in range(0, len(entries), BATCH):
        _one_batch(call, list(entries[start : start + BATCH]), clock, outcome)
    return outcome


def _one_batch(
    call: Callable[[Sequence[Any]], Mapping[str, Any]],
    entries: list[Mapping[str, Any]],
    clock: Clock,
    outcome: BatchOutcome,
) -> None:
    waiting = {str(entry["Id"]): entry for entry in entries}

    def attempt() -> bool:
        """Returns whether some entries are worth another try."""
        answer = call(list(waiting.values()))
        for success in answer.get("Successful", []):
            del waiting[success["Id"]]
            outcome.succeeded.append(success["Id"])
            outcome.failed.pop(success["Id"], None)
        failed = {failure["Id"]: failure for failure in answer.get("Failed", [])}
        # An answer that is silent about an entry says nothing good about it.
        for entry_id in waiting.keys() - failed.keys():
            outcome.failed[entry_id] = UNANSWERED
        for entry_id, failure in failed.items():
            outcome.failed[entry_id] = failure["Code"]
            if failure["SenderFault"]:
                del waiting[entry_id]
        return bool(waiting)

    Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=0.1, max=0.5),
        sleep=clock.sleep,
        retry_error_callback=lambda _: None,
    )(attempt)
