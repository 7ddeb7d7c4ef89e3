"""A session's transcript is made of all that its chunks' transcripts say, once, in order, and says what it lacks."""

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.transcripts import InvalidTranscriptError, ParsedTranscript, parse_transcript
from shared.session.transcript import SessionInputs, SessionTranscript, assemble, from_json, plain_text, to_json

if TYPE_CHECKING:
    from tests.shared.session.conftest import MakeTranscript


def assembled(
    bodies: dict[str, bytes], chunks: set[str] | None = None, *, chunk_seconds: float = 5.0
) -> SessionTranscript:
    speech: dict[str, ParsedTranscript] = {}
    invalid: dict[str, str] = {}
    for chunk, body in bodies.items():
        try:
            speech[chunk] = parse_transcript(chunk, body)
        except InvalidTranscriptError as error:
            invalid[chunk] = error.reason
    inputs = SessionInputs("s1", "alice", frozenset(bodies.keys() | (chunks or set())), speech, invalid)
    return assemble(inputs, chunk_seconds)


def starts(transcript: SessionTranscript) -> list[float]:
    return [word.start for segment in transcript.segments for word in segment.words]


def test_times_count_from_the_sessions_start_by_the_durations_of_the_audio(batch: "MakeTranscript") -> None:
    bodies = {
        "001": batch([("one", 1, 1.5)], duration=4.98),
        "002": batch([("two", 1, 1.5)], duration=4.5),
        "010": batch([("ten", 1, 1.5)], duration=2.0),
    }

    made = assembled(bodies)

    assert starts(made) == [1.0, 5.98, 10.48]
    assert made.total_duration == 11.48
    assert made.text == "one two ten"


