"""Says to people outside the fleet that a session has its transcript, whoever has made it."""

from shared.reporting.notify import Notification, session_completed
from shared.session.finalise import Finalised


def notice_of(done: Finalised) -> Notification | None:
    """What there is to tell; nothing when no transcript was written."""
    made = done.transcript
    if made is None:
        return None
    return session_completed(
        done.folder.session_id,
        made.status,
        chunk_count=len(done.folder.chunks),
        missing_chunks=[*made.missing_chunks, *made.invalid_chunks],
        duration_seconds=made.duration,
        word_count=made.word_count,
    )
