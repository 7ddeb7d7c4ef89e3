"""Invariants about what was said: every gap's transcript exactly once and right, and the session's own made of them."""

from collections.abc import Iterator, Sequence
from signal import SIGKILL
from typing import Final

from pydantic import ValidationError

from shared.formats.layout import TRANSCRIPT_NAMES
from shared.formats.transcripts import ChunkTranscript, Word
from shared.session.transcript import SessionTranscript, from_json
from tests.faults.harness.audio import CHUNK_SECONDS, SLOT_SECONDS
from tests.faults.harness.evidence import Chunk, Evidence

# The scripted transcriber puts a word in the middle of its slot; cutting and rounding may move it a little.
_TOLERANCE_SECONDS: Final = SLOT_SECONDS / 4
_GONE: Final = "audio-gone"
_LETTERS: Final = "-dead-letter"


def transcribed_exactly_once(evidence: Evidence) -> Iterator[str]:
    """Every gap has its transcript, written once, or is on the dead-letter queue: never both, never neither.

    A dead letter is sent before the job's own message is deleted, so that it cannot get lost. Who is killed in between
    leaves both, and a second letter follows.
    """
    most_letters = 1 + _killed_senders_of_letters(evidence)
    for chunk in evidence.chunks:
        there = chunk.transcript_key in evidence.objects
        written = evidence.publications.get(chunk.transcript_key, 0)
        letters = evidence.lettered.get((chunk.session, chunk.chunk), ())
        if not chunk.is_job:
            if written or not there:
                yield f"{chunk}: the recorder's transcript was {'written over' if there else 'lost'}"
            continue
        if not there and not letters:
            yield f"{chunk}: lost, neither transcribed nor on the dead-letter queue"
        if there and letters and not chunk.forced:
            yield f"{chunk}: both transcribed and on the dead-letter queue ({letters[0].reason})"
        if len(letters) > most_letters:
            yield f"{chunk}: {len(letters)} times on the dead-letter queue"
        if written > 1 and not chunk.forced:
            yield f"{chunk}: its transcript was written {written} times"
        if there and not written and not chunk.live:
            yield f"{chunk}: has a transcript that nobody in the fleet wrote"


def _killed_senders_of_letters(evidence: Evidence) -> int:
    sends = [call for call in evidence.by_fleet("sqs:SendMessage") if call.call.target.endswith(_LETTERS)]
    senders = {send.call.actor for send in sends if send.effective}
    return sum(end.status == -SIGKILL and end.actor in senders for end in evidence.exits)


def transcripts_are_right(evidence: Evidence) -> Iterator[str]:
    """Each transcript holds its chunk's words and no other, as a run without faults would give it."""
    for chunk in evidence.chunks:
        body = evidence.objects.get(chunk.transcript_key)
        if body is None or (chunk.live and not chunk.forced):
            continue
        try:
            transcript = ChunkTranscript.model_validate_json(body)
        except ValidationError as error:
            yield f"{chunk}: its transcript is not valid ({error.errors()[0]['type']})"
        else:
            yield from (f"{chunk}: {wrong}" for wrong in _wrong(chunk, transcript))


def _wrong(chunk: Chunk, transcript: ChunkTranscript) -> Iterator[str]:
    words = [word for segment in transcript.segments for word in segment.words]
    said = tuple(word.word.strip() for word in words)
    if chunk.words is not None:
        yield from _wrong_words(chunk.words, words)
        if transcript.partial_audio or abs(transcript.duration - CHUNK_SECONDS) > 0.001:
            yield f"is about {transcript.duration} s of audio"
    if transcript.word_count != len(words) or transcript.segment_count != len(transcript.segments):
        yield "counts words or segments that it does not have"
    if transcript.text.split() != list(said):
        yield "its text is not its words"
    session = f"users/{transcript.user_id}/audio/sessions/{transcript.session_id}"
    if session != chunk.session or transcript.chunk_index != int(chunk.chunk):
        yield "names another chunk"


