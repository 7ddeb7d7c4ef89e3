"""A world in which every promise is kept, made by hand in the product's own formats, and ways to change it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.aws.sqs import QueueDepth
from shared.clock import iso
from shared.formats.layout import PENDING_JOBS_KEY, session_path, transcript_key
from shared.formats.transcripts import ChunkTranscript, Segment, Word, parse_transcript
from shared.reporting.reports import (
    BatchReport,
    ReportError,
    SessionOutcome,
    TranscriptionCounts,
    execution,
)
from shared.session.transcript import SessionInputs, assemble, plain_text, to_json
from tests.faults.harness.audio import words_of
from tests.faults.harness.call import Call
from tests.faults.harness.evidence import Chunk, Evidence, Exit, Host, Letter
from tests.faults.harness.journal import Entry

SESSION = session_path("ada", "s1")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CHUNKS = (
    Chunk(SESSION, "001", words_of(1, 1), live=True),
    Chunk(SESSION, "002", words_of(1, 2)),
    Chunk(SESSION, "003", words_of(1, 3)),
)
REPORT = "batch-reports/batch-2026-01-05-1200"
LAST = transcript_key(SESSION, "003")


def transcript(chunk: int, words: tuple[str, ...] | None = None, shift: float = 0.0) -> bytes:
    said = tuple(
        Word(word=f" {word}", start=slot / 2 + 0.15 + shift, end=slot / 2 + 0.35 + shift, probability=1)
        for slot, word in enumerate(words_of(1, chunk) if words is None else words)
    )
    text = "".join(word.word for word in said).strip()
    segments = (Segment(text=text, start=said[0].start, end=said[-1].end, words=said),) if said else ()
    made = ChunkTranscript(
        session_id="s1",
        user_id="ada",
        chunk_index=chunk,
        audio_key=f"{SESSION}/chunk-{chunk:03d}.flac",
        language="en",
        language_probability=1,
        duration=5.0,
        model="scripted",
        device="cpu",
        segments=segments,
        segment_count=len(segments),
        word_count=len(said),
        text=text,
        uploaded_at=iso(NOW),
    )
    return made.to_json().encode()


def session_files(bodies: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the product makes of a session's chunk transcripts."""
    speech = {chunk: parse_transcript(chunk, body) for chunk, body in bodies.items()}
    made = assemble(SessionInputs("s1", "ada", frozenset({"001", "002", "003"}), speech), 5)
    return {
        f"{SESSION}/transcription.json": to_json(made),
        f"{SESSION}/transcription.txt": "".join(plain_text(made)).encode(),
        f"{SESSION}/transcription.srt": b"",
        f"{SESSION}/transcription.vtt": b"WEBVTT\n",
    }


def report(done: tuple[str, ...] = ("002", "003"), errors: tuple[ReportError, ...] = (), **counts: Any) -> bytes:
    transcribed = len(done) - len(errors)
    made = BatchReport(
        report_id="batch-2026-01-05-1200",
        timestamp=iso(NOW),
        status="success",
        lock_status="lock is free",
        execution=execution(NOW, NOW),
        transcription=TranscriptionCounts(
            **{
                "chunks_found": len(done),
                "chunks_transcribed": transcribed,
                "chunks_failed": len(errors),
                **counts,
            }
        ),
        sessions=(
            SessionOutcome(
                session_id="s1",
                user_id="ada",
                chunks_processed=len(done),
                chunk_numbers=done,
                status="success",
                duration=5.0 * transcribed,
            ),
        ),
        errors=errors,
    )
    return made.to_json().encode()


def entry(
    on: str,
    target: str,
    *,
    actor: str = "worker-1",
    began: float = 100.0,
    statuses: tuple[int, ...] = (200,),
    **more: Any,
) -> Entry:
    service, operation = on.split(":")
    call = Call(actor, service, operation, target)
    return Entry(call, more.pop("status", statuses[0]), statuses, began, began + 0.01, **more)


def good() -> Evidence:
    """A session whose two gaps one worker has filled."""
    bodies = {"001": transcript(1), "002": transcript(2), "003": transcript(3)}
    objects = {transcript_key(SESSION, chunk): body for chunk, body in bodies.items()}
    objects |= session_files(bodies)
    objects |= {f"{SESSION}/chunk-{n:03d}.flac": b"" for n in (1, 2, 3)}
    objects |= {f"{REPORT}.json": report(), f"{REPORT}.html": b"<html></html>\n", PENDING_JOBS_KEY: b"{}"}
    written = [transcript_key(SESSION, "002"), LAST, f"{REPORT}.json", f"{REPORT}.html"]
    return Evidence(
        chunks=CHUNKS,
        objects=objects,
        depths={"jobs": QueueDepth(), "jobs-priority": QueueDepth()},
        journal=tuple(entry("s3:PutObject", key) for key in written),
        logs={"worker-1": '{"event": "ready", "level": "info"}\n'},
        exits=(Exit("worker-1", 0),),
        hosts=(Host("i-1", "stopped", owned=True, idle_seconds=30, bound_seconds=10),),
    )


def without(evidence: Evidence, *keys: str) -> Evidence:
    return replace(evidence, objects={key: body for key, body in evidence.objects.items() if key not in keys})


def having(evidence: Evidence, **objects: bytes) -> Evidence:
    return replace(evidence, objects={**evidence.objects, **objects})


def with_calls(evidence: Evidence, *entries: Entry) -> Evidence:
    return replace(evidence, journal=(*evidence.journal, *entries))


def dead(evidence: Evidence, *letters: Letter) -> Evidence:
    """The last chunk failed: its transcript is not there, the session's is partial, the report says so."""
    bodies = {"001": transcript(1), "002": transcript(2)}
    failure = ReportError(session_id="s1", chunk="003", reason="audio-empty", detail="there is none")
    evidence = without(evidence, LAST)
    evidence = having(evidence, **session_files(bodies), **{f"{REPORT}.json": report(errors=(failure,))})
    journal = tuple(each for each in evidence.journal if each.call.target != LAST)
    expected = {letters[0].reason: len(letters)} if letters else {}
    return replace(evidence, journal=journal, letters=letters, expected_letters=expected)


LETTER = Letter(SESSION, "003", "audio-empty")
