"""The chunk transcript: its JSON has the names of the contract, whatever Python calls them."""

import json
from dataclasses import fields
from typing import Any

import pytest
from pydantic import ValidationError

from shared.formats.transcripts import (
    ChunkTranscript,
    ContextWord,
    ContextWords,
    PartialAudio,
    Segment,
    SpokenSegment,
    SpokenWord,
    Suppressed,
    Word,
    parse_transcript,
)
from shared.formats.wire import WireModel


def transcript(**changes: Any) -> ChunkTranscript:
    word = Word(word=" Hello", start=0.5, end=0.9, probability=0.98)
    fields: dict[str, Any] = {
        "session_id": "s",
        "user_id": "u",
        "chunk_index": 7,
        "audio_key": "users/u/audio/sessions/s/chunk-007.webm",
        "language": "en",
        "language_probability": 1,
        "duration": 5.0,
        "model": "tiny.en",
        "device": "cpu",
        "segments": (Segment(text="Hello", start=0.5, end=0.9, words=(word,)),),
        "segment_count": 1,
        "word_count": 1,
        "text": "Hello",
        "uploaded_at": "2026-01-02T03:04:05.000Z",
    }
    return ChunkTranscript(**{**fields, **changes})


def test_the_json_has_the_names_of_the_contract() -> None:
    found = json.loads(transcript().to_json())

    assert set(found) == {
        "schema",
        "sessionId",
        "userId",
        "chunkIndex",
        "audioKey",
        "language",
        "languageProbability",
        "duration",
        "model",
        "device",
        "segments",
        "segmentCount",
        "wordCount",
        "text",
        "source",
        "uploadedAt",
    }
    assert (found["schema"], found["source"]) == (1, "batch")


def test_segments_and_words_have_the_names_of_the_contract_and_are_final() -> None:
    (segment,) = json.loads(transcript().to_json())["segments"]

    assert segment == {
        "text": "Hello",
        "start": 0.5,
        "end": 0.9,
        "is_final": True,
        "words": [{"word": " Hello", "start": 0.5, "end": 0.9, "probability": 0.98}],
    }


def test_a_transcript_is_read_back_as_it_was_written() -> None:
    written = transcript(partial_audio=PartialAudio(expected_seconds=5, decoded_seconds=3.2))

    assert ChunkTranscript.model_validate_json(written.to_json()) == written
    assert json.loads(written.to_json())["partialAudio"] == {"expectedSeconds": 5, "decodedSeconds": 3.2}


def test_what_was_suppressed_and_a_made_up_header_are_told_and_read_back() -> None:
    thanks = Suppressed(
        text="Thank you.",
        start=1,
        end=2.5,
        reason="no-speech",
        no_speech_probability=0.9,
        average_log_probability=-1.4,
        compression_ratio=0.6,
    )
    written = transcript(suppressed=(thanks,), header_synthesised=True)

    found = json.loads(written.to_json())
    assert found["headerSynthesised"] is True
    assert found["suppressed"] == [
        {
            "text": "Thank you.",
            "start": 1,
            "end": 2.5,
            "reason": "no-speech",
            "noSpeechProbability": 0.9,
            "averageLogProbability": -1.4,
            "compressionRatio": 0.6,
        }
    ]
    assert ChunkTranscript.model_validate_json(written.to_json()) == written
    assert "header_synthesised" not in transcript().model_dump()


@pytest.mark.parametrize(("lenient", "strict"), [(SpokenWord, Word), (SpokenSegment, Segment)])
def test_the_reader_has_the_fields_of_the_writer(lenient: type, strict: type[WireModel]) -> None:
    assert {each.name for each in fields(lenient)} == strict.model_fields.keys()


def test_the_reader_finds_what_the_writer_wrote() -> None:
    before, after = ContextWord(word=" so", start=-0.3, end=-0.1), ContextWord(word=" then", start=5.1, end=5.4)
    written = transcript(
        partial_audio=PartialAudio(expected_seconds=5, decoded_seconds=3.2),
        duration=3.2,
        context_words=ContextWords(before=(before,), after=(after,)),
    )

    found = parse_transcript("007", written.to_json().encode())

    assert (found.source, found.seconds, found.model, found.has_word_times) == ("batch", 5.0, "tiny.en", True)
    assert [(s.text, s.start, s.end, s.is_final) for s in found.segments] == [("Hello", 0.5, 0.9, True)]
    assert found.segments[0].words == [SpokenWord(" Hello", 0.5, 0.9, 0.98)]
    assert (found.before, found.after) == ([SpokenWord(" so", -0.3, -0.1)], [SpokenWord(" then", 5.1, 5.4)])
    assert json.loads(written.to_json())["beside"]["before"] == [{"word": " so", "start": -0.3, "end": -0.1}]


def test_no_speech_is_a_result_with_no_segments() -> None:
    silence = transcript(segments=(), segment_count=0, word_count=0, text="")

    assert json.loads(silence.to_json())["segments"] == []


@pytest.mark.parametrize(
    "wrong", [{"duration": -1}, {"language_probability": 1.5}, {"schema": 2}, {"source": "live"}, {"duration": None}]
)
def test_a_transcript_that_cannot_be_true_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        transcript(**wrong)
