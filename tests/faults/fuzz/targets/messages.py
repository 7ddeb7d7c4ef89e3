"""Job messages: a body is a job that stays within its session and can be worked on, or it gets a known reason."""

import json
from typing import TYPE_CHECKING, Any, Final, cast

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from consumer.jobs.publish import Existing
from shared.errors import PermanentJobError
from shared.formats.layout import AUDIO_EXTENSIONS, MAX_KEY_BYTES, chunk_order, parse_key, sibling_audio_keys
from shared.formats.messages import ChunkJob, chunk_job, parse_job
from shared.state.ledger import Ledger
from tests.faults.fuzz.fixed import AT, BUCKET, SETTINGS, FixedClock
from tests.faults.fuzz.strategies import anything, json_bytes
from tests.faults.fuzz.target import Target, require

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REASONS: Final = frozenset(
    {
        "message-not-json",
        "message-unknown-version",
        "message-unknown-kind",
        "message-invalid",
        "message-foreign-bucket",
    }
)
_MAX_DIGITS: Final = 38  # of a DynamoDB number
_KEYS: Final = (
    "users/u/audio/sessions/s/chunk-007.webm",
    "users/Zoë Ünal/audio/sessions/2026-01-02 10:00 #1/chunk-1234.m4a",
    "users/../audio/sessions/../chunk-1.ogg",
    f"users/{'u' * 400}/audio/sessions/{'s' * 400}/chunk-001.wav",
)
_TOKENS: Final = (
    *(b'"kind":"chunk"', b'"version":1', b'"version":2', b'"bucket":"recordings"', b'"force":true', b'"model":"x"'),
    *(b"..", b"/", b"%2f", b"\\u0000", b"\\ud800", b"users/", b"/audio/sessions/", b"chunk-", b"transcription-chunk-"),
    *(
        b'"audioSize":1e400',
        b'"audioSize":' + b"9" * 60,
        b"null",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b'"',
        b"\xff",
        b"batch-lock.json",
    ),
)


class _Recording:
    """Stands where DynamoDB is: what arrives here has passed boto3's own serializer."""

    def update_item(self, **asked: Any) -> None:
        values: dict[str, dict[str, Any]] = asked["ExpressionAttributeValues"]
        numbers = [value["N"] for value in values.values() if "N" in value]
        require(all(len(number.lstrip("-")) <= _MAX_DIGITS for number in numbers), "DynamoDB takes 38 digits")


_LEDGER: Final = Ledger(cast("DynamoDBClient", _Recording()), SETTINGS, FixedClock(AT))


def samples() -> list[bytes]:
    """What the scanner and the operator send, and the older form."""
    jobs = [
        chunk_job(bucket=BUCKET, audio_key=key, audio_size=81_005, enqueued_at=AT, scan_id="scan-1") for key in _KEYS
    ]
    asked = jobs[0].model_copy(update={"model": "small.en", "language": "en", "force": True, "reason": "rerun"})
    older = {"jobId": "1", "s3Key": "transcription_upload/1/talk.mp3"}
    return [job.to_json().encode() for job in [*jobs, asked]] + [json.dumps(older).encode()]


def structured() -> SearchStrategy[bytes]:
    """Messages whose keys agree with each other, whatever the ids are, and with any values in place of some."""
    ids = (
        st.text(st.characters(), min_size=1, max_size=20)
        | st.sampled_from(["..", "a/b", "u" * 600])
        | st.integers(480, 505).map("u".__mul__)  # two of these, and a key is about as long as S3 takes
    )
    number = st.text("0123456789", min_size=1, max_size=6) | st.sampled_from(["9" * 400, "\u0661", "-1"])
    good = st.builds(_message, ids, ids, number, st.sampled_from([*AUDIO_EXTENSIONS, "exe"]))
    names = sorted({name for sample in samples() for name in json.loads(sample)})
    changes = st.dictionaries(st.sampled_from(names), anything(), max_size=2)
    return json_bytes(st.builds(lambda message, changed: {**message, **changed}, good, changes | st.just({})))


def _message(user: str, session: str, chunk: str, extension: str) -> dict[str, Any]:
    """A message spelled out as the contract has it, and not built by the code that is fuzzed."""
    path = f"users/{user}/audio/sessions/{session}"
    return {
        "version": 1,
        "kind": "chunk",
        "bucket": BUCKET,
        "userId": user,
        "sessionId": session,
        "sessionPath": path,
        "chunk": chunk,
        "audioKey": f"{path}/chunk-{chunk}.{extension}",
        "audioSize": 81_005,
        "transcriptKey": f"{path}/transcription-chunk-{chunk}.json",
        "enqueuedAt": "2026-01-02T03:04:05Z",
    }


def check(data: bytes) -> bool:
    """A body as SQS hands it out."""
    try:
        job = parse_job(data.decode(errors="replace"), bucket=BUCKET)
    except PermanentJobError as error:
        require(error.reason in REASONS, f"{error.reason} is a reason that nobody documented")
        require(len(error.detail) < 300, "a detail is one sentence and quotes no input")
        return False
    _stays_within_its_session(job)
    _can_be_worked_on(job)
    require(parse_job(job.to_json(), bucket=BUCKET) == job, "a job is read back as it was sent")
    return True


def _stays_within_its_session(job: ChunkJob) -> None:
    audio, transcript = parse_key(job.audio_key), parse_key(job.transcript_key)
    require(job.bucket == BUCKET, "a job is for the fleet's bucket")
    require(audio is not None and audio.audio_chunk == job.chunk, "the audio is the chunk's")
    require(transcript is not None and transcript.transcript_chunk == job.chunk, "the transcript is the chunk's")
    if audio is None or transcript is None:
        return
    require(audio.session_path == transcript.session_path == job.session_path, "all keys are of one session")
    require((audio.user_id, audio.session_id) == (job.user_id, job.session_id), "the ids are those of the keys")
    for key in (job.audio_key, job.transcript_key):
        require(len(key.encode()) <= MAX_KEY_BYTES, "S3 can hold the key")
        require(key.startswith(f"{job.session_path}/") and key.count("/") == 5, "the key lies in the session's folder")


def _can_be_worked_on(job: ChunkJob) -> None:
    """What a worker does with each job before and after its audio, as far as it depends on the message."""
    _LEDGER.processing(job, "worker-1", 1)
    _LEDGER.queued(job)
    _LEDGER.finished(job, "failed", error="audio-gone")
    require(bool(Existing('"e"', AT).satisfies(job)) or job.force, "what stands in S3 ends a job that is not forced")
    require(all(parse_key(key) for key in sibling_audio_keys(job.audio_key, int(job.chunk) + 1)), "it has neighbours")
    require(chunk_order(job.chunk) >= (0, ""), "it has a place in its session")


TARGET: Final = Target("message", samples, structured, check, "json", _TOKENS)