def _wrong_words(said: Sequence[str], words: Sequence[Word]) -> Iterator[str]:
    heard = [word.word.strip() for word in words]
    if heard != list(said):
        yield f"says {_shortened(heard)} instead of {_shortened(said)}"
    elif not _in_place(words):
        yield "its words are not where they were said"


def _in_place(words: Sequence[Word]) -> bool:
    """Whether each word lies about the middle of its slot, the number of which it ends with."""
    middles = [(word.start + word.end) / 2 for word in words]
    slots = [int(word.word.rpartition("w")[2]) for word in words]
    return all(
        abs(middle - (slot + 0.5) * SLOT_SECONDS) <= _TOLERANCE_SECONDS
        for middle, slot in zip(middles, slots, strict=True)
    )


def session_transcripts_are_right(evidence: Evidence) -> Iterator[str]:
    """A session without a gap has its transcript, made of all its chunks; one with dead letters none or a true one.

    A chunk whose audio was deleted before anybody transcribed it is none of its session's any more.
    """
    gone = {(each.session, each.chunk) for each in evidence.chunks if _is_gone(each, evidence)}
    for session, recorded in evidence.sessions.items():
        chunks = [chunk for chunk in recorded if (chunk.session, chunk.chunk) not in gone]
        name = session.rpartition("/")[2]
        body = evidence.objects.get(f"{session}/transcription.json")
        missing = [chunk for chunk in chunks if chunk.transcript_key not in evidence.objects]
        if body is None:
            if not missing:
                yield f"{name}: has no transcript, and no gap is left"
            continue
        try:
            transcript = from_json(body)
        except ValueError:
            yield f"{name}: its transcript is not valid"
            continue
        yield from (f"{name}: {wrong}" for wrong in _wrong_session(transcript, chunks, missing))
        absent = [each for each in TRANSCRIPT_NAMES if f"{session}/{each}" not in evidence.objects]
        if absent:
            yield f"{name}: {', '.join(absent)} missing beside transcription.json"
            continue
        text = evidence.objects[f"{session}/transcription.txt"].decode().split()
        if text != transcript.text.split():
            yield f"{name}: transcription.txt says something else than transcription.json"


def _is_gone(chunk: Chunk, evidence: Evidence) -> bool:
    if chunk.transcript_key in evidence.objects:
        return False
    letters = evidence.lettered.get((chunk.session, chunk.chunk), ())
    audio = f"{chunk.session}/chunk-{chunk.chunk}."
    return any(letter.reason == _GONE for letter in letters) and not any(
        key.startswith(audio) for key in evidence.objects
    )


def _wrong_session(transcript: SessionTranscript, chunks: Sequence[Chunk], missing: Sequence[Chunk]) -> Iterator[str]:
    if transcript.status != ("partial" if missing else "completed"):
        yield f"is {transcript.status} with {len(missing)} chunks missing"
    if transcript.missing_chunks != [chunk.chunk for chunk in missing]:
        yield f"says that {_shortened(transcript.missing_chunks)} are missing"
    if transcript.invalid_chunks:
        yield f"cannot read {_shortened([each.chunk for each in transcript.invalid_chunks])}"
    if transcript.chunk_count != len(chunks):
        yield f"counts {transcript.chunk_count} of {len(chunks)} chunks"
    if any(chunk.words is None for chunk in chunks):
        return
    words = [word for chunk in chunks if chunk not in missing for word in chunk.words or ()]
    if transcript.text.split() != words:
        yield f"says {_shortened(transcript.text.split())} instead of {_shortened(words)}"
    if transcript.word_count != len(words):
        yield f"counts {transcript.word_count} of {len(words)} words"


def _shortened(words: Sequence[str]) -> str:
    shown = " ".join(words[:12]) or "nothing"
    return f"{shown} … ({len(words)})" if len(words) > 12 else shown
