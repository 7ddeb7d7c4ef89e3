"""What was said in one chunk, as its transcript in S3 says it: read leniently, because live recorders write it too.

Pure, and made for sessions of 20,000 chunks: words are plain objects with slots that pydantic's core fills directly, a
fifth of the memory of models. Times stay as they are found; `shared.session.timeline` says what they count from.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.alias_generators import to_camel

from shared.errors import ScribefleetError

MAX_BYTES: Final = 32 * 1024 * 1024
"""A transcript above this is no chunk's: four hours of speech, the longest chunk that is taken, need a tenth."""

_LONGEST_SECONDS: Final = 24 * 3600.0
"""No chunk lasts longer, so one that says so does not know."""

_WIRE: Final = ConfigDict(alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False)


# Live recorders may count from 1970, even in milliseconds; what lies further off is no time, and sums of it are none.
_Seconds = Annotated[float, Field(ge=-1e13, le=1e13)]


class InvalidTranscriptError(ScribefleetError):
    """A chunk's transcript cannot be read; `reason` is one clause for people, without what was said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@with_config(_WIRE)
@dataclass(slots=True)
class SpokenWord:
    """One word. `word` keeps the leading space that joins it to the one before; times are seconds."""

    word: str
    start: _Seconds
    end: _Seconds
    probability: float | None = None


@with_config(_WIRE)
@dataclass(slots=True)
class SpokenSegment:
    """A stretch of speech; times are seconds. `words` may be empty where a recorder gives none."""

    start: _Seconds
    end: _Seconds
    text: str = ""
    # snake case: the live path writes this field so, and its readers expect it
    is_final: Annotated[bool, Field(alias="is_final")] = True
    words: list[SpokenWord] = field(default_factory=list)


@with_config(_WIRE)
@dataclass(slots=True)
class _PartialAudio:
    expected_seconds: float


@with_config(_WIRE)
@dataclass(slots=True)
class _Found:
    segments: list[SpokenSegment]
    # What only informs is taken as it comes: it must not keep the words out.
    source: Any = None
    duration: Any = None
    model: Any = None
    partial_audio: Any = None
    beside: Any = None


@with_config(_WIRE)
@dataclass(slots=True)
class _Beside:
    before: list[SpokenWord] = field(default_factory=list)
    after: list[SpokenWord] = field(default_factory=list)


@dataclass(slots=True)
class ChunkSpeech:
    """One chunk's transcript.

    Attributes:
        chunk: the number as its key spells it.
        seconds: how long the chunk's audio lasts, when the transcript says so.
        has_word_times: whether every segment's words were timed by what heard them.
        before, after: what the same hearing has right beside the chunk; no part of its text.
    """

    chunk: str
    source: Literal["batch", "live"]
    seconds: float | None
    model: str | None
    segments: list[SpokenSegment]
    has_word_times: bool = True
    before: list[SpokenWord] = field(default_factory=list)
    after: list[SpokenWord] = field(default_factory=list)


_FOUND: Final = TypeAdapter(_Found)
_PARTIAL: Final = TypeAdapter(_PartialAudio)
_BESIDE: Final = TypeAdapter(_Beside)


def read_speech(chunk: str, body: bytes) -> ChunkSpeech:
    """What the transcript `body` of `chunk` says: segments in order of time, each with words that join to its text.

    Raises:
        InvalidTranscriptError: it is not JSON, or not what a chunk transcript has to have.
    """
    if len(body) > MAX_BYTES:
        raise InvalidTranscriptError(f"it is larger than {MAX_BYTES // 1024 // 1024} MB")
    try:
        found = _FOUND.validate_json(body)
    except ValidationError as error:
        raise InvalidTranscriptError(_why(error)) from None
    segments = [segment for segment in found.segments if segment.is_final and _has_text(segment)]
    segments.sort(key=lambda segment: segment.start)
    timed = [_complete(segment) for segment in segments]
    beside = _beside(found)
    return ChunkSpeech(
        chunk,
        "batch" if found.source == "batch" else "live",
        _duration(found),
        found.model if isinstance(found.model, str) else None,
        segments,
        all(timed),
        beside.before,
        beside.after,
    )


def joined(words: list[SpokenWord]) -> str:
    """The text that words make up."""
    return "".join(word.word for word in words).strip()


def _why(error: ValidationError) -> str:
    """The first problem without the input, which is what somebody said."""
    problem = error.errors(include_input=False, include_url=False)[0]
    if problem["type"] == "json_invalid":
        return "it is not JSON"
    where = ".".join(str(part) for part in problem["loc"]) or "the transcript"
    return f"{where}: {problem['msg']}"


def _duration(found: _Found) -> float | None:
    """How long the chunk was in the recording: for damaged audio not what was decoded but what was expected."""
    seconds = found.duration
    if found.partial_audio is not None:
        try:
            seconds = _PARTIAL.validate_python(found.partial_audio).expected_seconds
        except ValidationError:
            seconds = found.duration
    usable = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= _LONGEST_SECONDS
    return float(seconds) if usable else None


def _beside(found: _Found) -> _Beside:
    if found.beside is None:
        return _Beside()
    try:
        return _BESIDE.validate_python(found.beside)
    except ValidationError:
        return _Beside()


def _has_text(segment: SpokenSegment) -> bool:
    return bool(segment.text.strip()) or any(word.word.strip() for word in segment.words)


def _complete(segment: SpokenSegment) -> bool:
    """Give a segment its words and its text; returns whether the words' times are heard ones."""
    words = segment.words
    if not any(word.word.strip() for word in words):
        segment.words = _spread(segment)
        return False
    if any(later.start < word.start for word, later in pairwise(words)):
        words.sort(key=lambda word: word.start)
    # Whisper's words bring their spaces. Words of others come bare, and would stick together.
    if " " in segment.text.strip() and not any(word.word[:1].isspace() for word in words[1:]):
        for word in words:
            word.word = f" {word.word.strip()}"
    segment.text = joined(words)
    segment.start, segment.end = words[0].start, max(word.end for word in words)
    return True


def _spread(segment: SpokenSegment) -> list[SpokenWord]:
    """The words of a text over its time, by their length: an estimate, for finding seams and lines of subtitles."""
    texts = segment.text.split()
    total = sum(len(text) + 1 for text in texts)
    seconds = max(0.0, segment.end - segment.start) / total
    words, at = [], segment.start
    for text in texts:
        end = at + (len(text) + 1) * seconds
        words.append(SpokenWord(f" {text}", at, end))
        at = end
    return words
