"""Sums of what a run did, and the batch report that is made of them at its end."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from consumer.host.imds import InstanceIdentity
from consumer.host.instance import InstanceRun
from consumer.jobs.stages import JobRecord
from shared.clock import human_duration, iso
from shared.formats.layout import chunk_order
from shared.formats.messages import ChunkJob
from shared.reporting.reports import (
    BatchReport,
    Gpu,
    Performance,
    ReportError,
    ReportStatus,
    ScanCounts,
    SessionOutcome,
    TranscriptionCounts,
    cost_usd,
    execution,
)
from shared.reporting.timeline import Phase, RunTimeline

# With nothing left to do; by a request to stop; by a worker that broke; or before its first job.
Ending = Literal["ended", "interrupted", "crashed", "failed"]

# Keeps the report readable and its object small when a hundred thousand chunks failed.
_MAX_ERRORS = 1000


@dataclass(slots=True)
class _SessionCounts:
    job: ChunkJob
    chunks: list[str] = field(default_factory=list)
    failed: int = 0
    audio_seconds: float = 0

    def outcome(self) -> SessionOutcome:
        status: Literal["success", "partial", "failed"] = "success"
        if self.failed:
            status = "failed" if self.failed == len(self.chunks) else "partial"
        return SessionOutcome(
            session_id=self.job.session_id,
            user_id=self.job.user_id,
            chunks_processed=len(self.chunks),
            chunk_numbers=tuple(sorted(self.chunks, key=chunk_order)),
            status=status,
            duration=round(self.audio_seconds, 3),
        )


@dataclass(slots=True)
class RunRecord:
    """One run's sums. Memory grows with its sessions and chunk numbers, not with their transcripts.

    Attributes:
        started: when the run began.
        timeline: what it did when.
        model_load_seconds: how long loading the model took; `None` in the later runs of a process.
        draining_since: when the worker announced its end; `None` once it works again.
    """

    started: datetime
    timeline: RunTimeline
    model_load_seconds: float | None = None
    draining_since: datetime | None = None
    completed: int = 0
    skipped: int = 0
    failed: int = 0
    audio_seconds: float = 0
    work_seconds: float = 0
    size_bytes: int = 0
    errors: list[ReportError] = field(default_factory=list)
    _sessions: dict[str, _SessionCounts] = field(default_factory=dict)

    @classmethod
    def begun(cls, at: datetime, phase: Phase) -> "RunRecord":
        """The record of a run that begins with a phase."""
        return cls(at, RunTimeline(at, phase))

    @property
    def jobs(self) -> int:
        return self.completed + self.skipped + self.failed

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio transcribed per second of the model's work; `None` before the model has worked."""
        return self.audio_seconds / self.work_seconds if self.work_seconds > 0 else None

    def add(self, record: JobRecord) -> None:
        """Count one finished job."""
        self.completed += record.outcome == "completed"
        self.skipped += record.outcome == "skipped"
        self.failed += record.outcome == "failed"
        self.audio_seconds += record.audio_seconds
        if record.error and len(self.errors) < _MAX_ERRORS:
            self.errors.append(record.error)
        if record.job is None:
            return
        self.size_bytes += record.job.audio_size if record.outcome == "completed" else 0
        if record.outcome == "skipped":
            return
        session = self._sessions.setdefault(record.job.session_path, _SessionCounts(record.job))
        session.chunks.append(record.job.chunk)
        session.failed += record.outcome == "failed"
        session.audio_seconds += record.audio_seconds

    def worked(self, seconds: float) -> None:
        """Count time in which the model was at work."""
        self.work_seconds += seconds

    def sessions(self) -> tuple[SessionOutcome, ...]:
        """The sessions this run worked on, in order of their first job."""
        return tuple(session.outcome() for session in self._sessions.values())


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What the end of a run adds to its record.

    Attributes:
        why: for people, in a few words; `None` for a run that simply ended.
        run: `None` when the host is no EC2 instance, or EC2 did not answer.
    """

    ended: datetime
    ending: Ending
    why: str | None
    lock_status: str
    scan: ScanCounts
    identity: InstanceIdentity | None
    run: InstanceRun | None
    price_usd_per_hour: float


def batch_report(record: RunRecord, end: RunEnd) -> BatchReport:
    """Make the run's report; its name is chosen when it is written."""
    gpu = _gpu(record, end)
    return BatchReport(
        report_id="",
        timestamp=iso(end.ended),
        status=_status(record, end.ending),
        reason=end.why,
        lock_status=end.lock_status,
        execution=execution(record.started, end.ended),
        scan=end.scan,
        gpu=gpu,
        transcription=TranscriptionCounts(
            chunks_found=record.jobs,
            chunks_transcribed=record.completed,
            chunks_failed=record.failed,
            chunks_skipped=record.skipped,
            success_rate=_success_rate(record),
            total_size_bytes=record.size_bytes,
            audio_seconds=round(record.audio_seconds, 3),
        ),
        performance=_performance(record, end, gpu.runtime_seconds),
        sessions=record.sessions(),
        errors=tuple(record.errors),
    )


def _status(record: RunRecord, ending: Ending) -> ReportStatus:
    if ending in {"interrupted", "crashed"}:
        return "interrupted"
    if ending == "failed":
        return "failed"
    if not record.failed:
        return "success"
    return "partial" if record.completed or record.skipped else "failed"


def _success_rate(record: RunRecord) -> float:
    tried = record.completed + record.failed
    return round(100 * record.completed / tried, 2) if tried else 100.0


def _gpu(record: RunRecord, end: RunEnd) -> Gpu:
    started = end.run.started_at if end.run and end.run.owned else record.started
    seconds = max(0.0, (end.ended - started).total_seconds())
    return Gpu(
        instance_id=end.identity.instance_id if end.identity else None,
        instance_type=end.identity.instance_type if end.identity else None,
        was_running=not (end.run and end.run.owned),
        we_started_it=bool(end.run and end.run.owned),
        start_time=iso(started),
        stop_time=iso(end.ended),
        runtime_seconds=round(seconds, 3),
        runtime_human=human_duration(seconds),
        cost_usd=cost_usd(seconds, end.price_usd_per_hour),
    )


def _performance(record: RunRecord, end: RunEnd, total_seconds: float) -> Performance:
    """Where the instance's paid time went, from its start on."""
    startup = None
    if end.run and end.run.owned:
        startup = round(max(0.0, (record.started - end.run.started_at).total_seconds()), 3)
    shutdown = None
    if record.draining_since:
        shutdown = round(max(0.0, (end.ended - record.draining_since).total_seconds()), 3)
    factor = record.rtfx
    return Performance(
        total_duration_seconds=total_seconds,
        gpu_startup_seconds=startup,
        model_load_seconds=record.model_load_seconds,
        transcribe_duration_seconds=round(record.work_seconds, 3),
        shutdown_seconds=shutdown,
        rtfx=round(factor, 2) if factor else None,
        gpu_busy_fraction=round(record.work_seconds / total_seconds, 4) if total_seconds > 0 else None,
    )
