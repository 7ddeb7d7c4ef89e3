"""The life of one job, step by step: receive, prepare, publish the transcript, or retry, release or dead-letter it.

The order of steps keeps jobs from being lost: a message is deleted last, when its transcript is readable in S3 or the
message is on the dead-letter queue with its reason. Steps of different jobs run in different threads at the same time;
`consumer.run.pipeline` decides which runs when.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from consumer.jobs.breaker import ReceiveBreaker
from consumer.jobs.leases import LeaseKeeper
from consumer.jobs.publish import existing_transcript, publish
from consumer.jobs.queue import JobQueue
from consumer.jobs.stages import ChunkTranscription, JobRecord, Message, PreparedJob
from consumer.model.transcriber import Aborted
from consumer.sessions.audio import SessionAudio
from shared.aws.retrying import Retrier
from shared.clock import Clock, iso
from shared.errors import AWS_ERRORS, LeaseLostError, PermanentJobError, TransientError, cause_of, is_outage
from shared.formats.messages import ChunkJob, parse_job
from shared.formats.transcripts import ChunkTranscript
from shared.reporting.reports import ReportError
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

# Three unexpected errors in a row have another cause than one bad input.
_MAX_UNEXPECTED = 3
_LONGEST_BACKOFF_SECONDS = 900


@dataclass(slots=True)
class JobHandler:
    """The steps of a job. A step that ends it returns a record for the run's report.

    It returns `None` for a job that went back to the queue or belongs to another worker by now.
    """

    _worker_id: str
    _settings: Settings
    _clock: Clock
    _s3: "S3Client"
    _queue: JobQueue
    _leases: LeaseKeeper
    _ledger: Ledger
    _audio: SessionAudio
    _retrier: Retrier
    _breaker: ReceiveBreaker = field(init=False)
    # Names of unexpected errors in a row. Several threads use it; a list's append and clear are atomic.
    _unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._breaker = ReceiveBreaker(self._clock)

    @property
    def broken(self) -> bool:
        """Whether jobs keep failing with unexpected errors, so that the process should be restarted."""
        return len(self._unexpected) >= _MAX_UNEXPECTED

    def room(self, free: int, *, idle: bool) -> int:
        """How many of `free` messages may be received: few or none while AWS fails the jobs.

        Args:
            idle: whether no message is held.
        """
        return self._breaker.room(free, idle=idle)

    def receive(self, most: int, *, wait: bool) -> list[Message]:
        """Receive messages and hold their leases. Raises what boto3 raises.

        Args:
            wait: for a long poll when there are none.
        """
        messages = self._queue.receive(most, wait=wait)
        # A long poll cannot be taken back: what it brought after a request to stop is held first, then released.
        self._leases.hold(messages)
        return messages

    def prepare(self, message: Message) -> PreparedJob | JobRecord | None:
        """Do all that comes before the model: parse, look for a transcript, fetch and decode. Or end the job."""
        job: ChunkJob | None = None
        self._leases.begin(message)
        try:
            job = parse_job(message.body, bucket=self._settings.bucket)
            existing = self._retrier(existing_transcript, self._s3, job)
            if existing and existing.satisfies(job):
                return self._done(message, self._skipped(job))
            if not self._ledger.processing(job, self._worker_id, message.receive_count):
                return self._done(message, self._cancelled(job))
            prepared = PreparedJob(message, job, existing, self._audio.of(job))
        except Exception as error:  # noqa: BLE001 - `failed` logs what it does not know
            return self.failed(message, job, error)
        self._leases.pause(message)
        return prepared

    def begin(self, prepared: PreparedJob) -> None:
        """The model begins with a job: its deadline runs from now."""
        self._leases.begin(prepared.message)

    def complete(self, prepared: PreparedJob, spoken: ChunkTranscription) -> JobRecord | None:
        """Publish the transcript, then delete the message."""
        message, job = prepared.message, prepared.job
        try:
            self._leases.check(message)
            transcript = self._transcript(prepared, spoken)
            if not self._retrier(publish, self._s3, job, transcript, prepared.existing):
                return self._done(message, self._skipped(job))
            self._ledger.finished(job, "completed")
            log.info("chunk_transcribed", **names(job), audio_seconds=transcript.duration, words=transcript.word_count)
            return self._done(message, JobRecord(job, "completed", audio_seconds=prepared.audio.seconds))
        except Exception as error:  # noqa: BLE001 - `failed` logs what it does not know
            return self.failed(message, job, error)

    def failed(self, message: Message, job: ChunkJob | None, error: Exception) -> JobRecord | None:
        """End or retry a job as its error asks for; `job` is `None` when the message could not be parsed."""
        match error:
            case PermanentJobError():
                return self._dead_letter(message, job, error)
            case Aborted():
                self._release(message, job, "aborted: the worker was asked to stop", seconds=0)
                return None
            case LeaseLostError():
                # Another worker may have the job by now, so nothing is published here.
                self._leases.drop([message])
                log.warning("lease_lost_result_dropped", message_id=message.message_id)
                return None
        if not isinstance(error, (TransientError, *AWS_ERRORS)):
            log.error("job_failed_unexpectedly", error=type(error).__name__, exc_info=error)
            self._unexpected.append(type(error).__name__)
        return self._retry_later(message, job, error)

    def release(self, messages: list[Message], *, seconds: int = 0) -> None:
        """Make messages visible again in `seconds`. If SQS is away, they come back when their leases end."""
        if not messages:
            return
        self._leases.drop(messages)
        try:
            self._retrier(self._queue.set_visibility, messages, seconds)
        except AWS_ERRORS as error:
            log.warning("jobs_not_given_back", jobs=len(messages), error=cause_of(error))
            return
        log.info("jobs_given_back", jobs=len(messages), for_seconds=seconds)

    def hand_back(self, jobs: Sequence[PreparedJob]) -> None:
        """Release jobs that the model has not heard, at once."""
        self.release([each.message for each in jobs])
        for each in jobs:
            self._ledger.handed_back(each.job, "the worker holds still or ends")

    # --- how a job ends

    def _done(self, message: Message, record: JobRecord) -> JobRecord:
        self._leases.drop([message])
        self._retrier(self._queue.delete, message)
        self._breaker.worked()
        self._unexpected.clear()
        return record

    def _skipped(self, job: ChunkJob) -> JobRecord:
        self._ledger.finished(job, "skipped")
        log.info("chunk_skipped", **names(job), why="its transcript exists")
        return JobRecord(job, "skipped")

    def _cancelled(self, job: ChunkJob) -> JobRecord:
        self._ledger.dropped(job)
        log.info("chunk_skipped", **names(job), why="it was cancelled")
        return JobRecord(job, "skipped")

    def _transcript(self, prepared: PreparedJob, spoken: ChunkTranscription) -> ChunkTranscript:
        job, audio, segments = prepared.job, prepared.audio, spoken.heard.segments
        return ChunkTranscript(
            session_id=job.session_id,
            user_id=job.user_id,
            chunk_index=int(job.chunk),
            audio_key=job.audio_key,
            language=spoken.language,
            language_probability=spoken.language_probability,
            duration=round(audio.seconds, 3),
            model=spoken.model,
            device=spoken.device,
            segments=segments,
            segment_count=len(segments),
            word_count=sum(len(segment.words) for segment in segments),
            text=" ".join(segment.text for segment in segments),
            uploaded_at=iso(self._clock.now()),
            partial_audio=audio.partial,
            suppressed=spoken.heard.suppressed,
            context_words=spoken.heard.context_words,
            header_synthesised=audio.header_synthesised,
        )

    def _dead_letter(self, message: Message, job: ChunkJob | None, error: PermanentJobError) -> JobRecord | None:
        log.warning("job_dead_lettered", **names(job), reason=error.reason, detail=error.detail)
        try:
            # The lease is kept: retries can outlast it, and the next receiver would send a second dead letter.
            self._retrier(self._queue.dead_letter, message, error, self._worker_id)
            self._leases.drop([message])
            self._retrier(self._queue.delete, message)
        except AWS_ERRORS as away:
            self._leases.drop([message])
            # The message is still on its queue: it comes back when the lease ends, and is dead-lettered then.
            log.error("dead_letter_failed", error=cause_of(away))
            return None
        if job:
            self._ledger.finished(job, "failed", error=str(error))
        return JobRecord(
            job,
            "failed",
            error=ReportError(
                session_id=job.session_id if job else None,
                chunk=job.chunk if job else None,
                reason=error.reason,
                detail=error.detail,
            ),
        )

    def _retry_later(self, message: Message, job: ChunkJob | None, error: Exception) -> JobRecord | None:
        """Redeliver with a growing delay, and at `max_receives` dead-letter, but never for an outage."""
        what = cause_of(error)
        outage = is_outage(error)
        if job and outage:
            self._breaker.failed(lambda: existing_transcript(self._s3, job))
        if message.receive_count >= self._settings.max_receives and not outage:
            exhausted = PermanentJobError(
                "attempts-exhausted", f"failed {message.receive_count} times, last with {what}"
            )
            return self._dead_letter(message, job, exhausted)
        backoff = self._settings.retry_backoff_seconds * 2 ** (message.receive_count - 1)
        log.warning("job_will_be_retried", error=what, in_seconds=min(backoff, _LONGEST_BACKOFF_SECONDS))
        self._release(message, job, what, seconds=int(min(backoff, _LONGEST_BACKOFF_SECONDS)))
        return None

    def _release(self, message: Message, job: ChunkJob | None, why: str, *, seconds: int) -> None:
        self.release([message], seconds=seconds)
        if job:
            self._ledger.handed_back(job, why)


def names(job: ChunkJob | None) -> dict[str, str]:
    """The fields by which log events name a job."""
    return {"session": job.session_id, "chunk": job.chunk} if job else {}
