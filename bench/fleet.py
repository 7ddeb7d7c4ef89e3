"""Runs the real worker over sessions in the embedded cloud, and reads what it did from outside.

The worker is a black box here: a process that is started, logs events, and leaves transcripts in the bucket.
Its jobs come from the real scanner. Nothing in here decides what is good.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.children import MeasurementError, run_python
from bench.direct import model_directory
from bench.direct_child import COMPUTE_TYPE
from deploy.local.cloud import EmbeddedCloud, LocalStack, embedded_cloud
from deploy.local.processes import clean_environment, end, start_tethered
from shared.aws.sqs import queue_depth
from shared.formats.layout import REPORTS_PREFIX, transcript_key

MODEL = "tiny.en"
_UPLOADS = 8
_POLL_INTERVAL_SECONDS = 0.1
_SCAN_SECONDS = 120
_WORKER_SECONDS = 900
_SETTINGS = {
    "SCRIBEFLEET_MODEL": MODEL,
    "SCRIBEFLEET_DEVICE": "cpu",
    "SCRIBEFLEET_COMPUTE_TYPE": COMPUTE_TYPE,
    "SCRIBEFLEET_LOG_FORMAT": "json",
    "SCRIBEFLEET_LONG_POLL_SECONDS": "1",
    "SCRIBEFLEET_MAX_EMPTY_POLLS": "2",
    "SCRIBEFLEET_SCAN_MIN_AGE_SECONDS": "0",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a worker's log: its name, when (seconds since the epoch), and all of it."""

    name: str
    at: float
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Memory:
    """A process's resident memory in bytes over time: (chunks done by then, resident, peak)."""

    samples: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """The most it ever had, by the kernel's own count."""
        return max((peak for _, _, peak in self.samples), default=0)

    def highest(self, first_chunk: int, last_chunk: float = float("inf")) -> int:
        """The most that was seen while the number of chunks done was in this range; 0 when it never was."""
        seen = (resident for done, resident, _ in self.samples if first_chunk <= done <= last_chunk)
        return max(seen, default=0)


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """One run of the worker, from its log and its report."""

    events: list[Event]
    report: Mapping[str, Any]
    memory: Memory

    def named(self, *names: str) -> list[Event]:
        """The events of these names, in order."""
        return [event for event in self.events if event.name in names]

    @property
    def seconds(self) -> float:
        """From the moment at which the model was loaded to the last transcript.

        Raises:
            MeasurementError: it did not get that far.
        """
        ready, done = self.named("ready"), self.named("chunk_transcribed")
        if not ready or not done:
            raise MeasurementError("the worker transcribed nothing")
        return done[-1].at - ready[0].at

    @property
    def audio_seconds(self) -> float:
        """Audio of the gaps that were filled; context does not count."""
        return float(self.report["transcription"]["audioSeconds"])

    @property
    def speed(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_seconds / self.seconds

    @property
    def windows(self) -> int | None:
        """How often the model was called; `None` when the log does not say."""
        return len(self.named("window_transcribed")) or None


class BenchFleet:
    """A deployed fleet without instances: the bench starts its worker. Make it with `bench_fleet`."""

    def __init__(self, cloud: EmbeddedCloud, stack: LocalStack, logs: Path, settings: Mapping[str, str]) -> None:
        self.cloud = cloud
        self._settings = settings
        self._stack = stack
        self._logs = logs
        self._s3 = cloud.s3()
        self._runs = 0

    def upload(self, objects: Mapping[str, bytes]) -> None:
        """Put objects into the bucket."""

        def put(item: tuple[str, bytes]) -> None:
            self._s3.put_object(Bucket=self._stack.bucket, Key=item[0], Body=item[1])

        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(put, objects.items()))

    def scan(self, gaps: int) -> None:
        """Queue all gaps.

        Raises:
            MeasurementError: they are not as many as they should be.
        """
        output = run_python(["-m", "deploy", "scan", "--enqueue", "--json"], self._environment(None), _SCAN_SECONDS)
        queued = json.loads(output)["enqueued"]
        if queued != gaps:
            raise MeasurementError(f"the scan queued {queued} jobs for {gaps} gaps")

    def work(self, endpoint: str | None = None) -> WorkerRun:
        """Run a worker until the queue is empty.

        Args:
            endpoint: where the worker finds the cloud; by default the cloud itself.

        Raises:
            MeasurementError: it failed or did not end.
        """
        self._runs += 1
        log = self._logs / f"worker-{self._runs}.log"
        process = start_tethered("deploy", ["consume", "--until-empty"], self._environment(endpoint), log)
        memory = Memory()
        try:
            _watch(process, log, memory)
        finally:
            end(process, grace_seconds=5)
        if process.returncode != 0:
            raise MeasurementError(f"the worker ended with {process.returncode}: {_last_event(log)}")
        return WorkerRun(list(read_events(log)), self._newest_report(), memory)

    def text(self, session: str, chunk: str) -> str | None:
        """What a chunk's transcript says; `None` when there is none."""
        key = transcript_key(session, chunk)
        try:
            body = self._s3.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None
        return str(json.loads(body)["text"])

    def texts(self, session: str, chunks: Iterable[str]) -> str:
        """What the transcripts of chunks say, in their order; a chunk without one says nothing."""
        return " ".join(self.text(session, chunk) or "" for chunk in chunks)

    def dead_letters(self) -> int:
        """Jobs that failed for good."""
        return queue_depth(self.cloud.sqs(), self._stack.dead_letter_queue_url).total

    def _environment(self, endpoint: str | None) -> dict[str, str]:
        stack = self._stack
        return clean_environment(
            {
                **self.cloud.environment,
                **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
                "AWS_EC2_METADATA_DISABLED": "true",  # the worker's host is no instance
                "SCRIBEFLEET_BUCKET": stack.bucket,
                "SCRIBEFLEET_JOBS_QUEUE_URL": stack.jobs_queue_url,
                "SCRIBEFLEET_PRIORITY_QUEUE_URL": stack.priority_queue_url,
                "SCRIBEFLEET_DEAD_LETTER_QUEUE_URL": stack.dead_letter_queue_url,
                "SCRIBEFLEET_TABLE_NAME": stack.table_name,
                "SCRIBEFLEET_MODEL_DIR": str(model_directory()),
                **_SETTINGS,
                **self._settings,
            }
        )

    def _newest_report(self) -> Mapping[str, Any]:
        listed = self._s3.list_objects_v2(Bucket=self._stack.bucket, Prefix=REPORTS_PREFIX).get("Contents", [])
        reports = [item["Key"] for item in listed if item["Key"].endswith(".json")]
        if len(reports) < self._runs:
            raise MeasurementError("the worker left no report")
        bodies = [self._s3.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read() for key in reports]
        return max((json.loads(body) for body in bodies), key=lambda report: report["execution"]["startTime"])


