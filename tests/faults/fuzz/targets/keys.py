"""Keys: each is either none of the fleet's, or is understood so that the same key can be built of it again."""

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from producer.operator.reports.store import parse_name
from producer.operator.sessions.find import FoundSession, SessionUnknownError, parse_session
from producer.operator.sessions.history import history_key, parse_history_key
from producer.scan.gaps import ScanTally, compare
from shared.errors import PermanentJobError
from shared.formats.layout import (
    AUDIO_EXTENSIONS,
    MAX_KEY_BYTES,
    METADATA_NAME,
    TRANSCRIPT_NAMES,
    SessionKey,
    chunk_order,
    parse_key,
    session_path,
    sibling_audio_keys,
    transcript_key,
)
from shared.formats.messages import chunk_job, parse_job
from tests.faults.fuzz.fixed import AT, BUCKET
from tests.faults.fuzz.target import Target, require

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

_TOKENS: Final = (
    *(b"users/", b"/audio/sessions/", b"/chunk-", b"/transcription-chunk-", b"/metadata.json", b"/transcription.json"),
    *(b".webm", b".json", b".WEBM", b"/", b"//", b"..", b"/../", b"001", b"0" * 50, b"\n", b"\0", b"%2F", b"\xd9\xa1"),
    *(b"\xff", b"\xed\xa0\x80", "ü".encode(), "\U0001f600".encode(), b"history/", b"batch-2026-01-01-0000", b"chunk-"),
)


def samples() -> list[bytes]:
    """Keys of every kind, and some that lie beside them."""
    folders = (
        session_path("u", "s"),
        session_path("Zoë Ünal", "2026-01-02 10:00 #1"),
        session_path("u" * 450, "s" * 450),
        session_path("ü" * 225, "s" * 533),  # its audio has keys that S3 takes, and its transcripts have none
    )
    names = (
        "chunk-007.webm",
        "chunk-1.mp3",
        "transcription-chunk-007.json",
        "metadata.json",
        *TRANSCRIPT_NAMES,
        "notes.txt",
    )
    others = (
        *("batch-lock.json", "batch-reports/batch-2026-01-02-0304-i-0123456789abcdef0.json", "users/u/notes.txt"),
        *(
            history_key(session_path("u", "s"), "rerun-1", "007"),
            "users/u/audio/sessions/s/chunk-" + "9" * 300 + ".wav",
        ),
    )
    return [key.encode() for key in (*(f"{folder}/{name}" for folder, name in product(folders, names)), *others)]


def structured() -> SearchStrategy[bytes]:
    """Keys that are put together of any ids, numbers and names."""
    ids = (
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.sampled_from(["", ".", "..", "a/b"])
        | st.integers(480, 505).map("u".__mul__)
    )
    number = st.text("0123456789", max_size=8) | st.text(st.characters(categories=["Nd"]), max_size=3)
    ending = st.sampled_from([*AUDIO_EXTENSIONS, "json", "txt", "WEBM", ""])
    name = st.builds("{}{}.{}".format, st.sampled_from(["chunk-", "transcription-chunk-", "chunk"]), number, ending)
    return st.builds(lambda user, session, file: f"{session_path(user, session)}/{file}".encode(), ids, ids, name)


def check(data: bytes) -> bool:
    """A key as a listing shows it."""
    key = data.decode(errors="replace")
    _other_readers(key)
    if len(key.encode()) > MAX_KEY_BYTES:
        parse_key(key)  # S3 lists none that is longer, but a message may hold one
        return False
    parsed = parse_key(key)
    tally = ScanTally()
    listed: ObjectTypeDef = {"Key": key, "Size": 1, "ETag": "", "LastModified": AT}
    found = list(compare([listed], now=AT, quiet_for=timedelta(0), tally=tally))
    require(tally.ignored_keys == (parsed is None), "the scanner ignores what does not fit, and nothing else")
    if parsed is None:
        require(not found, "what does not fit is no gap")
        return False
    require(key in _spellings(parsed, key), "the key can be built of what it was understood as")
    if parsed.audio_chunk is not None:
        require([gap.key for session in found for gap in session.gaps] == [key], "audio without a transcript is a gap")
        _can_be_queued(key, parsed.audio_chunk)
    return True


def _spellings(parsed: SessionKey, key: str) -> set[str]:
    """The keys that `parsed` can stand for."""
    path = session_path(parsed.user_id, parsed.session_id)
    require(parsed.session_path == path, "the folder is that of the ids")
    require("/" not in parsed.user_id + parsed.session_id, "an id is one step of the path")
    if parsed.audio_chunk is not None:
        require(parsed.transcript_chunk is None, "a key is not two things")
        return {f"{path}/chunk-{parsed.audio_chunk}.{extension}" for extension in AUDIO_EXTENSIONS}
    if parsed.transcript_chunk is not None:
        require(chunk_order(parsed.transcript_chunk)[0] >= 0, "a chunk has a place in its session")
        return {transcript_key(path, parsed.transcript_chunk)}
    return {f"{path}/{name}" for name in (METADATA_NAME, *TRANSCRIPT_NAMES)}


def _can_be_queued(key: str, chunk: str) -> None:
    """What the scanner queues for a key, a worker takes."""
    job = chunk_job(bucket=BUCKET, audio_key=key, audio_size=1, enqueued_at=AT)
    try:
        require(parse_job(job.to_json(), bucket=BUCKET) == job, "a worker reads the job that was queued")
    except PermanentJobError as error:
        require(False, f"a worker takes what the scanner queues ({error.reason})")
    require(len(job.transcript_key.encode()) <= MAX_KEY_BYTES, "S3 can hold the transcript of what is queued")
    siblings = sibling_audio_keys(key, int(chunk) + 1)
    require(bool(siblings) and len(set(siblings)) == len(siblings), "siblings are named once each")


def _other_readers(key: str) -> None:
    """Everything else that reads keys and names which come from outside."""
    former = parse_history_key(key)
    require(former is None or parse_key(key) is None, "history is no part of the layout that scans read")
    stem = key.removeprefix("batch-reports/").removesuffix(".json")
    name = parse_name(stem)
    require(name is None or name.stem == stem, "a report keeps its name")
    try:
        session = parse_session(key)
    except SessionUnknownError:
        return
    if isinstance(session, FoundSession):
        require("/" not in session.user_id + session.session_id, "an id is one step of the path")


TARGET: Final = Target("key", samples, structured, check, "text", _TOKENS)
