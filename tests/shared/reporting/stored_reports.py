"""Batch reports in the emulator's bucket, for the tests of the commands that read them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import iso
from shared.reporting.reports import (
    BatchReport,
    Gpu,
    ReportError,
    SessionOutcome,
    TranscriptionCounts,
    execution,
    write_report,
)

if TYPE_CHECKING:
    from tests.conftest import Cloud

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def run_report(began: datetime, *, cost: float = 0.1, seconds: float = 600, **changes: Any) -> BatchReport:
    """A run of ten minutes that transcribed 100 seconds of one session."""
    ended = began + timedelta(seconds=seconds)
    fields: dict[str, Any] = {
        "report_id": "",
        "timestamp": iso(ended),
        "status": "success",
        "lock_status": "lock is free",
        "execution": execution(began, ended),
        "gpu": Gpu(instance_id="i-0abc", instance_type="g4dn.xlarge", runtime_seconds=seconds, cost_usd=cost),
        "transcription": TranscriptionCounts(chunks_found=20, chunks_transcribed=20, audio_seconds=100),
        "sessions": (outcome("s1", 100),),
    }
    return BatchReport(**{**fields, **changes})


def skipped_report(began: datetime, reason: str = "no gaps") -> BatchReport:
    """A scan that started no run."""
    return BatchReport(
        report_id="",
        timestamp=iso(began),
        status="skipped",
        skipped=True,
        reason=reason,
        lock_status="lock is free",
        execution=execution(began, began),
    )


def outcome(session: str, audio_seconds: float, user: str = "alice") -> SessionOutcome:
    """One session's part of a run."""
    return SessionOutcome(
        session_id=session,
        user_id=user,
        chunks_processed=20,
        chunk_numbers=("001",),
        status="success",
        duration=audio_seconds,
    )


def failed_job(session: str, chunk: str = "001", reason: str = "audio-empty") -> ReportError:
    """One job of a run that failed for good."""
    return ReportError(session_id=session, chunk=chunk, reason=reason, detail=f"chunk {chunk} has no bytes")


def store(cloud: "Cloud", report: BatchReport, began: datetime) -> str:
    """Put a report into the bucket as a run does; returns its name."""
    return write_report(cloud.s3, cloud.settings.bucket, report, began).report_id


def store_bytes(cloud: "Cloud", stem: str, body: bytes) -> None:
    """Put something in the place of a report."""
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"batch-reports/{stem}.json", Body=body)
