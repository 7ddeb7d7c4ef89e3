"""Builds pending-jobs.json from what a scan found, with an estimate of the GPU time and cost."""

from collections.abc import Sequence
from datetime import datetime

from producer.scan.gaps import ScanTally, SessionGaps
from shared.clock import human_duration, iso
from shared.formats.pending_jobs import PendingJobs, PendingSession
from shared.reporting.reports import cost_usd
from shared.settings import Settings


def pending_jobs(
    scan_id: str, sessions: Sequence[SessionGaps], tally: ScanTally, settings: Settings, now: datetime
) -> PendingJobs:
    """What a scan found, with what filling it will about cost: audio over the RTFx, priced by the hour."""
    missing = sum(len(session.gaps) for session in sessions)
    seconds = missing * settings.chunk_seconds / settings.rtfx
    cost = cost_usd(seconds, settings.price_usd_per_hour) if missing else 0.0
    return PendingJobs(
        timestamp=iso(now),
        scan_id=scan_id,
        total_sessions=tally.sessions,
        sessions_with_missing_chunks=len(sessions),
        total_missing_chunks=missing,
        ignored_keys=tally.ignored_keys,
        estimated_gpu_time=human_duration(seconds),
        estimated_gpu_seconds=round(seconds, 1),
        estimated_cost=f"${cost:.2f}",
        estimated_cost_usd=cost,
        sessions=tuple(_pending_session(session, now) for session in sessions),
    )


def _pending_session(session: SessionGaps, now: datetime) -> PendingSession:
    return PendingSession(
        session_id=session.session_id,
        user_id=session.user_id,
        session_path=session.session_path,
        audio_chunks=session.audio_chunks,
        transcription_chunks=session.transcript_chunks,
        missing_chunks=tuple(gap.chunk for gap in session.gaps),
        total_audio_size=session.total_audio_bytes,
        created_at=iso(session.created_at),
        age_hours=round((now - session.created_at).total_seconds() / 3600, 2),
    )
