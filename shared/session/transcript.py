"""The session's transcript, and how it is made of its chunks' transcripts.

Pure: the same chunks always give the same bytes, so two workers that finish a session together write one and the same
transcript. Reading and writing it is `shared.session.finalise`'s business.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, with_config

from shared.formats.layout import chunk_order
from shared.formats.transcripts import ParsedTranscript, SpokenSegment, SpokenWord, join_words
from shared.formats.wire import WIRE
from shared.session.paragraphs import Paragraph, paragraphs
from shared.session.seams import mend_seam
from shared.session.timeline import LiveTimes, Timeline, lay_out

Status = Literal["completed", "partial"]


@with_config(WIRE)
@dataclass(slots=True)
class InvalidChunk:
    """A chunk whose transcript is there and cannot be read, and why."""

    chunk: str
    reason: str


@with_config(WIRE)
@dataclass(slots=True)
class TranscriptMetadata:
    """How the transcript was made.

    Attributes:
        transcription_engine: the models that heard it, most chunks first; `live` where the recorder names none.
        has_word_timestamps: whether all words' times were heard, none spread over a segment.
        chunks_processed: chunks whose transcripts it is made of.
        estimated_durations: chunks whose duration no transcript gives; the session's usual one stands for it.
        live_times: what the times in the live transcripts count from.
        mended_words: words taken out because two chunks had them.
        inputs: a digest of everything that it was made of.
    """

    transcription_engine: str
    has_word_timestamps: bool
    chunks_processed: int
    live_chunks: int
    batch_chunks: int
    estimated_durations: int
    live_times: LiveTimes
    mended_words: int
    inputs: str


@with_config(WIRE)
@dataclass(slots=True)
class SessionTranscript:
    """`transcription.json`. Times are seconds from the session's start.

    Attributes:
        created_at: when the session's first chunk was stored.
        completed_at: when its last transcript was; absent while it is partial.
        chunk_count: chunks that have audio or a transcript.
        missing_chunks: chunks with audio and no transcript, as their keys spell them.
        invalid_chunks: chunks whose transcript cannot be read.
        missing_audio: numbers between two chunks that have neither, such as `4` or `4-7`.
    """

    session_id: str
    user_id: str
    created_at: str | None
    completed_at: str | None
    status: Status
    chunk_count: int
    missing_chunks: list[str]
    invalid_chunks: list[InvalidChunk]
    missing_audio: list[str]
    segments: list[SpokenSegment]
    paragraphs: list[Paragraph]
    text: str
    total_segments: int
    total_duration: float
    word_count: int
    metadata: TranscriptMetadata
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1


@dataclass(slots=True)
class SessionInputs:
    """What a session's transcript is made of; `chunks` are the numbers as spelled, of audio and of transcripts.

    Attributes:
        speech: what was heard, by chunk. It is used up: assembling moves its times and takes words out.
        invalid: why a transcript cannot be read, by chunk.
    """

    session_id: str
    user_id: str
    chunks: frozenset[str]
    speech: Mapping[str, ParsedTranscript]
    invalid: Mapping[str, str] = field(default_factory=dict)
    first_stored_at: str | None = None
    last_transcript_at: str | None = None
    digest: str = ""


_DOCUMENT: Final = TypeAdapter(SessionTranscript)


def assemble(inputs: SessionInputs, chunk_seconds: float) -> SessionTranscript:
    """The transcript of a session.

    Args:
        chunk_seconds: the length of a chunk when no transcript of the session says it.
    """
    chunks = sorted(inputs.chunks, key=chunk_order)
    speech = [inputs.speech.get(chunk) for chunk in chunks]
    line = lay_out(chunks, speech, chunk_seconds)
    mended = _put_on_line(speech, line)
    heard = [each for each in speech if each]
    words = _in_order(heard, line)
    segments = [segment for each in heard for segment in each.segments]
    missing = [chunk for chunk in chunks if chunk not in inputs.speech and chunk not in inputs.invalid]
    status: Status = "partial" if missing or inputs.invalid else "completed"
    transcript = SessionTranscript(
        session_id=inputs.session_id,
        user_id=inputs.user_id,
        created_at=inputs.first_stored_at,
        completed_at=inputs.last_transcript_at if status == "completed" else None,
        status=status,
        chunk_count=len(chunks),
        missing_chunks=missing,
        invalid_chunks=[InvalidChunk(chunk, inputs.invalid[chunk]) for chunk in chunks if chunk in inputs.invalid],
        missing_audio=_missing_numbers(chunks),
        segments=segments,
        paragraphs=paragraphs(words),
        text=" ".join(segment.text for segment in segments),
        total_segments=len(segments),
        total_duration=round(line.total, 3),
        word_count=len(words),
        metadata=_metadata(heard, line, mended, inputs.digest),
    )
    for each in heard:
        if not each.has_word_times:
            _forget_estimates(each)
    return transcript


def to_json(transcript: SessionTranscript) -> bytes:
    """The transcript as it stands in S3."""
    return _DOCUMENT.dump_json(transcript, by_alias=True)


def from_json(body: bytes) -> SessionTranscript:
    """The transcript in `body`.

    Raises:
        ValueError: it is no session transcript of this schema.
    """
    return _DOCUMENT.validate_json(body)


def _put_on_line(speech: Sequence[ParsedTranscript | None], line: Timeline) -> int:
    """Count all times from the session's start and mend the seams; returns how many words that took out."""
    for each, origin in zip(speech, line.origins, strict=True):
        if each and origin:
            own = (word for segment in each.segments for word in segment.words)
            for word in chain(own, each.before, each.after):
                word.start += origin
                word.end += origin
    seams = zip(pairwise(speech), line.starts[1:], strict=True) if len(speech) > 1 else ()
    return sum(mend_seam(before, after, seam) for (before, after), seam in seams if before and after)


