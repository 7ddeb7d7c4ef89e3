"""Chunk transcripts, which live recorders write too: read or refused, and a session can be made of whatever was read.

An input is a folder of them: parts divided by the byte 30, each a chunk's number, the byte 31, and the object's bytes.
"""

import json
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from shared.formats.transcripts import InvalidTranscriptError, ParsedTranscript, SpokenWord, parse_transcript
from shared.session.subtitles import cues, subtitles
from shared.session.transcript import SessionInputs, SessionTranscript, assemble, from_json, plain_text, to_json
from tests.faults.fuzz.fixed import SAMPLES
from tests.faults.fuzz.strategies import anything
from tests.faults.fuzz.target import Target, Violation, require

_PART: Final = b"\x1e"
_NAME: Final = b"\x1f"
_MAX_PARTS: Final = 12
_LONGEST_NUMBER: Final = 900  # a key has at most 1,024 bytes
_TOKENS: Final = (
    *(
        b'"segments":[]',
        b'"words":[]',
        b'"duration":1e308',
        b'"duration":' + b"9" * 400,
        b'"start":-1e308',
        b'"end":1e308',
    ),
    *(
        b'"is_final":false',
        b'"source":"batch"',
        b'"partialAudio":{"expectedSeconds":1e308}',
        b'"beside":{"before":[],"after":[]}',
    ),
    *(
        b'"text":" "',
        b'"word":"\\u0000"',
        b'"start":1.7e12',
        b"NaN",
        b"1e400",
        _PART,
        _NAME,
        b"9" * 400 + _NAME,
        b"\\ud800",
    ),
)


def folder(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """The input for some transcripts by their chunks' numbers."""
    return _PART.join(number.encode() + _NAME + body for number, body in parts)


def samples() -> list[bytes]:
    """Real transcripts, live ones with times of either kind, and folders of several."""
    real = [
        (f"{number:03d}", (SAMPLES / "transcripts" / f"transcription-chunk-{number:03d}.json").read_bytes())
        for number in (8, 9, 10)
    ]
    bare = {"segments": [{"text": "no, no", "start": 0.2, "end": 1.1}]}
    timed = {
        "duration": 5.0,
        "model": "m",
        "segments": [
            {
                "text": "a b",
                "start": 5.1,
                "end": 6,
                "words": [
                    {"word": " a", "start": 5.1, "end": 5.4},
                    {"word": " b", "start": 5.5, "end": 6.0, "probability": 0.5},
                ],
            }
        ],
    }
    live = [("001", json.dumps(bare).encode()), ("002", json.dumps(timed).encode())]
    beside = {
        **timed,
        "source": "batch",
        "beside": {"before": [{"word": " no", "start": -0.4, "end": -0.1}], "after": []},
    }
    heard = [("002", json.dumps(beside).encode()), ("1003", json.dumps(bare).encode())]
    odd = [
        ("001", b'{"segments": [{"text": "00:01 --> 00:02", "start": 0.5, "end": 1.5}]}'),
        ("002", b'{"segments": [{"text": "far off", "start": -1e308, "end": 1e308}]}'),
    ]
    return [
        *(folder(real[2:]), folder(real[1:]), folder(live), folder(live[:1]), folder([*live[:1], *heard])),
        *(folder(odd[:1]), folder(odd), folder([])),
    ]


def structured() -> SearchStrategy[bytes]:
    """Transcripts of the right form with any times and texts."""
    time = st.floats(-10, 100) | st.floats() | st.integers()
    word = st.fixed_dictionaries({"word": st.text(max_size=8), "start": time, "end": time})
    segment = st.fixed_dictionaries(
        {"start": time, "end": time}, optional={"text": st.text(max_size=30), "words": st.lists(word, max_size=4)}
    )
    transcript = st.fixed_dictionaries(
        {"segments": st.lists(segment, max_size=4)},
        optional={
            "duration": time | anything(),
            "source": st.just("batch") | anything(),
            "partialAudio": anything(),
            "beside": st.fixed_dictionaries(
                {}, optional={"before": st.lists(word, max_size=3), "after": st.lists(word, max_size=3)}
            ),
        },
    )
    number = st.integers(0, 2000).map(str)
    part = st.tuples(number, (transcript | anything()).map(lambda value: json.dumps(value).encode()))
    return st.lists(part, max_size=4).map(folder)


def check(data: bytes) -> bool:
    """A session's folder of transcripts."""
    speech: dict[str, ParsedTranscript] = {}
    invalid: dict[str, str] = {}
    for place, part in enumerate(data.split(_PART)[:_MAX_PARTS]):
        number, body = _named(part, place)
        try:
            speech[number] = parse_transcript(number, body)
            invalid.pop(number, None)
        except InvalidTranscriptError as error:
            require(0 < len(error.reason) < 300, "a reason is a clause and quotes no input")
            invalid[number] = error.reason
            speech.pop(number, None)
    for each in speech.values():
        _is_usable(each)
    chunks = frozenset([*speech, *invalid, "003"])
    transcript = assemble(SessionInputs("s", "u", chunks, speech, invalid), 5.0)
    _is_in_order(transcript)
    _can_be_written(transcript)
    return bool(speech)


def _named(part: bytes, place: int) -> tuple[str, bytes]:
    name, divider, body = part.partition(_NAME)
    number = name.decode(errors="replace")
    if divider and number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER:
        return number, body
    return str(place), part


def _is_usable(speech: ParsedTranscript) -> None:
    require(speech.seconds is None or 0 < speech.seconds < math.inf, "a duration is a number of seconds")
    for segment in speech.segments:
        require(bool(segment.words), "what was said is in words")
        require(all(_is_finite(word) for word in segment.words), "times are numbers")


def _is_finite(word: SpokenWord) -> bool:
    return math.isfinite(word.start) and math.isfinite(word.end)


def _is_in_order(transcript: SessionTranscript) -> None:
    end = transcript.total_duration
    require(math.isfinite(end) and end >= 0, "a session lasts a number of seconds")
    times = [(segment.start, segment.end) for segment in transcript.segments]
    require(all(0 <= begin <= over <= end for begin, over in times), "segments lie within the session")
    require(all(one[1] <= other[0] for one, other in pairwise(times)), "segments stand one behind the other")
    words = [word for segment in transcript.segments for word in segment.words]
    require(all(0 <= word.start <= word.end <= end for word in words), "words lie within the session")
    require(all(one.end <= other.start for one, other in pairwise(words)), "words stand one behind the other")


def _can_be_written(transcript: SessionTranscript) -> None:
    body = to_json(transcript)
    json.loads(body, parse_constant=_no_number)
    require(from_json(body) == transcript, "a transcript is read back as it was written")
    require(bool("".join(plain_text(transcript)).encode()) == bool(transcript.paragraphs), "paragraphs are the text")
    found = cues(transcript.segments)
    require(all(0 <= cue.start_ms < cue.end_ms for cue in found), "a line is on the screen for a while")
    require(all(one.end_ms <= other.start_ms for one, other in pairwise(found)), "no two lines at the same time")
    require(subtitles(found, "srt").count(" --> ") == len(found), "no text passes for a line of times")
    require(subtitles(found, "vtt").count(" --> ") == len(found), "no text passes for a line of times")


def _no_number(name: str) -> Any:
    raise Violation(f"{name} is no JSON")


TARGET: Final = Target("transcript", samples, structured, check, "bytes", _TOKENS, share=0.3)
