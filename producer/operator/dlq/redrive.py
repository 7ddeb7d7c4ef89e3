"""Puts dead letters back on the queues that they came from. None is lost: each is sent first and deleted then.

A crash in between leaves it on both queues, which workers bear as they bear any second delivery. It is a message of
its own on the queue, so it has all its attempts again. Our own path and not StartMessageMoveTask: that moves
everything, at one rate, one task at a time, and past the ledger.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from producer.operator.dlq.message import DeadLetter, Filter
from producer.operator.dlq.receive import Held
from producer.sending import Outgoing, send
from shared.aws.sqs import BATCH
from shared.clock import Clock
from shared.errors import PermanentJobError
from shared.formats.messages import ChunkJob, parse_job
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LEDGER_AWAY: Final = "ledger-away"


@dataclass(slots=True)
class Redriven:
    """What became of the dead letters.

    Attributes:
        sent: queue name -> how many were sent to it.
        refused: message id -> why it stays: SQS's error code, or `ledger-away`.
        undeleted: message id -> SQS's error code; these are on both queues.
        kept: others, which the filter leaves out or which came after the start.
    """

    sent: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    undeleted: dict[str, str] = field(default_factory=dict)
    kept: int = 0

    @property
    def total(self) -> int:
        return sum(self.sent.values())


@dataclass(slots=True)
class Redriver:
    """Moves dead letters.

    Attributes:
        per_second: most messages sent in a second.
        until: what got to the dead-letter queue later stays. Workers may be at it: a letter that fails again at once
            would otherwise go round for ever.
    """

    sqs: "SQSClient"
    ledger: Ledger
    settings: Settings
    clock: Clock
    per_second: float
    until: datetime

    def redrive(
        self, held: Held, wanted: Filter, on_progress: Callable[[int], None] = lambda _: None, *, dry_run: bool = False
    ) -> Redriven:
        """Move all dead letters that `wanted` takes; with `dry_run` only count them. Raises what boto3 raises."""
        result = Redriven()
        now = self.clock.now()
        for batch in held.batches():
            mine = [letter for letter in batch if wanted.takes(letter, now) and letter.failed_at <= self.until]
            result.kept += len(batch) - len(mine)
            for url, some in self._by_queue(mine):
                if dry_run:
                    _count(result, url, len(some))
                else:
                    self._move(held, url, some, result)
                on_progress(result.total)
        return result

    def _by_queue(self, letters: Sequence[DeadLetter]) -> Iterator[tuple[str, list[DeadLetter]]]:
        """Up to ten letters at a time, with the queue that they go to."""
        groups: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            groups.setdefault(self._source(letter), []).append(letter)
        for url, group in groups.items():
            for start in range(0, len(group), BATCH):
                yield url, group[start : start + BATCH]

    def _source(self, letter: DeadLetter) -> str:
        """The queue that a letter came from; one of which that is unknown goes to the scans' queue."""
        priority = self.settings.priority_queue_url
        return priority if letter.source_queue == queue_name(priority) else self.settings.jobs_queue_url

    def _move(self, held: Held, url: str, letters: Sequence[DeadLetter], result: Redriven) -> None:
        jobs = {letter.message_id: job for letter in letters if (job := self._job(letter))}
        freed = {message_id: self.ledger.requeue(job) for message_id, job in jobs.items()}
        # Where the ledger is away a job that was cancelled still is, and a worker would drop it.
        stay = [letter for letter in letters if not freed.get(letter.message_id, True)]
        result.refused |= {letter.message_id: LEDGER_AWAY for letter in stay}
        letters = [letter for letter in letters if letter not in stay]
        if not letters:
            return
        sent = send(self.sqs, url, [Outgoing(letter.body, letter.user_id) for letter in letters], self.clock)
        result.refused |= {letters[number].message_id: code for number, code in sent.refused.items()}
        taken = [letters[number] for number in sorted(sent.taken)]
        result.undeleted |= held.delete(taken)
        for letter in taken:
            if letter.message_id in jobs:
                self.ledger.queued(jobs[letter.message_id])
        _count(result, url, len(taken))
        self.clock.sleep(len(taken) / self.per_second)

    def _job(self, letter: DeadLetter) -> ChunkJob | None:
        try:
            return parse_job(letter.body, bucket=self.settings.bucket)
        except PermanentJobError:
            return None  # goes back as it is; a worker will say again what is wrong with it


def queue_name(url: str) -> str:
    """The name at the end of a queue's URL."""
    return url.rsplit("/", 1)[-1]


def by_reason(letters: Sequence[DeadLetter]) -> Mapping[str, int]:
    """How many there are of each reason, the most frequent first."""
    counts: dict[str, int] = {}
    for letter in letters:
        counts[letter.reason] = counts.get(letter.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _count(result: Redriven, url: str, letters: int) -> None:
    name = queue_name(url)
    result.sent[name] = result.sent.get(name, 0) + letters
