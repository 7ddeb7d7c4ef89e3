"""Fills the gaps of a folder of recordings: the whole fleet, run once on this machine.

Deploys the stack into the embedded cloud, uploads the recordings, lets time pass, and brings transcripts and report
home as they appear. It decides nothing that the fleet decides: scanning, scaling and stopping happen as on AWS.
"""

import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from consumer.model.whisper import choose_parallel, usable_cores
from deploy.local.cloud import EmbeddedCloud, EmbeddedCloudError, LocalStack, embedded_cloud
from deploy.local.lambdas import ScheduleClock, deployed_functions, deployed_rules
from deploy.local.notices import Notices
from deploy.local.recordings import Recordings, write_result
from deploy.local.supervisor import Supervisor
from producer.scan.gaps import SessionGaps
from shared.aws.sqs import queue_depth
from shared.clock import Clock
from shared.formats.layout import PENDING_JOBS_KEY, REPORTS_PREFIX, transcript_key
from shared.reporting.reports import BatchReport
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

Phase = Literal["cloud", "upload", "scan", "transcribe", "report"]

# Time runs this much faster for the schedules: the autoscaler's minute is a second.
SPEED = 60
_POLL_INTERVAL_SECONDS = 0.3
# A model that loads slowly and one long job fit in; a fleet that does nothing for longer is broken.
_STALL_SECONDS = 600
# Looks at an empty queue without instances after which a gap that has no result gets none any more.
_LOOKS_AT_NOTHING = 5


@dataclass(frozen=True, slots=True)
class FillOptions:
    """How to run: the model's directory and name, and how many workers at the same time."""

    model: str
    model_dir: Path
    workers: int = 1


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """One gap's end. `reason` says why a failed one failed."""

    session: SessionGaps
    chunk: str
    status: Literal["filled", "failed"]
    reason: str = ""


