"""The transcript of a chunk: the format that workers write, and a reader that also takes what live recorders write.

The writer is strict, so that a worker stores nothing that cannot be true. The reader is lenient, because what a
recorder leaves out or adds must not keep its words out of the session's transcript. Each type of the reader follows
the one of the writer whose fields it has. Its words are plain objects with slots that pydantic's core fills directly,
in a fifth of the memory of models: a session can have 20,000 chunks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    with_config,
)

from shared.errors import ScribefleetError
from shared.formats.wire import WIRE, WireModel

MAX_TRANSCRIPT_BYTES: Final = 32 * 1024 * 1024
"""A larger object is no chunk's transcript: four hours of speech, the longest chunk accepted, need a tenth of it."""

# No chunk lasts longer; a transcript that claims so is wrong.
_MAX_CHUNK_SECONDS: Final = 24 * 3600.0

Seconds = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
# Live recorders may count from 1970, even in milliseconds. What lies further off is no time, and sums of it overflow.
_AnySeconds = Annotated[float, Field(ge=-1e13, le=1e13, allow_inf_nan=False)]

# Names of the format that are not camel case.
_IS_FINAL: Final = Field(alias="is_final")
_CONTEXT_WORDS: Final = Field(alias="beside")

_LENIENT: Final = ConfigDict(**WIRE, allow_inf_nan=False)


class InvalidTranscriptError(ScribefleetError):
    """A chunk's transcript cannot be read; `reason` is one clause for people, without what was said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Word(WireModel):
    """One word; `word` keeps the model's leading space, times are seconds from the start of the chunk."""

    word: str
    start: Seconds
    end: Seconds
    probability: Probability


@with_config(_LENIENT)
@dataclass(slots=True)
class SpokenWord:
    """A `Word` as found; what its times count from is decided in `shared.session.timeline`."""

    word: str
    start: _AnySeconds
    end: _AnySeconds
    probability: float | None = None


class Segment(WireModel):
    """A stretch of speech; times are seconds from the start of the chunk."""

    text: str
    start: Seconds
    end: Seconds
    is_final: Annotated[Literal[True], _IS_FINAL] = True
    words: tuple[Word, ...] = ()

    @classmethod
    def of_words(cls, words: Sequence[Word]) -> Self:
        """The segment that consists of `words`, which are in order and not empty."""
        end = max(word.end for word in words)
        return cls(text=join_words(words), start=words[0].start, end=end, words=tuple(words))


@with_config(_LENIENT)
@dataclass(slots=True)
class SpokenSegment:
    """A `Segment` as found. Recorders mark text that may still change as not final, and may leave out the words."""

    start: _AnySeconds
    end: _AnySeconds
    text: str = ""
    is_final: Annotated[bool, _IS_FINAL] = True
    words: list[SpokenWord] = field(default_factory=list)


class PartialAudio(WireModel):
    """Says that a chunk's audio was damaged, and how much of it could be decoded, in seconds."""

    expected_seconds: Seconds
    decoded_seconds: Seconds


class Suppressed(WireModel):
    """Text that was taken for a hallucination of the model; kept, so that nothing is lost without a trace.

    Times are seconds from the start of the chunk. The reason is `no-speech` (no speech likely and the words
    improbable), `repetitive` (text that compresses as speech does not) or `loop` (the same words over and over). The
    numbers are the model's for the decode that the text is from.
    """

    text: str
    start: Seconds
    end: Seconds
    reason: Literal["no-speech", "repetitive", "loop"]
    no_speech_probability: Probability
    average_log_probability: float
    compression_ratio: Annotated[float, Field(ge=0)]


class ContextWord(WireModel):
    """A word just outside a chunk; times are seconds from the chunk's start, negative or past its end."""

    word: str
    start: _AnySeconds
    end: _AnySeconds


class ContextWords(WireModel):
    """What the transcription that a chunk's text is from has right before and after the chunk.

    It is not part of the chunk's text. Two transcriptions of the same audio time a word differently, so between chunks
    of different transcriptions a word can be lost or doubled; these words let the session's transcript repair that.
    """

    before: tuple[ContextWord, ...] = ()
    after: tuple[ContextWord, ...] = ()


class ChunkTranscript(WireModel):
    """The result of one job. `duration` is the decoded audio in seconds; a chunk without speech has no segments."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    session_id: str
    user_id: str
    chunk_index: int
    audio_key: str
    language: str
    language_probability: Probability
    duration: Seconds
    model: str
    device: str
    segments: tuple[Segment, ...]
    segment_count: int
    word_count: int
    text: str
    source: Literal["batch"] = "batch"
    uploaded_at: str
    partial_audio: PartialAudio | None = None
    suppressed: tuple[Suppressed, ...] = ()
    header_synthesised: bool = False
    context_words: Annotated[ContextWords | None, _CONTEXT_WORDS] = None

    @model_serializer(mode="wrap")
    def _without_empty_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the fields that are empty unless something is unusual: programs of before them see no change."""
        present = serialize(self)
        return {name: value for name, value in present.items() if value or name not in _LEFT_OUT_WHEN_EMPTY}


