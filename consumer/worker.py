"""The whole life of one job: check, fetch, decode, transcribe, publish, delete, or say where it went instead.

Order decides that nothing is lost: the message is deleted last, after its transcript is readable in S3 or after it
is on the dead-letter queue with its reason. Which jobs are taken, and when a worker ends, is `consumer.run`'s business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from consumer.audio import DecodedAudio, decode
from consumer.jobqueue import JobQueue, Message
from consumer.leases import LeaseKeeper
from consumer.publish import existing_transcript, fetch_audio, publish
from consumer.record import JobRecord
from consumer.stopping import StopRequest
from consumer.transcriber import Aborted, Transcriber, Transcription
from shared.clock import Clock, iso
from shared.errors import AWS_ERRORS, LeaseLostError, PermanentJobError, TransientError, error_code, is_retryable
from shared.ledger import Ledger
from shared.messages import ChunkJob, parse_job
from shared.reports import ReportError
from shared.settings import Settings
from shared.transcripts import ChunkTranscript

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

T = TypeVar("T")

# Three unexpected errors in a row are no longer one bad input: a CUDA error, for one, poisons the loaded model until
# the process ends.
_MOST_UNEXPECTED = 3
_LONGEST_BACKOFF_SECONDS = 900


class WorkerBrokenError(Exception):
    """Job after job fails in ways that nothing here knows: the process should end and be started afresh."""


@dataclass(slots=True)
class Worker:
    """Does jobs, one at a time."""

    worker_id: str
    settings: Settings
    clock: Clock
    s3: "S3Client"
    queue: JobQueue
    leases: LeaseKeeper
    ledger: Ledger
    transcriber: Transcriber
    stop: StopRequest
    _unexpected: int = 0

    def handle(self, message: Message) -> JobRecord | None:
        """Bring one held message to an end.

        Returns:
            What became of the job; `None` when it went back to the queue or to another worker.

        Raises:
            WorkerBrokenError: the last few jobs all failed unexpectedly.
        """
        self.leases.begin(message)
        job: ChunkJob | None = None
        with structlog.contextvars.bound_contextvars(message_id=message.message_id, attempt=message.receives):
            try:
                job = parse_job(message.body, bucket=self.settings.bucket)
                record = self._do(job, message)
                self.leases.drop([message])
                self._retrying(self.queue.delete, message)
            except PermanentJobError as error:
                return self._dead_letter(message, job, error)
            except Aborted:
                self._give_back(message, job, "aborted: the worker was asked to stop", seconds=0)
                return None
            except LeaseLostError:
                # Another worker may have the job: whatever is known here is too late to be of use.
                self.leases.drop([message])
                log.warning("lease_lost_result_dropped")
                return None
            except (TransientError, *AWS_ERRORS) as error:
                return self._retry_later(message, job, error)
            except Exception as error:
                log.exception("job_failed_unexpectedly", error=type(error).__name__)
                return self._retry_unexpected(message, job, error)
            self._unexpected = 0
            return record

    # --- the job

    def _do(self, job: ChunkJob, message: Message) -> JobRecord:
        existing = self._retrying(existing_transcript, self.s3, job)
        if existing and existing.satisfies(job):
            return self._skip(job)
        self.ledger.processing(job, self.worker_id, message.receives)
        audio = decode(self._retrying(fetch_audio, self.s3, job), chunk_seconds=self.settings.chunk_seconds)
        began = self.clock.monotonic()
        transcription = self.transcriber.transcribe(audio, should_abort=self.stop.must_abort)
        work_seconds = self.clock.monotonic() - began
        transcript = self._transcript(job, audio, transcription)
        self.leases.check(message)
        if not self._retrying(publish, self.s3, job, transcript, existing):
            return self._skip(job)
        self.ledger.finished(job, "completed")
        log.info("chunk_transcribed", **_names(job), audio_seconds=round(audio.seconds, 2), words=transcript.word_count)
        return JobRecord(job, "completed", audio_seconds=audio.seconds, work_seconds=work_seconds)

    def _skip(self, job: ChunkJob) -> JobRecord:
        self.ledger.finished(job, "skipped")
        log.info("chunk_skipped", **_names(job), why="its transcript exists")
        return JobRecord(job, "skipped")

    def _transcript(self, job: ChunkJob, audio: DecodedAudio, transcription: Transcription) -> ChunkTranscript:
        segments = transcription.segments
        return ChunkTranscript(
            session_id=job.session_id,
            user_id=job.user_id,
            chunk_index=int(job.chunk),
            audio_key=job.audio_key,
            language=transcription.language,
            language_probability=transcription.language_probability,
            duration=round(audio.seconds, 3),
            model=self.transcriber.model_name,
            device=self.transcriber.device,
            segments=segments,
            segment_count=len(segments),
            word_count=sum(len(segment.words) for segment in segments),
            text=" ".join(segment.text.strip() for segment in segments),
            uploaded_at=iso(self.clock.now()),
            partial_audio=audio.partial,
        )

    # --- the ways in which a job does not end well

    def _dead_letter(self, message: Message, job: ChunkJob | None, error: PermanentJobError) -> JobRecord | None:
        names = _names(job) if job else {}
        log.warning("job_dead_lettered", **names, reason=error.reason, detail=error.detail)
        self.leases.drop([message])
        try:
            self._retrying(self.queue.dead_letter, message, error, self.worker_id)
        except AWS_ERRORS as away:
            # Still on its queue, so not lost: it comes back when the lease ends and is dead-lettered then.
            log.error("dead_letter_failed", error=error_code(away) or type(away).__name__)
            return None
        if job:
            self.ledger.finished(job, "failed", error=str(error))
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
        """Redelivery with growing delay, then the dead-letter queue."""
        what = error_code(error) or type(error).__name__
        if message.receives >= self.settings.max_receives:
            exhausted = PermanentJobError("attempts-exhausted", f"failed {message.receives} times, last with {what}")
            return self._dead_letter(message, job, exhausted)
        backoff = self.settings.retry_backoff_seconds * 2 ** (message.receives - 1)
        log.warning("job_will_be_retried", error=what, in_seconds=min(backoff, _LONGEST_BACKOFF_SECONDS))
        self._give_back(message, job, what, seconds=int(min(backoff, _LONGEST_BACKOFF_SECONDS)))
        return None

    def _retry_unexpected(self, message: Message, job: ChunkJob | None, error: Exception) -> JobRecord | None:
        record = self._retry_later(message, job, error)
        self._unexpected += 1
        if self._unexpected >= _MOST_UNEXPECTED:
            raise WorkerBrokenError(f"{self._unexpected} unexpected errors in a row") from error
        return record

    def _give_back(self, message: Message, job: ChunkJob | None, why: str, *, seconds: int) -> None:
        self.give_back([message], seconds=seconds)
        if job:
            self.ledger.handed_back(job, why)

    def give_back(self, messages: list[Message], *, seconds: int = 0) -> None:
        """Let others have the messages, in `seconds`. When SQS is away they come back as their leases end."""
        if not messages:
            return
        self.leases.drop(messages)
        try:
            self._retrying(self.queue.set_visibility, messages, seconds)
        except AWS_ERRORS as error:
            log.warning("jobs_not_given_back", jobs=len(messages), error=error_code(error) or type(error).__name__)
            return
        log.info("jobs_given_back", jobs=len(messages), for_seconds=seconds)

    def _retrying(self, call: Callable[..., T], *arguments: object) -> T:
        """The call, tried again 1, 2, 4 s (and jitter) apart while its error says that this can help."""
        retrying = Retrying(
            retry=retry_if_exception(is_retryable),
            stop=stop_after_attempt(self.settings.retry_attempts),
            wait=wait_exponential(multiplier=1, max=8) + wait_random(0, 0.5),
            sleep=self.clock.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(call, *arguments)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.debug("retrying", call=getattr(state.fn, "__name__", "call"), error=type(error).__name__)


def _names(job: ChunkJob) -> dict[str, str]:
    return {"session": job.session_id, "chunk": job.chunk}
