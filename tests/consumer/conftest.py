"""A worker over the test cloud, with real audio and a transcriber that says what a test tells it to."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from botocore.awsrequest import AWSResponse, HTTPHeaders

from consumer.host.imds import InstanceIdentity
from consumer.host.instance import WorkerInstance
from consumer.jobs.handler import JobHandler
from consumer.jobs.leases import LeaseKeeper
from consumer.jobs.queue import JobQueue
from consumer.lifecycle.gate import Gate
from consumer.lifecycle.heartbeat import HeartbeatSender
from consumer.lifecycle.stop_request import StopRequest
from consumer.media.decode import SAMPLE_RATE
from consumer.model.registry import Models
from consumer.model.transcriber import Aborted, Speech, Transcriber, Transcription
from consumer.run.loop import Worker
from consumer.run.metrics import WorkerMetrics
from consumer.run.pipeline import Pipeline
from consumer.run.reporter import Reporter
from consumer.run.session_finisher import SessionFinisher
from consumer.sessions.audio import SessionAudio
from consumer.sessions.hints import SessionHints
from shared.aws.retrying import Retrier
from shared.clock import iso
from shared.formats.messages import ChunkJob, chunk_job
from shared.formats.transcripts import Segment, Word
from shared.reporting.notify import Notifier, nobody
from shared.setting_groups import ModelSettings
from shared.settings import Settings
from shared.state.instances import STARTED_AT_TAG
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

AUDIO = (Path(__file__).parents[2] / "samples/two_cities/restart/chunk-010.webm").read_bytes()


@dataclass(slots=True)
class ScriptedTranscriber:
    """Hears the same two words in every second of audio, after whatever a test wants to happen meanwhile."""

    model_name: str = "scripted"
    device: str = "cpu"
    parallel: int = 1
    languages: frozenset[str] = frozenset({"en"})
    during: Callable[[], None] = lambda: None
    heard: Callable[[Speech], Transcription] = lambda speech: hello_you(len(speech.samples) / SAMPLE_RATE)
    windows: list[Speech] = field(default_factory=list)
    together: list[int] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.windows)

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        self.windows += speeches
        self.together.append(len(speeches))
        self.during()
        if should_abort():
            raise Aborted("asked to")
        return [self.heard(speech) for speech in speeches]


def hello_you(seconds: float) -> Transcription:
    """The same two words in every second."""
    words = tuple(
        Word(word=word, start=at + offset, end=at + offset + 0.2, probability=0.9)
        for at in range(math.ceil(seconds))
        for word, offset in ((" hello", 0.1), (" you", 0.4))
        if at + offset + 0.2 <= seconds
    )
    text = "".join(word.word for word in words).strip()
    segment = Segment(text=text, start=words[0].start, end=words[-1].end, words=words)
    return Transcription(language="en", language_probability=1.0, segments=(segment,))


@dataclass(slots=True)
class Crew:
    """Everything of one worker process, over the test cloud and the test clock."""

    cloud: "Cloud"
    clock: "HookedClock"
    settings: Settings
    instance_id: str | None = None
    transcriber: ScriptedTranscriber = field(default_factory=ScriptedTranscriber)
    until_empty: bool = True
    hung: list[bool] = field(default_factory=list)
    notifier: Notifier = field(default_factory=nobody)
    metrics: WorkerMetrics | None = None
    handler: JobHandler = field(init=False)
    worker: Worker = field(init=False)
    heart: HeartbeatSender = field(init=False)
    reporter: Reporter = field(init=False)
    queue: JobQueue = field(init=False)
    ledger: Ledger = field(init=False)
    retrier: Retrier = field(init=False)
    audio: SessionAudio = field(init=False)
    leases: LeaseKeeper = field(init=False)
    lock: SessionLock = field(init=False)
    stop: StopRequest = field(init=False)
    models: Models = field(init=False)
    load: Callable[[ModelSettings], Transcriber] = field(init=False)
    pipeline: Pipeline = field(init=False)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        s3 = self.cloud.s3
        self.queue = JobQueue(self.cloud.sqs, self.settings, self.clock)
        self.ledger = Ledger(self.cloud.dynamodb, self.settings, self.clock)
        self.leases = LeaseKeeper(self.queue, self.settings, self.clock, lambda: self.hung.append(True))
        self.lock = SessionLock(self.cloud.s3, self.settings.bucket, self.clock, timedelta(minutes=30))
        self.load = lambda _: self.transcriber
        self.stop = StopRequest(self.clock, self.settings.drain_seconds)
        self.retrier = Retrier(self.settings.retry_attempts, self.clock)
        self.audio = SessionAudio(s3, self.settings, self.retrier)
        self.handler = JobHandler(
            self.worker_id,
            self.settings,
            self.clock,
            s3,
            self.queue,
            self.leases,
            self.ledger,
            self.audio,
            self.retrier,
        )
        instance = None
        if self.instance_id:
            instance = WorkerInstance(
                self.cloud.ec2, InstanceIdentity(self.instance_id, "g4dn.xlarge"), self.settings.power_off_command
            )
        self.models = Models(self.settings, self._load)
        self.gate = Gate(self.lock.read if self.settings.lock_enabled else None, self.stop, self.clock)
        self.heart = HeartbeatSender(self.ledger, self.worker_id, self.clock, self.settings.heartbeat_seconds)
        self.reporter = Reporter(
            self.settings, self.clock, s3, self.retrier, self.notifier, self.gate, instance, self.metrics
        )
        self.reporter.record.model_load_seconds = 1.5
        self.pipeline = self._pipeline()
        finisher = SessionFinisher.from_settings(
            s3, self.settings, self.clock, self.notifier, lambda: self.gate.look().held
        )
        self.worker = Worker(
            self.settings, self.pipeline, finisher, self.gate, self.stop, self.heart, instance, self.reporter
        )

    @property
    def worker_id(self) -> str:
        return self.instance_id or "host-1"

    def _pipeline(self) -> Pipeline:
        hints = SessionHints(self.cloud.s3, self.settings.bucket, self.retrier)
        return Pipeline(self.settings, self.clock, self.handler, self.models, self.audio, hints, self.gate, self.stop)

    def _load(self, wanted: ModelSettings) -> Transcriber:
        return self.load(wanted)

    # --- what a test puts in

    def job(
        self, chunk: str = "001", *, audio: bytes = AUDIO, user: str = "alice", session: str = "s1", **more: Any
    ) -> ChunkJob:
        """Stores a chunk and queues its job."""
        key = self.cloud.put_audio(user, session, chunk, body=audio)
        job = chunk_job(bucket=self.settings.bucket, audio_key=key, audio_size=len(audio), enqueued_at=self.clock.now())
        job = job.model_copy(update=more)
        self.send(job.to_json())
        return job

    def send(self, body: str, queue_url: str | None = None) -> None:
        self.cloud.sqs.send_message(QueueUrl=queue_url or self.settings.jobs_queue_url, MessageBody=body)

    def run(self) -> None:
        """Be a worker until it ends."""
        self.worker.run(until_empty=self.until_empty)

    def work(self) -> None:
        """Receive once, and bring every job received to an end."""
        pipeline = self.pipeline = self._pipeline()
        with pipeline.running():
            pipeline.accept(pipeline.receive(10, wait=False))
            pipeline.accept([])
        self.reporter.count(pipeline.results)

    # --- what a test looks at

    def transcript(self, job: ChunkJob) -> dict[str, Any]:
        body = self.cloud.s3.get_object(Bucket=job.bucket, Key=job.transcript_key)["Body"].read()
        content: dict[str, Any] = json.loads(body)
        return content

    def before_each_poll(self, then: Callable[[], None]) -> None:
        """Call `then` before each receive from the jobs queue."""
        jobs_queue = self.settings.jobs_queue_url.rsplit("/", 1)[-1]

        def hook(params: dict[str, Any], **_: Any) -> None:
            if str(json.loads(params["body"])["QueueUrl"]).endswith(f"/{jobs_queue}"):
                then()

        self.cloud.sqs.meta.events.register("before-call.sqs.ReceiveMessage", hook)

    def ledger_status(self, job: ChunkJob) -> str:
        return str(self.ledger.session_jobs(job.session_path)[job.chunk]["status"])

    def waiting(self) -> tuple[int, int]:
        """Visible and in-flight messages of the jobs queue."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.cloud.sqs.get_queue_attributes(QueueUrl=self.settings.jobs_queue_url, AttributeNames=names)
        return int(counts["Attributes"][names[0]]), int(counts["Attributes"][names[1]])

    def dead_letters(self) -> list[tuple[str, str]]:
        """The reason and the body of each dead letter."""
        answer = self.cloud.sqs.receive_message(
            QueueUrl=self.settings.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return [(m["MessageAttributes"]["reason"]["StringValue"], m["Body"]) for m in answer.get("Messages", [])]

    def reports(self) -> list[dict[str, Any]]:
        listed = self.cloud.s3.list_objects_v2(Bucket=self.settings.bucket, Prefix="batch-reports/").get("Contents", [])
        bodies = (
            self.cloud.s3.get_object(Bucket=self.settings.bucket, Key=item["Key"])["Body"].read()
            for item in listed
            if item["Key"].endswith(".json")
        )
        return [json.loads(body) for body in bodies]

    def heartbeat_state(self) -> str:
        return self.ledger.heartbeats([self.worker_id]).valid[self.worker_id].state


MakeCrew = Callable[..., Crew]


class HookedClock:
    """A clock that stands still but for sleeps, and tells a test of each of them."""

    def __init__(self, clock: "FakeClock") -> None:
        self._clock = clock
        self.on_sleep: Callable[[], None] = lambda: None
        self.now = clock.now
        self.monotonic = clock.monotonic
        self.advance = clock.advance

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        self.on_sleep()


Refuse = Callable[..., Callable[[], int]]


@pytest.fixture
def refuse() -> Refuse:
    """Makes a client's operation fail, for ever or some times; gives a function that says how often it did."""

    def make(client: Any, operation: str, code: str, status: int, times: int = 1_000_000) -> Callable[[], int]:
        failed = 0

        def answer(**_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
            nonlocal failed
            if failed >= times:
                return None
            failed += 1
            error = {"Code": code, "Message": "refused by the test"}
            return AWSResponse("", status, HTTPHeaders(), b""), {
                "Error": error,
                "ResponseMetadata": {"HTTPStatusCode": status},
            }

        client.meta.events.register(f"before-call.{operation}", answer)
        return lambda: failed

    return make


OnLog = Callable[[Callable[[dict[str, Any]], None]], None]


@pytest.fixture
def on_log(monkeypatch: pytest.MonkeyPatch) -> OnLog:
    """Makes something happen at log events of a worker's run."""

    def make(then: Callable[[dict[str, Any]], None]) -> None:
        def look(_logger: Any, _method: str, event: Any) -> Any:
            then(event)
            raise structlog.DropEvent

        # Of its own, because what an earlier test configured may be in force.
        everything = structlog.make_filtering_bound_logger(logging.DEBUG)
        logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[look], wrapper_class=everything)
        monkeypatch.setattr("consumer.run.loop.log", logger)

    return make


@pytest.fixture
def crew(cloud: "Cloud", clock: "FakeClock") -> MakeCrew:
    """Makes a worker; settings can be changed by name."""

    def make(
        *,
        instance_id: str | None = None,
        transcriber: ScriptedTranscriber | None = None,
        until_empty: bool = True,
        notifier: Notifier | None = None,
        metrics: WorkerMetrics | None = None,
        **settings: Any,
    ) -> Crew:
        hooked = HookedClock(clock)
        return Crew(
            cloud,
            hooked,
            cloud.settings_with(**settings),
            instance_id,
            transcriber or ScriptedTranscriber(),
            until_empty,
            notifier=notifier or nobody(),
            metrics=metrics,
        )

    return make


@pytest.fixture
def instance(cloud: "Cloud", clock: "FakeClock") -> Callable[..., str]:
    """Makes a running instance of the pool, started by the autoscaler or (`owned=False`) by someone else."""

    def make(*, owned: bool, started_seconds_ago: float = 0) -> str:
        made = cloud.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        if owned:
            tag: Any = {"Key": STARTED_AT_TAG, "Value": iso(clock.now() - timedelta(seconds=started_seconds_ago))}
            cloud.ec2.create_tags(Resources=[made], Tags=[tag])
        return str(made)

    return make


@pytest.fixture
def state_of(cloud: "Cloud") -> Callable[[str], str]:
    """The state of an instance, as EC2 says it."""

    def state(instance_id: str) -> str:
        answer = cloud.ec2.describe_instances(InstanceIds=[instance_id])
        return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])

    return state
