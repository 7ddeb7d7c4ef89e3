"""pending-jobs.json: the newest scan, as other programs read it."""

from typing import Annotated

from pydantic import Field

from shared.formats.wire import WireModel


class PendingSession(WireModel):
    """One session with gaps. `missing_chunks` are chunk numbers as spelled, `total_audio_size` is in bytes."""

    session_id: str
    user_id: str
    session_path: str
    audio_chunks: int
    transcription_chunks: int
    missing_chunks: tuple[str, ...]
    total_audio_size: int
    created_at: str
    age_hours: float


class PendingJobs(WireModel):
    """A scan's result; only sessions with gaps are listed."""

    timestamp: str
    scan_id: str
    total_sessions: int
    sessions_with_missing_chunks: int
    total_missing_chunks: int
    ignored_keys: int
    estimated_gpu_time: str
    estimated_gpu_seconds: float
    estimated_cost: str
    estimated_cost_usd: Annotated[float, Field(alias="estimatedCostUSD")]
    sessions: tuple[PendingSession, ...]