# In both spellings: a serializer sees the names of the format or those of Python.
_LEFT_OUT_WHEN_EMPTY: Final = frozenset(
    spelling
    for name, info in ChunkTranscript.model_fields.items()
    if not info.is_required() and not info.default
    for spelling in (name, info.alias)
)


@with_config(_LENIENT)
@dataclass(slots=True)
class _FoundTranscript:
    """The fields of a `ChunkTranscript` that are read. What is only informative must not keep the words out."""

    segments: list[SpokenSegment]
    source: Any = None
    duration: Any = None
    model: Any = None
    partial_audio: Any = None
    context_words: Annotated[Any, _CONTEXT_WORDS] = None


_FOUND: Final = TypeAdapter(_FoundTranscript)


@dataclass(slots=True)
class ParsedTranscript:
    """A chunk's transcript, of a worker or a live recorder, as far as the session's transcript needs it.

    Attributes:
        chunk: the number as its key spells it.
        seconds: how long the chunk's audio lasts, when the transcript says so.
        has_word_times: whether all words have times of their own, none estimated from their segment's.
        before, after: the `ContextWords`; not part of the chunk's text.
    """

    chunk: str
    source: Literal["batch", "live"]
    seconds: float | None
    model: str | None
    segments: list[SpokenSegment]
    has_word_times: bool = True
    before: list[SpokenWord] = field(default_factory=list)
    after: list[SpokenWord] = field(default_factory=list)


def parse_transcript(chunk: str, body: bytes) -> ParsedTranscript:
    """The transcript of `chunk` in `body`: segments in order of time, each with words that join to its text.

    Raises:
        InvalidTranscriptError: it is not JSON, or lacks what a chunk transcript must have.
    """
    if len(body) > MAX_TRANSCRIPT_BYTES:
        raise InvalidTranscriptError(f"it is larger than {MAX_TRANSCRIPT_BYTES // 1024 // 1024} MB")
    try:
        found = _FOUND.validate_json(body)
    except ValidationError as error:
        raise InvalidTranscriptError(_first_problem(error)) from None
    segments = [segment for segment in found.segments if segment.is_final and _has_text(segment)]
    segments.sort(key=lambda segment: segment.start)
    timed = [_complete(segment) for segment in segments]
    context = _context(found)
    return ParsedTranscript(
        chunk,
        "batch" if found.source == "batch" else "live",
        _duration(found),
        found.model if isinstance(found.model, str) else None,
        segments,
        all(timed),
        [SpokenWord(word.word, word.start, word.end) for word in context.before],
        [SpokenWord(word.word, word.start, word.end) for word in context.after],
    )


def join_words(words: Iterable[Word | SpokenWord]) -> str:
    """The text that words make up."""
    return "".join(word.word for word in words).strip()


def _first_problem(error: ValidationError) -> str:
    """The first problem without the input, which is what somebody said."""
    problem = error.errors(include_input=False, include_url=False)[0]
    if problem["type"] == "json_invalid":
        return "it is not JSON"
    where = ".".join(str(part) for part in problem["loc"]) or "the transcript"
    return f"{where}: {problem['msg']}"


def _duration(found: _FoundTranscript) -> float | None:
    """How long the chunk was in the recording: of damaged audio the expected length, not what could be decoded."""
    seconds = found.duration
    if found.partial_audio is not None:
        try:
            seconds = PartialAudio.model_validate(found.partial_audio).expected_seconds
        except ValidationError:
            seconds = found.duration
    usable = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= _MAX_CHUNK_SECONDS
    return float(seconds) if usable else None


def _context(found: _FoundTranscript) -> ContextWords:
    try:
        return ContextWords.model_validate(found.context_words or {})
    except ValidationError:
        return ContextWords()


def _has_text(segment: SpokenSegment) -> bool:
    return bool(segment.text.strip()) or any(word.word.strip() for word in segment.words)


def _complete(segment: SpokenSegment) -> bool:
    """Give a segment its words and its text; returns whether the words have times of their own."""
    words = segment.words
    if not any(word.word.strip() for word in words):
        segment.words = _estimated_words(segment)
        return False
    if any(later.start < word.start for word, later in pairwise(words)):
        words.sort(key=lambda word: word.start)
    # Whisper's words bring their spaces. Those of other recorders may come bare and would run together.
    if " " in segment.text.strip() and not any(word.word[:1].isspace() for word in words[1:]):
        for word in words:
            word.word = f" {word.word.strip()}"
    segment.text = join_words(words)
    segment.start, segment.end = words[0].start, max(word.end for word in words)
    return True


def _estimated_words(segment: SpokenSegment) -> list[SpokenWord]:
    """The words of a text, spread over its time by their length: good enough to find seams and subtitles."""
    texts = segment.text.split()
    total = sum(len(text) + 1 for text in texts)
    seconds = max(0.0, segment.end - segment.start) / total
    words, at = [], segment.start
    for text in texts:
        end = at + (len(text) + 1) * seconds
        words.append(SpokenWord(f" {text}", at, end))
        at = end
    return words