def test_a_duration_that_nobody_gives_is_the_sessions_usual_one_and_counted(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    bodies = {
        "001": live([("one", 1, 1.5)]),
        "002": batch([("two", 1, 1.5)], duration=4.9),
        "003": batch([("three", 1, 1.5)], duration=4.9),
        "004": batch([("end", 0.5, 0.9)], duration=1.0),
    }

    made = assembled(bodies)

    assert starts(made) == [1.0, 5.9, 10.8, 15.2]
    assert made.metadata.estimated_durations == 1


def test_without_any_known_duration_the_recorders_chunk_length_counts(live: "MakeTranscript") -> None:
    made = assembled({"1": live([("one", 1, 2)]), "2": live([("two", 1, 2)])}, chunk_seconds=6)

    assert starts(made) == [1.0, 7.0]
    assert made.metadata.estimated_durations == 2


def test_damaged_audio_takes_the_time_that_it_had_in_the_recording(batch: "MakeTranscript") -> None:
    damaged = batch([("one", 1, 2)], duration=3.1, partialAudio={"expectedSeconds": 5.0, "decodedSeconds": 3.1})

    made = assembled({"1": damaged, "2": batch([("two", 1, 2)])})

    assert starts(made) == [1.0, 6.0]


@pytest.mark.parametrize("step", [4.98, 5.0])
def test_live_times_that_count_from_the_sessions_start_are_recognised(
    batch: "MakeTranscript", live: "MakeTranscript", step: float
) -> None:
    bodies = {
        f"{n:03d}": live([(f"w{n}", (n - 1) * step + 1, (n - 1) * step + 2)])
        if n % 2
        else batch([(f"w{n}", 1, 2)], duration=4.98)
        for n in range(1, 201)
    }

    made = assembled(bodies)

    assert made.metadata.live_times == "session"
    assert starts(made) == pytest.approx([(n - 1) * 4.98 + 1 for n in range(1, 201)], abs=0.02)


def test_a_few_odd_transcripts_do_not_decide_what_live_times_count_from(live: "MakeTranscript") -> None:
    bodies = {f"{n:03d}": live([(f"w{n}", 1, 2)]) for n in range(1, 30)}
    bodies["010"] = live([("odd", 46, 47)])

    made = assembled(bodies)

    assert made.metadata.live_times == "chunk"
    assert starts(made)[0::28] == [1.0, 141.0]
    assert 45 <= starts(made)[9] <= 50


def test_gaps_make_it_partial_and_are_named_as_their_keys_spell_them(batch: "MakeTranscript") -> None:
    made = assembled({"001": batch([("one", 1, 2)])}, {"001", "002", "12"})

    assert (made.status, made.missing_chunks, made.chunk_count) == ("partial", ["002", "12"], 3)


def test_a_corrupt_transcript_is_named_with_its_reason_and_the_rest_is_assembled(batch: "MakeTranscript") -> None:
    made = assembled({"1": batch([("one", 1, 2)]), "2": b'{"segments": [', "3": batch([("three", 1, 2)])})

    assert made.status == "partial"
    assert [(each.chunk, each.reason) for each in made.invalid_chunks] == [("2", "it is not JSON")]
    assert made.missing_chunks == []
    assert made.text == "one three"
    assert starts(made) == [1.0, 11.0]


def test_numbers_that_have_neither_audio_nor_transcript_are_named_and_are_no_failure(batch: "MakeTranscript") -> None:
    made = assembled({chunk: batch([(chunk, 1, 2)]) for chunk in ("001", "003", "009")})

    assert (made.status, made.missing_audio) == ("completed", ["2", "4-8"])
    assert starts(made) == [1.0, 6.0, 11.0]


def test_a_session_without_chunks_is_an_empty_transcript() -> None:
    made = assembled({})

    assert (made.chunk_count, made.text, made.total_duration, made.segments) == (0, "", 0, [])


def test_silence_is_a_result(batch: "MakeTranscript") -> None:
    made = assembled({"1": batch([]), "2": batch([("word", 1, 2)]), "3": batch([])})

    assert (made.status, made.text, made.total_duration) == ("completed", "word", 15.0)


def test_interim_results_of_the_live_path_are_left_out(live: "MakeTranscript") -> None:
    segments = [
        {"text": "we sh", "start": 0, "end": 1, "is_final": False},
        {"text": "we should go", "start": 0, "end": 2, "is_final": True},
    ]

    assert assembled({"1": live([], segments=segments)}).text == "we should go"


def test_text_without_words_is_kept_without_pretending_to_know_their_times(live: "MakeTranscript") -> None:
    body = live([], segments=[{"text": "hello there you", "start": 1, "end": 3}])

    made = assembled({"1": body})

    assert [(each.text, each.start, each.end, each.words) for each in made.segments] == [("hello there you", 1, 3, [])]
    assert not made.metadata.has_word_timestamps
    assert made.word_count == 3


def test_words_that_come_without_spaces_are_parted(live: "MakeTranscript") -> None:
    words = [{"word": "hello", "start": 0, "end": 1}, {"word": "you", "start": 1, "end": 2}]
    body = live([], segments=[{"text": "hello you", "start": 0, "end": 2, "words": words}])

    assert assembled({"1": body, "2": body}).text == "hello you hello you"


def test_a_long_pause_begins_a_new_paragraph(batch: "MakeTranscript") -> None:
    made = assembled({"1": batch([("One.", 0, 1), ("Two.", 1.2, 2)]), "2": batch([("Three.", 1, 2)])})

    assert [(each.text, each.start, each.end) for each in made.paragraphs] == [("One. Two.", 0, 2), ("Three.", 6, 7)]
    assert "".join(plain_text(made)) == "One. Two.\n\nThree.\n"


def test_long_speech_is_parted_at_the_end_of_a_sentence(batch: "MakeTranscript") -> None:
    bodies = {f"{n}": batch([("we", 0, 2.5), ("talk." if n % 4 == 0 else "talk", 2.5, 5)]) for n in range(1, 41)}

    made = assembled(bodies)

    assert len(made.paragraphs) == 4
    assert all(each.text.endswith("talk.") for each in made.paragraphs)


def test_the_document_has_the_fields_of_the_format(batch: "MakeTranscript") -> None:
    document = json.loads(to_json(assembled({"001": batch([("one", 1, 2)])})))

    assert document["schema"] == 1
    assert document["segments"][0] == {
        "start": 1.0,
        "end": 2.0,
        "text": "one",
        "is_final": True,
        "words": [{"word": " one", "start": 1.0, "end": 2.0, "probability": 0.9}],
    }
    assert document.keys() >= {"sessionId", "userId", "createdAt", "completedAt", "missingChunks", "totalSegments"}
    assert document["metadata"].keys() >= {"transcriptionEngine", "hasWordTimestamps", "chunksProcessed"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"segments": null}',
        b'{"segments": [{"text": "no times"}]}',
        b'{"segments": [{"text": "x", "start": "soon", "end": 2}]}',
        b'{"segments": [{"text": "x", "start": NaN, "end": 2}]}',
        b'{"segments": [{"text": "x", "start": 0, "end": 1e999}]}',
        b'{"segments": [{"text": "\\ud800", "start": 0, "end": 1}]}',
        b"\xff\xfe{}",
        b"[" * 100_000,
    ],
)
def test_what_is_no_transcript_is_refused_with_a_reason_that_quotes_nothing(body: bytes) -> None:
    with pytest.raises(InvalidTranscriptError) as refused:
        parse_transcript("1", body)

    assert refused.value.reason
    assert "soon" not in refused.value.reason