def _in_order(heard: Sequence[ParsedTranscript], line: Timeline) -> list[SpokenWord]:
    """All words, their times in milliseconds, never going back, within the session; segments are put around them."""
    words: list[SpokenWord] = []
    earliest, end = 0.0, round(line.total, 3)
    for segment in (segment for each in heard for segment in each.segments):
        for word in segment.words:
            word.start = min(max(earliest, round(word.start, 3)), end)
            word.end = min(max(word.start, round(word.end, 3)), end)
            if words and words[-1].end > word.start:
                words[-1].end = word.start
            earliest = word.start
            words.append(word)
    for segment in (segment for each in heard for segment in each.segments):
        segment.start, segment.end = segment.words[0].start, segment.words[-1].end
    return words


def _forget_estimates(speech: ParsedTranscript) -> None:
    """Times that nobody heard helped to find seams and paragraphs, and must not pass for heard ones."""
    for segment in speech.segments:
        if any(word.probability is None for word in segment.words):
            segment.text, segment.words = join_words(segment.words), []


def _missing_numbers(chunks: Sequence[str]) -> list[str]:
    holes = []
    for before, after in pairwise(chunks):
        first, last = int(before) + 1, int(after) - 1
        if first <= last:
            holes.append(str(first) if first == last else f"{first}-{last}")
    return holes


def _metadata(heard: Sequence[ParsedTranscript], line: Timeline, mended: int, digest: str) -> TranscriptMetadata:
    engines = Counter(each.model or each.source for each in heard)
    sources = Counter(each.source for each in heard)
    return TranscriptMetadata(
        transcription_engine=", ".join(sorted(engines, key=lambda engine: (-engines[engine], engine))),
        has_word_timestamps=all(each.has_word_times for each in heard),
        chunks_processed=len(heard),
        live_chunks=sources["live"],
        batch_chunks=sources["batch"],
        estimated_durations=line.estimated,
        live_times=line.live_times,
        mended_words=mended,
        inputs=digest,
    )


def plain_text(transcript: SessionTranscript) -> Iterator[str]:
    """The lines of `transcription.txt`: a paragraph each, an empty line between two."""
    for place, paragraph in enumerate(transcript.paragraphs):
        yield "\n\n" if place else ""
        yield paragraph.text
    if transcript.paragraphs:
        yield "\n"