@contextmanager
def bench_fleet(settings: Mapping[str, str] | None = None) -> Iterator[BenchFleet]:
    """A fleet in an embedded cloud of its own, empty, gone when the block ends.

    Args:
        settings: further variables for its scanner and its worker.

    Raises:
        EmbeddedCloudError: the cloud did not come up.
    """
    with TemporaryDirectory(prefix="scribefleet-bench-") as folder:
        workspace = Path(folder)
        with embedded_cloud(workspace, workspace) as cloud:
            yield BenchFleet(cloud, cloud.deploy({}), workspace, settings or {})


def _watch(process: "subprocess.Popen[bytes]", log: Path, memory: Memory) -> None:
    """Wait for the end of a worker, looking at its memory meanwhile.

    Raises:
        MeasurementError: it did not end in time.
    """
    deadline = time.monotonic() + _WORKER_SECONDS
    done = 0
    with log.open("rb") as lines:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise MeasurementError(f"the worker did not end within {_WORKER_SECONDS} s")
            time.sleep(_POLL_INTERVAL_SECONDS)
            done += lines.read().count(b'"event": "chunk_transcribed"')
            sizes = _memory_of(process.pid)
            if sizes:
                memory.samples.append((done, *sizes))


def _memory_of(pid: int) -> tuple[int, int] | None:
    """Resident and peak resident memory in bytes; `None` when the process is gone or the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    return (int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024) if len(sizes) == 2 else None


def read_events(log: Path) -> Iterator[Event]:
    """The events in a worker's log."""
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if isinstance(fields, dict) and {"event", "timestamp"} <= fields.keys():
            yield Event(fields["event"], datetime.fromisoformat(fields["timestamp"]).timestamp(), fields)


def _last_event(log: Path) -> str:
    """What a failed worker said last: an event's name, or the last line of a traceback."""
    lines = log.read_text(encoding="utf-8").strip().splitlines()
    events = list(read_events(log))
    return events[-1].name if events and lines and lines[-1].startswith("{") else (lines or ["nothing"])[-1]
