"""The transcript of a chunk, as published and as found."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from shared.formats.wire import WireModel

Seconds = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


# In both spellings: a serializer sees the names of the format or those of Python.
_ONLY_WHEN_TRUE: Final = frozenset(
    {"partial_audio", "partialAudio", "suppressed", "header_synthesised", "headerSynthesised", "beside"}
)


class Word(WireModel):
    """One word; `word` keeps the model's leading space, times are seconds from the start of the chunk."""

    word: str
    start: Seconds
    end: Seconds
    probability: Probability


class Segment(WireModel):
    """A stretch of speech; times are seconds from the start of the chunk."""

    text: str
    start: Seconds
    end: Seconds
    # snake case: the live path writes this field so, and its readers expect it
    is_final: Annotated[Literal[True], Field(alias="is_final")] = True
    words: tuple[Word, ...] = ()


class PartialAudio(WireModel):
    """Says that a chunk's audio was damaged, and how much of it was heard, in seconds."""

    expected_seconds: Seconds
    decoded_seconds: Seconds


class Suppressed(WireModel):
    """What the model wrote where, as far as its own numbers tell, nobody spoke; kept so that nothing is lost unseen.

    Times are seconds from the start of the chunk. The reason is `no-speech` (no speech likely and the words
    improbable), `repetitive` (text that compresses like no speech does) or `loop` (the same words over and over).
    The numbers are the model's for the decode that the text is from.
    """

    text: str
    start: Seconds
    end: Seconds
    reason: Literal["no-speech", "repetitive", "loop"]
    no_speech_probability: Probability
    average_log_probability: float
    compression_ratio: Annotated[float, Field(ge=0)]


class ContextWord(WireModel):
    """A word that was heard beside a chunk; times are seconds from the chunk's start, below 0 or beyond its end."""

    word: str
    start: float
    end: float


class ContextWords(WireModel):
    """What was heard right before and after a chunk, by the same hearing.

    It is not the chunk's text. Two hearings differ about the second in which a word is said, so at a seam between them
    it can be lost or stand twice; by these words a session's transcript tells which.
    """

    before: tuple[ContextWord, ...] = ()
    after: tuple[ContextWord, ...] = ()


class ChunkTranscript(WireModel):
    """The result of one job. `duration` is the decoded audio in seconds; no speech means no segments."""

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
    beside: ContextWords | None = None

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A part that says that something is unusual is there only then: readers of the older format see no change."""
        present = serialize(self)
        return {name: value for name, value in present.items() if value or name not in _ONLY_WHEN_TRUE}
