"""Queues the jobs of a re-run, past what the ledger says of earlier ones.

For each batch: free its chunks in the ledger, send, confirm. The history is kept before anything is queued, since a
worker may be at the first chunk a moment later. A crash in between leaves copies that the next re-run removes, and
gaps that the next scan finds.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from producer.operator.sessions.history import history_key, keep
from producer.sending import outgoing, send
from shared.clock import Clock
from shared.errors import AWS_ERRORS
from shared.formats.messages import ChunkJob, chunk_job
from shared.session.folder import SessionFolder
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_BATCH: Final = 100
_LEDGER_THREADS: Final = 16
LEDGER_AWAY: Final = "the ledger is away, and by it the job may be cancelled"


@dataclass(frozen=True, slots=True)
class How:
    """How the jobs are to be done; model and language (ISO 639) are the fleet's when absent."""

    force: bool = False
    priority: bool = True
    model: str | None = None
    language: str | None = None


@dataclass(slots=True)
class Queued:
    """What became of a re-run's jobs.

    Attributes:
        jobs: those whose messages are on the queue.
        refused: chunk -> why it could not be queued.
        kept: how many transcripts were copied into the history.
    """

    rerun_id: str
    queue_url: str
    jobs: list[ChunkJob] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    kept: int = 0


@dataclass(frozen=True, slots=True)
class RerunProgress:
    """Where queueing tells how far it is; the defaults tell nobody."""

    on_kept: Callable[[int], None] = lambda _: None
    on_queued: Callable[[int], None] = lambda _: None


def rerun_jobs(
    folder: SessionFolder, chunks: Sequence[str], how: How, bucket: str, *, rerun_id: str, now: datetime
) -> list[ChunkJob]:
    """The jobs for `chunks`, which have audio.

    A forced job replaces what was written before it was queued. So its time is no earlier than the transcript's by
    S3's clock: this machine's may be behind, and workers would find the job done.
    """
    jobs = []
    for chunk in chunks:
        audio, stands = folder.audio[chunk], folder.transcripts.get(chunk)
        job = chunk_job(
            bucket=bucket,
            audio_key=audio.key,
            audio_size=audio.size,
            enqueued_at=max(now, stands.modified) if stands else now,
            scan_id=rerun_id,
        )
        asks = {"reason": "rerun", "force": how.force, "model": how.model, "language": how.language}
        jobs.append(ChunkJob.model_validate({**job.model_dump(), **asks}))
    return jobs


@dataclass(slots=True)
class Rerunner:
    """Queues jobs that a person asks for."""

    s3: "S3Client"
    sqs: "SQSClient"
    ledger: Ledger
    settings: Settings
    clock: Clock

    def queue(
        self,
        folder: SessionFolder,
        chunks: Sequence[str],
        how: How,
        rows: Mapping[str, Mapping[str, Any]] | None,
        progress: RerunProgress | None = None,
    ) -> Queued:
        """Queue `chunks`, keeping first the transcripts that will be replaced.

        Args:
            rows: what the ledger says of the session; `None` when it could not be read.

        Raises what boto3 raises; what was queued until then stays queued.
        """
        progress = progress or RerunProgress()
        now = self.clock.now()
        result = Queued(
            rerun_id=f"rerun-{now:%Y%m%dT%H%M%SZ}",
            queue_url=self.settings.priority_queue_url if how.priority else self.settings.jobs_queue_url,
        )
        jobs = rerun_jobs(folder, chunks, how, self.settings.bucket, rerun_id=result.rerun_id, now=now)
        copies = {
            folder.transcripts[job.chunk].key: history_key(job.session_path, result.rerun_id, job.chunk)
            for job in jobs
            if job.chunk in folder.transcripts
        }
        keep(self.s3, self.settings.bucket, copies, progress.on_kept)
        result.kept = len(copies)
        with ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger") as pool:
            for start in range(0, len(jobs), _BATCH):
                self._queue_batch(jobs[start : start + _BATCH], rows, result, pool)
                progress.on_queued(len(jobs[start : start + _BATCH]))
        return result

    def _queue_batch(
        self,
        jobs: Sequence[ChunkJob],
        rows: Mapping[str, Mapping[str, Any]] | None,
        result: Queued,
        pool: ThreadPoolExecutor,
    ) -> None:
        freed = list(zip(jobs, pool.map(self.ledger.requeue, jobs), strict=True))
        stuck = [job for job, written in freed if not written and _may_be_cancelled(job, rows)]
        result.refused |= {job.chunk: LEDGER_AWAY for job in stuck}
        ready = [job for job in jobs if job not in stuck]
        try:
            sent = send(self.sqs, result.queue_url, [outgoing(job) for job in ready], self.clock)
        except AWS_ERRORS:
            for job in ready:
                self.ledger.unclaim(job)
            raise
        for number, code in sent.refused.items():
            self.ledger.unclaim(ready[number])
            result.refused[ready[number].chunk] = code
        taken = [ready[number] for number in sorted(sent.taken)]
        list(pool.map(self.ledger.queued, taken))
        result.jobs += taken


def _may_be_cancelled(job: ChunkJob, rows: Mapping[str, Mapping[str, Any]] | None) -> bool:
    return rows is None or "cancelledAt" in rows.get(job.chunk, {})
