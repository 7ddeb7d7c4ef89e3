"""Receives all dead letters, each once, and makes them visible again at the end.

SQS has no listing: a message can only be received, which hides it. So each is held for long enough that none comes
twice, told apart by its id, and given back when the look is over, also after an error or Ctrl-C. Only a process that
is killed leaves them hidden, for `HOLD_SECONDS` at most; nothing is ever lost by that.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from producer.operator.dlq.message import DeadLetter, read_letter
from shared.aws.sqs import BATCH, QueueDepth, in_batches, queue_depth
from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, error_code

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef

log = structlog.get_logger()

HOLD_SECONDS: Final = 1800
_THREADS: Final = 8
# A poll asks some of SQS's servers, a long one all of them; counts lag. So an end must be seen more than once.
_EMPTY_ROUNDS: Final = 2
_MAX_EMPTY_ROUNDS: Final = 10
_IN_FLIGHT_LIMIT: Final = "OverLimit"  # 120,000 messages received and not deleted


@dataclass(slots=True)
class Held:
    """Dead letters in hand; make it with `holding`.

    Attributes:
        complete: False when SQS would not let more be held at a time; what follows them was not seen.
    """

    sqs: "SQSClient"
    queue_url: str
    clock: Clock
    long_poll_seconds: int
    complete: bool = True
    _receipts: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def batches(self) -> Iterator[list[DeadLetter]]:
        """All dead letters, each once, some at a time as they are received. Raises what boto3 raises."""
        empty = 0
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="dead-letters") as pool:
            while self.complete and not self._is_end(empty):
                wait = self.long_poll_seconds if empty else 0
                received = [letter for some in pool.map(self._receive, [wait] * _THREADS) for letter in some]
                fresh = {letter.message_id: letter for letter in received if letter.message_id not in self._seen}
                self._seen |= fresh.keys()
                empty = 0 if fresh else empty + 1
                if fresh:
                    yield list(fresh.values())

    def receipt_of(self, letter: DeadLetter) -> str:
        """The newest receipt, which is the one that counts."""
        return self._receipts[letter.message_id]

    def delete(self, letters: Sequence[DeadLetter]) -> dict[str, str]:
        """Delete them for good; returns those that SQS did not delete, by message id, with its error code."""
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "ReceiptHandle": self.receipt_of(letter)} for number, letter in enumerate(letters)
        ]
        outcome = in_batches(
            lambda some: self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=some), entries, self.clock
        )
        for number in outcome.succeeded:
            del self._receipts[letters[int(number)].message_id]
        return {letters[int(number)].message_id: code for number, code in outcome.failed.items()}

    def give_back(self) -> int:
        """Make visible what is still held; returns how many stay hidden until their time is over."""
        receipts = list(self._receipts.values())
        some = (receipts[start : start + BATCH] for start in range(0, len(receipts), BATCH))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="dead-letters") as pool:
            return sum(pool.map(self._show_again, some))

    def _is_end(self, empty: int) -> bool:
        if empty < _EMPTY_ROUNDS:
            return False
        return empty >= _MAX_EMPTY_ROUNDS or queue_depth(self.sqs, self.queue_url).visible == 0

    def _receive(self, wait_seconds: int) -> list[DeadLetter]:
        try:
            answer = self.sqs.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=HOLD_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        except AWS_ERRORS as error:
            if _IN_FLIGHT_LIMIT not in error_code(error):
                raise
            self.complete = False
            return []
        letters = [read_letter(raw) for raw in answer.get("Messages", [])]
        # Here and not where they are taken in: Ctrl-C may come in between, and these have to be given back then.
        self._receipts |= {letter.message_id: letter.receipt for letter in letters}
        return letters

    def _show_again(self, receipts: Iterable[str]) -> int:
        entries = [
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
            for number, receipt in enumerate(receipts)
        ]
        try:
            outcome = in_batches(
                lambda some: self.sqs.change_message_visibility_batch(QueueUrl=self.queue_url, Entries=some),
                entries,
                self.clock,
            )
        except AWS_ERRORS as error:
            log.warning("dead_letters_stay_hidden", error=cause_of(error))
            return len(entries)
        return len(outcome.failed)


@contextmanager
def holding(sqs: "SQSClient", queue_url: str, clock: Clock, *, long_poll_seconds: int) -> Iterator[Held]:
    """What is received within the block is made visible again at its end, unless it was deleted."""
    held = Held(sqs, queue_url, clock, long_poll_seconds)
    try:
        yield held
    finally:
        if hidden := held.give_back():
            log.warning("dead_letters_hidden", count=hidden, seconds=HOLD_SECONDS)


def hidden_elsewhere(depth: QueueDepth, seen: int) -> int:
    """How many dead letters somebody else holds, of which a look could see nothing. SQS's counts are approximate."""
    return max(0, depth.total - seen)
