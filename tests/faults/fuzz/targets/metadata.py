"""metadata.json: it belongs to the recorder, may hold anything, and loses nothing by what the fleet adds."""

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from consumer.sessions.hints import SessionHints
from shared.aws.retrying import Retrier
from shared.formats.messages import chunk_job
from shared.session.metadata import add_fields, read_metadata
from tests.faults.fuzz.fixed import AT, BUCKET, FixedClock
from tests.faults.fuzz.store import OneObject
from tests.faults.fuzz.strategies import anything, json_bytes
from tests.faults.fuzz.target import Target, Violation, require

_MAX_CHARACTERS: Final = 1000
_PATH: Final = "users/u/audio/sessions/s"
_JOB: Final = chunk_job(bucket=BUCKET, audio_key=f"{_PATH}/chunk-001.webm", audio_size=1, enqueued_at=AT)
_FIELDS: Final[Mapping[str, Any]] = {
    "transcriptionStatus": "completed",
    "transcribedAt": None,
    "missingChunks": [],
    "invalidChunks": [],
}
_RETRIER: Final = Retrier(1, FixedClock(AT))
_TOKENS: Final = (
    *(
        b'"hotwords":',
        b'"initialPrompt":',
        b"[",
        b"]",
        b"{",
        b"}",
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"1e400",
        b"-Infinity",
    ),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b'"transcriptionStatus":1', b'"a":' + b"9" * 5000, b",", b":", b'"'),
)


def samples() -> list[bytes]:
    """What recorders write, and the encodings in which editors save it."""
    full = {
        "userId": "u",
        "startedAt": "2026-01-02T03:04:05Z",
        "hotwords": ["Defarge", "Manette", " ", 7],
        "initialPrompt": "It was the best of times.",
        "device": {"name": "Zoë's laptop", "rate": 48000, "gains": [1.5, -2.0]},
    }
    text = json.dumps(full)
    return [
        *(text.encode(), json.dumps(full, indent=2, ensure_ascii=False).encode(), text.encode("utf-8-sig")),
        *(text.encode("utf-16"), b"{}", b'{"hotwords": "one, two", "transcriptionStatus": "partial"}'),
    ]


def structured() -> SearchStrategy[bytes]:
    """Objects with any values under the names that are read, and under any others."""
    names = st.sampled_from(["hotwords", "initialPrompt", "transcriptionStatus"]) | st.text(max_size=5)
    return json_bytes(st.dictionaries(names, anything() | st.lists(st.text()), max_size=4) | anything())


def check(data: bytes) -> bool:
    """The file as it may stand in S3."""
    stored = OneObject(data, AT)
    _hints_are_short(stored)
    found = read_metadata(stored.client, BUCKET, _PATH)
    if found is None:
        require(stored.body == data, "what cannot be understood is left as it is")
        return False
    require(add_fields(stored.client, BUCKET, _PATH, found, _FIELDS), "what nobody has changed can be added to")
    before, after = json.loads(data), json.loads(stored.body or b"", parse_constant=_no_number)
    require(after == {**before, **_FIELDS}, "the recorder's own fields stay, and the fleet's are added")
    again = read_metadata(stored.client, BUCKET, _PATH)
    require(again is not None, "what the fleet has written it understands")
    return True


def _hints_are_short(stored: OneObject) -> None:
    hints = SessionHints(stored.client, BUCKET, _RETRIER).of(_JOB)
    for hint in (hints.hotwords, hints.initial_prompt):
        require(hint is None or 0 < len(hint) <= _MAX_CHARACTERS, "a hint is short, or there is none")
        require(hint is None or bool(hint.encode()), "a tokenizer can take the hint")


def _no_number(name: str) -> NoReturn:
    raise Violation(f"{name} is no JSON")


TARGET: Final = Target("metadata", samples, structured, check, "json", _TOKENS)
