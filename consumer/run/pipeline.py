"""The worker's stages: fetch and decode ahead, transcribe, publish behind, so that the model never waits for AWS.

    accept -> prepare (pool) -> plan (a thread) -> transcribe (as many threads as the model takes) -> publish (pool)

All is bounded: the messages in hand by `InFlight.room`, the windows ready for the model by a queue at which the planner
waits. What happens to one job is `consumer.jobs.handler`'s business and which jobs share a window
`consumer.windows.selection`'s; this is the order of things. Every message that is accepted ends exactly once: done,
dead-lettered or given back.
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
    """Works off messages.

    Attributes:
        results: what was done, for the thread that counts it; jobs that went back are not among it.
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
        self._chooser = WindowSelector.from_settings(settings)
        self._threads = Threads(settings.io_threads, self._on_defect)
        self.results: SimpleQueue[Result] = SimpleQueue()
        self.meter = BusyMeter(clock, lambda seconds: self.results.put(ModelWorked(seconds)))
        self._in_flight = InFlight(settings)
        self._changed = self._in_flight.changed
        # What each thread goes on with at once, beside the window that is being planned.
        self._max_ready = models.default.parallel * settings.batch_windows
        self._ready: list[Task] = []
        self._waiting: list[QueuedJob] = []
        self._preparing: dict[str, ChunkRef | None] = {}  # by receipt; `None` for a message that is no job
        self._at_work: set[str] = set()  # the transcripts to come
        self._settled = True
        self._closing = False
        self._broken = False
        self._defective = False
        self._choosing_model = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work for as long as the block lasts. At its end what is in hand is finished, or given back if it raised."""
        tasks = TaskMaker(self._chooser, self._audio, self._hints, self._settings.language, self._threads.pool)
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
        """Start work on what a receive brought.

        After messages more may follow at once, so windows wait to become full; after none they do not.
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
        """Whether no message is in flight; all results of those that were are in `results` then."""
        return self._in_flight.count == 0

    @property
    def broken(self) -> bool:
        """Whether the process should end and be started afresh. All that was in hand is given back then."""
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
            # Delivered twice, or queued twice: by the time it comes back, its transcript is there and it is skipped.
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
        """Jobs to make a window of, taken out of those that wait; none when the pipeline ends."""
        with self._changed:
            while not self._finished():
                settled = self._settled or self._closing or not self._in_flight.room()
                preparing = [place for place in self._preparing.values() if place]
                if jobs := self._chooser.jobs(self._waiting, preparing, settled=settled):
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
        """The next window, with those that the model may decode at the same time; none when the pipeline ends."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._ready) or self._finished())
            batch = [task for task in self._ready if task.goes_with(self._ready[0])][: self._settings.batch_windows]
            self._ready = [task for task in self._ready if task not in batch]
            self._changed.notify_all()
            return batch

    def _transcribe(self, batch: Sequence[Task]) -> None:
        jobs = [job for task in batch for job in task.jobs]
        # So that the next window need not wait for a look at the lock.
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
        """Of several jobs one may be to blame: each is tried once more, alone."""
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
        """The jobs that the model had when it broke go back; one that it had alone may be what breaks it each time.

        The model has heard its self-test in this process. Without an end such a job would break process after process,
        until SQS took it away with no reason.
        """
        if len(jobs) > 1 or jobs[0].prepared.message.receive_count < self._settings.max_receives:
            self._hand_back(jobs)
            return
        self._failed(
            jobs, PermanentJobError("attempts-exhausted", f"the model broke while it heard this alone: {error}")
        )

    def _break(self) -> None:
        """The process has to end: nothing begins any more, and what is in hand goes back."""
        self._gate.close()
        with self._changed:
            self._broken = True
            self._changed.notify_all()

    def _on_defect(self) -> None:
        """A stage or a step is gone, and with it what it held: that comes back when its leases end."""
        self._defective = True
        self._break()

    def _hand_back(self, jobs: Sequence[QueuedJob]) -> None:
        self._handler.hand_back([job.prepared for job in jobs])
        self._ended([None] * len(jobs), [job.prepared.job for job in jobs])

    def _ended(self, records: Sequence[JobRecord | None], jobs: Sequence[ChunkJob] = ()) -> None:
        # Before they leave the count: who sees the pipeline idle finds the results of all its jobs.
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
        return None  # which its preparation will find, too
    return ChunkRef(job.session_path, int(job.chunk))
