"""The S3 layout: parses and builds the keys of recordings, and knows the names of the fleet's own objects.

Keys come from outside. User and session ids may hold any character but `/`; a key that does not fit parses to
`None` and is counted by its reader, never fatal. Chunk numbers keep their spelling: `1` and `001` are different.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

USERS_PREFIX = "users/"
LOCK_KEY = "batch-lock.json"
PENDING_JOBS_KEY = "batch-data/pending-jobs.json"
REPORTS_PREFIX = "batch-reports/"
MAX_KEY_BYTES = 1024
"""The longest key that S3 takes, in UTF-8 (S3 User Guide, "Naming Amazon S3 objects")."""
METADATA_NAME = "metadata.json"
TRANSCRIPT_NAMES = ("transcription.txt", "transcription.srt", "transcription.vtt", "transcription.json")
"""The files of a whole session's transcript, in the order in which they are written."""
AUDIO_EXTENSIONS = ("webm", "aac", "m4a", "mp3", "wav", "ogg", "flac", "mp4", "mov", "m4v", "avi")

# [0-9] and not \d, which takes digits of every script; ids may hold line breaks, which `.` would not match.
_KEY = re.compile(
    r"(?P<session_path>users/(?P<user_id>[^/]+)/audio/sessions/(?P<session_id>[^/]+))/"
    r"(?:chunk-(?P<audio>[0-9]+)\.(?:" + "|".join(AUDIO_EXTENSIONS) + r")"
    r"|transcription-chunk-(?P<transcript>[0-9]+)\.json"
    r"|transcription\.(?:json|txt|srt|vtt)|metadata\.json)"
)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A parsed key of a session's folder.

    Attributes:
        session_path: the folder without a trailing slash; identifies the session everywhere in the fleet.
        audio_chunk: the chunk's number as spelled, when the key is a chunk's audio.
        transcript_chunk: the chunk's number as spelled, when the key is a chunk's transcript.
    """

    session_path: str
    user_id: str
    session_id: str
    audio_chunk: str | None
    transcript_chunk: str | None


def parse_key(key: str) -> SessionKey | None:
    """What `key` is in a session's folder, or `None` when it does not fit the layout.

    A chunk whose transcript could have no key, because that one is longer than the audio's, does not fit either:
    its job could never be finished.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    parsed = SessionKey(*match.group(1, 2, 3, 4, 5))
    # No character takes more than four bytes, so nearly every key is short enough at a glance.
    if parsed.audio_chunk is not None and len(key) * 4 > MAX_KEY_BYTES - 32:
        transcript = transcript_key(parsed.session_path, parsed.audio_chunk)
        if len(transcript.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
            return None
    return parsed


def session_path(user_id: str, session_id: str) -> str:
    """The folder of a session, without a trailing slash."""
    return f"{USERS_PREFIX}{user_id}/audio/sessions/{session_id}"


def transcript_key(session: str, chunk: str) -> str:
    """The key of a chunk's transcript; `session` is the session path, `chunk` the number as spelled."""
    return f"{session}/transcription-chunk-{chunk}.json"


def metadata_key(session: str) -> str:
    """The key of what the recorder wrote about a session; `session` is the session path."""
    return f"{session}/{METADATA_NAME}"


def sibling_audio_keys(audio_key: str, number: int) -> list[str]:
    """Which keys the audio of chunk `number` can have in the session of `audio_key`, the likeliest first.

    Recorders keep their extension and their padding. What the padding is shows in a leading zero; without one a number
    may be padded to its own length, to the layout's three digits, or not at all.

    Raises:
        ValueError: `audio_key` is not the key of a chunk's audio.
    """
    key = parse_key(audio_key)
    if key is None or key.audio_chunk is None:
        raise ValueError(f"not the key of a chunk's audio: {audio_key!r}")
    spelled = key.audio_chunk
    widths = [len(spelled)] if spelled.startswith("0") else [min(3, len(spelled)), len(spelled), 1]
    spellings = dict.fromkeys(f"{number:0{width}d}" for width in widths)
    extension = audio_key.rpartition(".")[2]
    return [f"{key.session_path}/chunk-{spelling}.{extension}" for spelling in spellings]


def is_chunk(text: str) -> bool:
    """Whether `text` is a chunk's number, in any spelling that a key can have."""
    return len(text) <= MAX_KEY_BYTES and text.isascii() and text.isdigit()


def chunk_order(chunk: str) -> tuple[int, str]:
    """Sort key that puts chunks in the order of the recording: `9` before `10`, `1` beside `001`."""
    return int(chunk), chunk


def report_stem(started: datetime, instance_id: str | None = None, copy: int = 1) -> str:
    """The name of a batch report without its ending: `batch-YYYY-MM-DD-HHMM[-instance]`.

    Args:
        started: when the run began; written in UTC.
        instance_id: the instance that ran; absent for a skipped scan.
        copy: above 1 adds `-2`, `-3`, … for a second run of the same instance within a minute.
    """
    stem = f"batch-{started.astimezone(UTC):%Y-%m-%d-%H%M}"
    stem += f"-{instance_id}" if instance_id else ""
    return stem + (f"-{copy}" if copy > 1 else "")