times = st.floats(-10, 1e6, allow_nan=False)
word = st.fixed_dictionaries({"word": st.text(max_size=12), "start": times, "end": times})
segment = st.fixed_dictionaries(
    {"text": st.text(max_size=40), "start": times, "end": times, "words": st.lists(word, max_size=4)}
)
chunk = st.fixed_dictionaries(
    {"segments": st.lists(segment, max_size=3), "source": st.sampled_from(["batch", "live", None, 3])},
    optional={"duration": st.one_of(st.floats(-1, 100), st.none(), st.just("5"))},
)


@given(st.dictionaries(st.from_regex(r"\A[0-9]{1,4}\Z"), chunk, max_size=6))
def test_whatever_transcripts_say_times_never_go_back_and_end_with_the_session(found: dict[str, Any]) -> None:
    bodies = {name: json.dumps(content).encode(errors="surrogatepass") for name, content in found.items()}

    made = assembled(bodies)

    spoken = [word for segment in made.segments for word in segment.words]
    assert all(0 <= word.start <= word.end <= made.total_duration for word in spoken)
    assert all(before.end <= after.start for before, after in pairwise(spoken))
    assert all(before.start <= after.start for before, after in pairwise(made.segments))
    assert from_json(to_json(made)) == made


def test_a_chunk_with_a_number_beyond_all_counting_has_its_place_at_the_end(live: "MakeTranscript") -> None:
    made = assembled({"001": live([("one", 1, 2)]), "9" * 900: live([("last", 1, 2)])})

    assert made.text == "one last"
    assert starts(made) == [1.0, 6.0]


@pytest.mark.parametrize("seconds", [10**400, 1e308, 24 * 3600 + 1])
def test_a_duration_that_no_chunk_can_have_is_not_known(batch: "MakeTranscript", seconds: float) -> None:
    made = assembled({"001": batch([("one", 1, 2)], duration=seconds), "002": batch([("two", 1, 2)], duration=4.0)})

    assert made.total_duration == 8.0
    assert made.metadata.estimated_durations == 1


@pytest.mark.parametrize("time", [1e14, -1e308, 1e308])
def test_a_transcript_with_times_that_no_clock_shows_cannot_be_read(live: "MakeTranscript", time: float) -> None:
    made = assembled({"001": live([("one", time, time)]), "002": live([("two", 1, 2)])})

    assert [each.chunk for each in made.invalid_chunks] == ["001"]
    assert made.text == "two"


def test_live_times_may_count_from_1970_in_milliseconds(live: "MakeTranscript") -> None:
    made = assembled({"001": live([("one", 1_767_323_045_000.0, 1_767_323_045_001.0)])})

    assert made.text == "one"
    assert 0 <= starts(made)[0] <= 5
