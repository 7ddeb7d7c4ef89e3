"""Puts gaps on the job queue, each of them once.

For each gap: claim it in the ledger, send its message, confirm. A crash between any two steps queues the gap again
later and never loses it; a message that could not be sent gives its claim back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from producer.scan.gaps import SessionGaps
from producer.sending import outgoing, send
from shared.aws.sqs import BATCH, queue_depth
from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of
from shared.formats.messages import ChunkJob, chunk_job
from shared.settings import Settings
from shared.state.ledger import Claim, Ledger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = structlog.get_logger()

# The ledger takes one write a gap; a few at once keep a scan that finds a long outage from taking hours.
_LEDGER_THREADS = 8
# A ledger that was away is asked once more after so long: longer than it rests after a time-out.
_SECOND_ROUND_SECONDS = 20


@dataclass(slots=True)
class EnqueueOutcome:
    """What became of the gaps.

    Attributes:
        queued: messages sent.
        already_queued: left alone, since a job for them is queued, in work, cancelled or in the dead-letter queue.
        failed: could not be sent; the next scan tries again.
        postponed: left to a later scan, since the ledger is away and the queue not empty: they may be on it.
        given_up: of those left alone, the ones that nobody is going to fill for now, by session path.
    """

    queued: int = 0
    already_queued: int = 0
    failed: int = 0
    postponed: int = 0
    given_up: Counter[str] = field(default_factory=Counter)


class Enqueuer:
    """Sends the jobs of one scan."""

    def __init__(self, sqs: "SQSClient", ledger: Ledger, settings: Settings, clock: Clock) -> None:
        self._sqs = sqs
        self._ledger = ledger
        self._settings = settings
        self._clock = clock

    def enqueue(
        self, sessions: Sequence[SessionGaps], scan_id: str, on_progress: Callable[[int], None] = lambda _: None
    ) -> EnqueueOutcome:
        """Queue every gap of `sessions` that is not queued yet, in the order the settings ask for.

        What is queued already the ledger knows. While it is away the queue itself has to tell: gaps are queued when it
        was empty before. Else the ledger is asked once more, and then they are left to a later scan: queueing them
        anyhow would add a copy of every job at each scan, for as long as the ledger is away.

        Args:
            on_progress: told how many gaps have been dealt with since the last call.

        Raises what boto3 raises when SQS does not answer; what was sent until then stays sent.
        """
        outcome = EnqueueOutcome()
        newest_first = self._settings.scan_order == "newest"
        ordered = sorted(sessions, key=lambda session: session.created_at, reverse=newest_first)
        jobs: Iterable[ChunkJob] = (job for session in ordered for job in self._jobs(session, scan_id))
        was_empty = bool(sessions) and self._is_empty()
        left = self._queue(jobs, outcome, unknown_too=was_empty, on_progress=on_progress)
        if left:
            self._clock.sleep(_SECOND_ROUND_SECONDS)
            left = self._queue(left, outcome, unknown_too=False, on_progress=on_progress)
        outcome.postponed = len(left)
        return outcome

    def _queue(
        self,
        jobs: Iterable[ChunkJob],
        outcome: EnqueueOutcome,
        *,
        unknown_too: bool,
        on_progress: Callable[[int], None],
    ) -> list[ChunkJob]:
        """Claim and send; returns the jobs of which the ledger does not tell, unless those are sent, too."""
        left: list[ChunkJob] = []
        with ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger") as pool:
            for batch in _batches(jobs, BATCH):
                claims = list(zip(batch, pool.map(self._ledger.claim, batch), strict=True))
                unknown = [] if unknown_too else [job for job, claim in claims if claim is Claim.UNKNOWN]
                claimed = [job for job, claim in claims if claim or (claim is Claim.UNKNOWN and unknown_too)]
                outcome.given_up.update(job.session_path for job, claim in claims if claim is Claim.GIVEN_UP)
                outcome.already_queued += len(batch) - len(claimed) - len(unknown)
                sent = self._send(claimed)
                list(pool.map(self._ledger.queued, sent))
                outcome.queued += len(sent)
                outcome.failed += len(claimed) - len(sent)
                left += unknown
                on_progress(len(batch) - len(unknown))
        return left

    def _jobs(self, session: SessionGaps, scan_id: str) -> Iterator[ChunkJob]:
        now = self._clock.now()
        for gap in session.gaps:
            yield chunk_job(
                bucket=self._settings.bucket, audio_key=gap.key, audio_size=gap.size, enqueued_at=now, scan_id=scan_id
            )

    def _is_empty(self) -> bool:
        """Whether nothing is on the queue that scans fill, as far as SQS tells; False when it does not."""
        try:
            return not queue_depth(self._sqs, self._settings.jobs_queue_url).total
        except AWS_ERRORS as error:
            log.warning("queue_not_read", error=cause_of(error))
            return False

    def _send(self, jobs: Sequence[ChunkJob]) -> list[ChunkJob]:
        """Send one batch; returns the jobs whose messages SQS has taken, and gives back the claims of the others."""
        try:
            outcome = send(self._sqs, self._settings.jobs_queue_url, [outgoing(job) for job in jobs], self._clock)
        except AWS_ERRORS:
            for job in jobs:
                self._ledger.unclaim(job)
            raise
        for number, code in outcome.refused.items():
            self._ledger.unclaim(jobs[number])
            log.error("job_not_queued", chunk=jobs[number].chunk, code=code)
        return [jobs[number] for number in outcome.taken]


def _batches(jobs: Iterable[ChunkJob], size: int) -> Iterator[list[ChunkJob]]:
    batch: list[ChunkJob] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