@dataclass(slots=True)
class FillResult:
    """What became of the gaps; unresolved ones are in neither list (the run was interrupted)."""

    chunks: list[ChunkResult] = field(default_factory=list)
    reports: list[tuple[BatchReport, Path]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def filled(self) -> list[ChunkResult]:
        return [chunk for chunk in self.chunks if chunk.status == "filled"]

    @property
    def failed(self) -> list[ChunkResult]:
        return [chunk for chunk in self.chunks if chunk.status == "failed"]


@dataclass(slots=True)
class Watcher:
    """Where a run tells how far it is; the defaults tell nobody."""

    on_phase: Callable[[Phase, str], None] = lambda _phase, _text: None
    on_upload: Callable[[int], None] = lambda _count: None
    on_chunk: Callable[[ChunkResult], None] = lambda _result: None
    on_notice: Callable[[str], None] = lambda _text: None


def stack_parameters(options: FillOptions, workspace: Path) -> dict[str, str]:
    """The template's parameters for a fleet that works off one folder: nobody waits for a long poll here."""
    # The list below is split at commas, which a path may hold and this link's may not. Transcripts give its name.
    model = workspace / re.sub(r"[^A-Za-z0-9._-]", "-", options.model)
    model.symlink_to(options.model_dir.resolve(), target_is_directory=True)
    # Every worker takes the whole machine for its own.
    cores = max(1, usable_cores() // options.workers)
    parallel = choose_parallel(0, "cpu", cores)
    worker = {
        "SCRIBEFLEET_MODEL": options.model,
        "SCRIBEFLEET_MODEL_DIR": model,
        "SCRIBEFLEET_DEVICE": "cpu",
        "SCRIBEFLEET_PARALLEL_WINDOWS": parallel,
        "SCRIBEFLEET_CPU_THREADS": max(1, cores // parallel),
        "SCRIBEFLEET_HEARTBEAT_SECONDS": 2,
        "SCRIBEFLEET_LOCK_POLL_SECONDS": 1,
        "SCRIBEFLEET_DRAIN_SECONDS": 20,
    }
    return {
        "PoolSize": str(options.workers),
        "MaxInstances": str(options.workers),
        "TargetDrainSeconds": "1",  # so that all workers asked for are at work
        "StartConfirmReads": "1",  # the embedded cloud's counts are exact
        "LongPollSeconds": "1",
        "MaxEmptyPolls": "3",
        "ScanMinAgeSeconds": "0",
        "ScanFinaliseSeconds": "10",  # one clock calls all functions, and the autoscaler's waits meanwhile
        "PowerOffCommand": "",
        "WorkerExtraEnvironment": ",".join(f"{name}={value}" for name, value in worker.items()),
    }


@dataclass(slots=True)
class _Fleet:
    """The deployed fleet, as seen from this process."""

    stack: LocalStack
    s3: "S3Client"
    sqs: "SQSClient"
    ec2: "EC2Client"
    ledger: Ledger
    notices: Notices

    @classmethod
    def of(cls, cloud: EmbeddedCloud, stack: LocalStack, clock: Clock) -> "_Fleet":
        ledger = Ledger(cloud.dynamodb(), stack.settings(), clock)
        notices = Notices(cloud.sns(), cloud.sqs(), stack.notify_topic_arn)
        return cls(stack, cloud.s3(), cloud.sqs(), cloud.ec2(), ledger, notices)

    def instances_run(self) -> bool:
        """Whether an instance is not stopped yet."""
        answer = self.ec2.describe_instances(InstanceIds=list(self.stack.instance_ids))
        return any(i["State"]["Name"] != "stopped" for r in answer["Reservations"] for i in r["Instances"])

    def jobs_left(self) -> bool:
        """Whether a job waits or is in hand."""
        urls = (self.stack.jobs_queue_url, self.stack.priority_queue_url)
        return any(queue_depth(self.sqs, url).total for url in urls)


class Fill:
    """One run over one folder.

    Args:
        logs: an existing directory for the logs of the cloud, the functions and the workers.
    """

    def __init__(
        self, recordings: Recordings, options: FillOptions, watcher: Watcher, clock: Clock, logs: Path
    ) -> None:
        self._recordings = recordings
        self._options = options
        self._watcher = watcher
        self._clock = clock
        self._logs = logs
        self._unresolved = {(s.session_path, gap.chunk): s for s in recordings.with_gaps for gap in s.gaps}
        self._scanned = False
        self.result = FillResult()

    def run(self) -> FillResult:
        """Run the fleet until every gap is filled or failed and its instances have stopped.

        Ctrl-C ends it in order: workers hand back what they have in hand, and what is done is kept.

        Raises:
            EmbeddedCloudError: a part of the fleet did not work; the text says where its log is.
        """
        try:
            with ExitStack() as parts:
                workspace = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="scribefleet-")))
                self._watcher.on_phase("cloud", "starting the embedded cloud")
                cloud = parts.enter_context(embedded_cloud(workspace, self._logs))
                fleet = _Fleet.of(cloud, cloud.deploy(stack_parameters(self._options, workspace)), self._clock)
                self._upload(fleet)
                try:
                    self._let_it_run(cloud, fleet)
                finally:
                    # Workers have ended by now, and what they did last is in the bucket.
                    self._watcher.on_phase("report", "collecting the report")
                    self._collect(fleet)
                    self._pass_on_notices(fleet)
                    self._bring_session_transcripts_home(fleet)
                    self._bring_reports_home(fleet)
        except KeyboardInterrupt:
            self.result.interrupted = True
        return self.result

    def _upload(self, fleet: _Fleet) -> None:
        self._watcher.on_phase("upload", "uploading the recordings")

        def upload(key: str) -> None:
            fleet.s3.upload_file(str(self._recordings.directory / key), fleet.stack.bucket, key)
            self._watcher.on_upload(1)

        pool = ThreadPoolExecutor(4)
        try:
            list(pool.map(upload, self._recordings.keys))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for the rest of a large folder
        self._watcher.on_phase("scan", "scanning for gaps")

    def _let_it_run(self, cloud: EmbeddedCloud, fleet: _Fleet) -> None:
        supervisor = Supervisor(cloud, self._logs)
        with ExitStack() as parts:
            parts.enter_context(supervisor.running())
            functions = parts.enter_context(deployed_functions(cloud, fleet.stack, self._logs))
            schedule = ScheduleClock(deployed_rules(cloud), functions, self._clock, SPEED, self._on_invoked)
            parts.enter_context(schedule.running())
            self._watch(fleet, supervisor, schedule)

    def _on_invoked(self, function: str, answer: dict[str, Any]) -> None:
        """Told by the clock of each invocation: the phases shown are what the fleet really does."""
        if function.endswith("-scanner") and not self._scanned:
            self._scanned = True
            self._watcher.on_phase("transcribe", f"{answer['enqueued']} gaps queued; an instance starts")

    def _watch(self, fleet: _Fleet, supervisor: Supervisor, schedule: ScheduleClock) -> None:
        last_progress = self._clock.monotonic()
        looks_at_nothing = 0
        while self._unresolved or fleet.instances_run():
            self._clock.sleep(_POLL_INTERVAL_SECONDS)
            if schedule.failure:
                raise schedule.failure
            if supervisor.gone_for_good:
                log = self._logs / f"worker-{supervisor.gone_for_good[0]}.log"
                raise EmbeddedCloudError(f"the worker keeps failing; see {log}")
            self._pass_on_notices(fleet)
            if self._collect(fleet):
                last_progress = self._clock.monotonic()
            elif self._clock.monotonic() - last_progress > _STALL_SECONDS:
                raise EmbeddedCloudError(f"no progress for {_STALL_SECONDS} s; the logs are in {self._logs}")
            over = self._scanned and not fleet.jobs_left() and not fleet.instances_run()
            looks_at_nothing = looks_at_nothing + 1 if over else 0
            if looks_at_nothing >= _LOOKS_AT_NOTHING:
                self._give_up_on_the_rest()

    def _pass_on_notices(self, fleet: _Fleet) -> None:
        for text in fleet.notices.read():
            self._watcher.on_notice(text)

    def _give_up_on_the_rest(self) -> None:
        """A job that took its worker down again and again ends on the dead-letter queue with no one to say why."""
        for (_, chunk), session in list(self._unresolved.items()):
            self._resolve(ChunkResult(session, chunk, "failed", "its job ended without a result"))

    def _collect(self, fleet: _Fleet) -> bool:
        """Bring home the transcripts that are there by now and note the gaps that failed; returns whether any was."""
        before = len(self.result.chunks)
        for session in {s.session_path: s for s in self._unresolved.values()}.values():
            for chunk, item in fleet.ledger.session_jobs(session.session_path).items():
                if (session.session_path, chunk) not in self._unresolved:
                    continue
                status = item.get("status")  # absent while the emulator is still writing a new item
                if status in {"completed", "skipped"}:
                    self._bring_home(fleet, transcript_key(session.session_path, chunk))
                    self._resolve(ChunkResult(session, chunk, "filled"))
                elif status == "failed":
                    self._resolve(ChunkResult(session, chunk, "failed", str(item["error"])))
        return len(self.result.chunks) > before

    def _resolve(self, result: ChunkResult) -> None:
        del self._unresolved[result.session.session_path, result.chunk]
        self.result.chunks.append(result)
        self._watcher.on_chunk(result)

    def _bring_home(self, fleet: _Fleet, key: str) -> tuple[bytes, Path]:
        body = fleet.s3.get_object(Bucket=fleet.stack.bucket, Key=key)["Body"].read()
        return body, write_result(self._recordings.directory, key, body)

    def _bring_session_transcripts_home(self, fleet: _Fleet) -> None:
        """Those of whole sessions. Their metadata.json stays as it is: it is the recorder's."""
        for path in (*(session.session_path for session in self._recordings.with_gaps), *self._recordings.unfinished):
            listed = fleet.s3.list_objects_v2(Bucket=fleet.stack.bucket, Prefix=f"{path}/transcription.")
            for item in listed.get("Contents", ()):
                self._bring_home(fleet, item["Key"])

    def _bring_reports_home(self, fleet: _Fleet) -> None:
        if self._scanned:
            self._bring_home(fleet, PENDING_JOBS_KEY)
        pages = fleet.s3.get_paginator("list_objects_v2").paginate(Bucket=fleet.stack.bucket, Prefix=REPORTS_PREFIX)
        for key in (item["Key"] for page in pages for item in page.get("Contents", ())):
            body, path = self._bring_home(fleet, key)
            if key.endswith(".json"):
                self.result.reports.append((BatchReport.model_validate_json(body), path))
