"""The worker's pipeline: fetch and decode ahead, transcribe, publish behind, so that the model never waits for AWS.

    accept -> prepare (pool) -> plan (a thread) -> transcribe (as many threads as the model takes) -> publish (pool)

Everything is bounded: messages in flight by `InFlight.room`, windows by the planner, which waits while enough are
ready. `consumer.jobs.handler` has the steps of a job, `consumer.windows.selection` decides which jobs share a window.
Every accepted message ends exactly once: done, dead-lettered or released.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue

import structlog

from consumer.jobs.handler import JobHandler
from consumer.jobs.stages import ChunkTranscription, JobRecord, Message, PreparedJob
from consumer.lifecycle.gate import Gate
from consumer.lifecycle.stop_request import StopRequest
from consumer.model.registry import Models
from consumer.model.transcriber import Aborted, Transcriber, TranscriberBrokenError, Transcription
from consumer.run.in_flight import InFlight, Intake
from consumer.run.results import JobEnded, ModelWorked, Result
from consumer.run.threads import Threads
from consumer.run.utilization import BusyMeter
from consumer.sessions.audio import SessionAudio
from consumer.sessions.hints import SessionHints
from consumer.windows.plan import split_by_chunk
from consumer.windows.selection import ChunkRef, QueuedJob, WindowSelector
from consumer.windows.task import Task, TaskMaker
from shared.clock import Clock
from shared.errors import PermanentJobError
from shared.formats.messages import ChunkJob, parse_job
from shared.settings import Settings

log = structlog.get_logger()


class Pipeline:
    """Threads and pools that bring every accepted message to an end.

    Attributes:
        results: what was done, for the thread that counts it. Released jobs are not among it.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        handler: JobHandler,
        models: Models,
        audio: SessionAudio,
        hints: SessionHints,
        gate: Gate,
        stop: StopRequest,
    ) -> None:
        self._clock = clock
        self._handler = handler
        self._models = models
        self._audio = audio
        self._hints = hints
        self._gate = gate
        self._stop = stop
        self._settings = settings
        self._selector = WindowSelector.from_settings(settings)
        self._threads = Threads(settings.io_threads, self._on_defect)
        self.results: SimpleQueue[Result] = SimpleQueue()
        self.meter = BusyMeter(clock, lambda seconds: self.results.put(ModelWorked(seconds)))
        self._in_flight = InFlight(settings)
        self._changed = self._in_flight.changed
        # So that each transcribing thread finds its next batch ready.
        self._max_ready = models.default.parallel * settings.batch_windows
        self._ready: list[Task] = []
        self._waiting: list[QueuedJob] = []
        self._preparing: dict[str, ChunkRef | None] = {}  # by receipt handle; `None` for a bad message
        self._at_work: set[str] = set()  # keys of the transcripts to come
        self._settled = True
        self._closing = False
        self._broken = False
        self._defective = False
        self._choosing_model = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work for as long as the block lasts. Its end waits for jobs in flight, and releases them if it raised."""
        tasks = TaskMaker(self._selector, self._audio, self._hints, self._settings.language, self._threads.pool)
        self._threads.start("plan", self._plan_windows, tasks)
        for _ in range(self._models.default.parallel):
            self._threads.start("transcribe", self._transcribe_windows)
        try:
            yield
        except BaseException:
            self._gate.close()
            raise
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._threads.join()

    # --- for the thread that receives

    def intake(self) -> Intake:
        """How many messages to receive now, and whether to wait for them."""
        in_flight, free = self._in_flight.count, self._in_flight.room()
        room = self._handler.room(free, idle=in_flight == 0)
        if free and not room:
            self.accept([])
        return Intake(room, in_flight, long_poll=self._settled)

    def receive(self, most: int, *, wait: bool) -> list[Message]:
        """Receive messages, to be accepted next. Raises what boto3 raises.

        Args:
            wait: for a long poll when there are none.
        """
        return self._handler.receive(most, wait=wait)

    def accept(self, messages: Sequence[Message]) -> None:
        """Start work on received messages.

        More may follow at once, so windows wait to become full. After an empty list they no longer wait.
        """
        with self._changed:
            self._in_flight.add(len(messages))
            self._preparing |= {message.receipt_handle: _place(message, self._settings.bucket) for message in messages}
            self._settled = not messages
        for message in messages:
            self._threads.submit(self._prepare, message)

    def wait(self, seconds: float, *, below: int = 1) -> bool:
        """Wait until fewer messages than `below` are in flight or the pipeline is broken, `seconds` at most.

        Returns:
            Whether fewer are in flight.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight.count < below or self._broken, seconds)
            return self._in_flight.count < below

    @property
    def idle(self) -> bool:
        """Whether no message is in flight. All results are in `results` then."""
        return self._in_flight.count == 0

    @property
    def broken(self) -> bool:
        """Whether the process should be restarted. All messages in flight are being released then."""
        return self._broken

    # --- prepare

    def _prepare(self, message: Message) -> None:
        outcome = self._handler.prepare(message) if self._gate.is_open() else message
        with self._changed:
            del self._preparing[message.receipt_handle]
            if isinstance(outcome, PreparedJob) and outcome.job.transcript_key not in self._at_work:
                self._at_work.add(outcome.job.transcript_key)
                priority = message.queue_url == self._settings.priority_queue_url
                self._waiting.append(QueuedJob(outcome, priority))
                self._changed.notify_all()
                return
        if isinstance(outcome, PreparedJob):
            # Delivered or queued twice: when it comes back, its transcript exists, and the job is skipped.
            self._handler.release([message], seconds=int(self._settings.retry_backoff_seconds))
        elif isinstance(outcome, Message):
            self._handler.release([message])
        self._ended([outcome if isinstance(outcome, JobRecord) else None])

    # --- plan

    def _plan_windows(self, tasks: TaskMaker) -> None:
        while jobs := self._next_jobs():
            if not self._gate.is_open():
                self._hand_back(jobs)
                continue
            try:
                task = tasks.make(jobs)
            except Exception as error:  # noqa: BLE001 - `failed` logs what it does not know
                self._failed(jobs, error)
                continue
            with self._changed:
                self._waiting[:0] = [each for each in jobs if each not in task.jobs]
                self._changed.wait_for(lambda: len(self._ready) < self._max_ready or self._finished())
                self._ready.append(task)
                self._changed.notify_all()

    def _next_jobs(self) -> list[QueuedJob]:
        """Waiting jobs to make a window of; none when the pipeline ends."""
        with self._changed:
            while not self._finished():
                settled = self._settled or self._closing or not self._in_flight.room()
                preparing = [place for place in self._preparing.values() if place]
                if jobs := self._selector.jobs(self._waiting, preparing, settled=settled):
                    self._waiting = [each for each in self._waiting if each not in jobs]
                    return jobs
                self._changed.wait()
        return []

    def _finished(self) -> bool:
        return self._closing and (self.idle or self._defective)

    # --- transcribe

    def _transcribe_windows(self) -> None:
        while batch := self._next_batch():
            if self._gate.is_open():
                self._transcribe(batch)
            else:
                self._hand_back([job for task in batch for job in task.jobs])

    def _next_batch(self) -> list[Task]:
        """The next window, and others that the model can decode with it; none when the pipeline ends."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._ready) or self._finished())
            batch = [task for task in self._ready if task.goes_with(self._ready[0])][: self._settings.batch_windows]
            self._ready = [task for task in self._ready if task not in batch]
            self._changed.notify_all()
            return batch

    def _transcribe(self, batch: Sequence[Task]) -> None:
        jobs = [job for task in batch for job in task.jobs]
        # So that the next window does not wait for a look at the lock.
        self._threads.submit(self._gate.refresh)
        began = self._clock.monotonic()
        try:
            transcriber = self._transcriber(batch[0])
            for job in jobs:
                self._handler.begin(job.prepared)
            with self.meter.working():
                heard = transcriber.transcribe([task.speech for task in batch], should_abort=self._stop.must_abort)
        except TranscriberBrokenError as error:
            log.error("transcriber_broken", error=str(error))
            self._break()
            self._broken_by(jobs, error)
        except (PermanentJobError, Aborted) as error:
            self._failed(jobs, error)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed_together(batch, error)
        else:
            seconds = self._clock.monotonic() - began
            self._in_flight.worked(seconds / self._models.default.parallel, len(jobs))
            for task, transcription in zip(batch, heard, strict=True):
                log.info("window_transcribed", **task.described(), seconds=round(seconds / len(batch), 3))
                self._split_by_chunk(task, transcription, transcriber)

    def _transcriber(self, task: Task) -> Transcriber:
        with self._choosing_model:
            return self._models.get(task.model, task.speech.language)

    def _split_by_chunk(self, task: Task, said: Transcription, transcriber: Transcriber) -> None:
        heard = split_by_chunk(task.window, said.segments, said.suppressed)
        for job in task.jobs:
            spoken = ChunkTranscription(
                heard[job.prepared.number],
                said.language,
                said.language_probability,
                transcriber.model_name,
                transcriber.device,
            )
            self._threads.submit(self._complete, job.prepared, spoken)

    # --- how jobs end

    def _complete(self, prepared: PreparedJob, spoken: ChunkTranscription) -> None:
        self._ended([self._handler.complete(prepared, spoken)], [prepared.job])

    def _failed_together(self, batch: Sequence[Task], error: Exception) -> None:
        """Retry each job alone: one of them may be the cause."""
        jobs = [job for task in batch for job in task.jobs]
        if len(jobs) == 1:
            self._failed(jobs, error)
            return
        log.warning("window_failed", error=type(error).__name__, jobs=len(jobs), then="each job is tried alone")
        with self._changed:
            self._waiting[:0] = [replace(job, alone=True) for job in jobs]
            self._changed.notify_all()

    def _failed(self, jobs: Sequence[QueuedJob], error: Exception) -> None:
        ended = [self._handler.failed(job.prepared.message, job.prepared.job, error) for job in jobs]
        self._ended(ended, [job.prepared.job for job in jobs])
        if self._handler.broken:
            self._break()

    def _broken_by(self, jobs: Sequence[QueuedJob], error: TranscriberBrokenError) -> None:
        """Release the jobs that the model had when it broke, or dead-letter one that it had alone too often.

        The model passed its self-test in this process, so such a job may be the cause. It would break one process after
        the other, until SQS moved it to the dead-letter queue without a reason.
        """
        if len(jobs) > 1 or jobs[0].prepared.message.receive_count < self._settings.max_receives:
            self._hand_back(jobs)
            return
        self._failed(
            jobs, PermanentJobError("attempts-exhausted", f"the model broke while it heard this alone: {error}")
        )

    def _break(self) -> None:
        """Begin no further work, and release what is in flight: the process has to end."""
        self._gate.close()
        with self._changed:
            self._broken = True
            self._changed.notify_all()

    def _on_defect(self) -> None:
        """A stage or step raised. The messages that it held come back when their leases end."""
        self._defective = True
        self._break()

    def _hand_back(self, jobs: Sequence[QueuedJob]) -> None:
        self._handler.hand_back([job.prepared for job in jobs])
        self._ended([None] * len(jobs), [job.prepared.job for job in jobs])

    def _ended(self, records: Sequence[JobRecord | None], jobs: Sequence[ChunkJob] = ()) -> None:
        # Before the messages leave the count, so that an idle pipeline has all its results in the queue.
        now = self._clock.now()
        for record in records:
            if record:
                self.results.put(JobEnded(record, now))
        with self._changed:
            self._at_work.difference_update(job.transcript_key for job in jobs)
            self._in_flight.remove(len(records))


def _place(message: Message, bucket: str) -> ChunkRef | None:
    try:
        job = parse_job(message.body, bucket=bucket)
    except PermanentJobError:
        return None  # `prepare` dead-letters it
    return ChunkRef(job.session_path, int(job.chunk))
