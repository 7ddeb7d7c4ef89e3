"""Reports and timelines of every kind, for tests of the page and for the picture in the operator's guide."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared.reporting.reports import (
    BatchReport,
    Gpu,
    Performance,
    ReportError,
    ReportStatus,
    ScanCounts,
    SessionOutcome,
    TranscriptionCounts,
    execution,
)
from shared.reporting.timeline import Phase, RunTimeline

STARTED: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS: Final = 1200
STATUSES: Final[tuple[ReportStatus, ...]] = ("success", "partial", "failed", "skipped", "interrupted")
HOSTILE: Final = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"

_ERRORS = (
    ReportError(session_id="2026-01-02-standup", chunk="001", reason="audio-empty", detail="the object holds no bytes"),
    ReportError(session_id=HOSTILE, chunk="004", reason="audio-undecodable", detail=HOSTILE),
)


def sample_timeline() -> RunTimeline:
    """Twenty minutes with all phases in them, and jobs of each outcome."""
    line = RunTimeline(STARTED)
    changes: dict[int, Phase] = {9: "busy", 660: "idle", 690: "locked", 800: "busy", 1140: "idle", 1180: "draining"}
    for second in range(SECONDS):
        at = STARTED + timedelta(seconds=second)
        if phase := changes.get(second):
            line.becomes(phase, at)
        if 9 <= second < 660 or 800 <= second < 1140:
            for number in range(2 + second % 3):
                line.ended("failed" if (second + number) % 97 == 0 else "completed", at)
        if second in range(800, 900, 7):
            line.ended("skipped", at)
    line.close(STARTED + timedelta(seconds=SECONDS))
    return line


def sample_report(status: ReportStatus) -> BatchReport:
    """A report as a run of that status leaves it."""
    by_status: dict[ReportStatus, dict[str, Any]] = {
        "skipped": {
            "skipped": True,
            "reason": "no gaps",
            "gpu": Gpu(),
            "transcription": TranscriptionCounts(),
            "performance": Performance(total_duration_seconds=4, scan_duration_seconds=4),
        },
        "interrupted": {"reason": "spot notice: EC2 takes the instance back at 03:26:05 UTC"},
        "partial": {"errors": _ERRORS},
        "failed": {
            "errors": _ERRORS,
            "transcription": TranscriptionCounts(chunks_found=2, chunks_failed=2, success_rate=0),
        },
        "success": {},
    }
    fields: dict[str, Any] = {
        "report_id": "batch-2026-01-02-0304-i-0abc",
        "timestamp": "2026-01-02T03:24:05.000Z",
        "status": status,
        "lock_status": "lock is free",
        "execution": execution(STARTED, STARTED + timedelta(seconds=SECONDS)),
        "scan": ScanCounts(sessions_scanned=5000, total_missing_chunks=4400, sessions_with_missing_chunks=44),
        "gpu": Gpu(
            instance_id="i-0abc",
            instance_type="g4dn.xlarge",
            we_started_it=True,
            start_time="2026-01-02T03:03:25.000Z",
            stop_time="2026-01-02T03:24:05.000Z",
            runtime_seconds=1240,
            runtime_human="20m 40s",
            cost_usd=0.1812,
        ),
        "transcription": TranscriptionCounts(
            chunks_found=2964, chunks_transcribed=2919, chunks_failed=30, chunks_skipped=15, audio_seconds=14_595
        ),
        "performance": Performance(
            total_duration_seconds=1240,
            gpu_startup_seconds=40,
            model_load_seconds=9,
            transcribe_duration_seconds=800,
            shutdown_seconds=20,
            rtfx=18.2,
            gpu_busy_fraction=0.645,
        ),
        "sessions": (_session("2026-01-01-standup", 300, "success"), _session("2026-01-02-standup", 3, "partial")),
    }
    return BatchReport(**{**fields, **by_status[status]})


def _session(name: str, chunks: int, status: Any) -> SessionOutcome:
    return SessionOutcome(
        session_id=name,
        user_id="ada",
        chunks_processed=chunks,
        chunk_numbers=tuple(f"{number:03d}" for number in range(1, chunks + 1)),
        status=status,
        duration=chunks * 5,
    )
