"""At the seam of two chunks no word stands twice or in pieces, and nothing that was said twice is lost."""

from typing import TYPE_CHECKING

import pytest

from shared.formats.transcripts import parse_transcript
from shared.session.transcript import SessionInputs, assemble

if TYPE_CHECKING:
    from tests.shared.session.conftest import MakeTranscript, Spoken


def text_of(*bodies: bytes) -> str:
    speech = {str(n): parse_transcript(str(n), body) for n, body in enumerate(bodies, 1)}
    return assemble(SessionInputs("s", "u", frozenset(speech), speech), 5).text


BEFORE: "Spoken" = [("the", 4.0, 4.2)]
AFTER: "Spoken" = [("tale", 0.6, 0.9)]


@pytest.mark.parametrize("live_first", [True, False])
def test_a_word_that_both_sides_heard_stands_once(
    batch: "MakeTranscript", live: "MakeTranscript", live_first: bool
) -> None:
    first, second = (live, batch) if live_first else (batch, live)

    text = text_of(first([*BEFORE, ("whole", 4.7, 5.0)]), second([("Whole,", 0.0, 0.2), *AFTER]))

    assert text.lower().replace(",", "") == "the whole tale"


def test_a_word_said_twice_stands_twice(batch: "MakeTranscript", live: "MakeTranscript") -> None:
    assert text_of(live([("no", 4.5, 4.8)]), batch([("no", 0.2, 0.5)])) == "no no"
    assert text_of(batch([("very", 4.3, 4.7)]), batch([("very", 0.1, 0.5)])) == "very very"


def test_several_words_heard_on_both_sides_at_the_same_time_stand_once(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    overheard = live([*BEFORE, ("best", 4.8, 5.1), ("of", 5.1, 5.3)])

    assert text_of(overheard, batch([("best", 0.0, 0.15), ("of", 0.15, 0.3), *AFTER])) == "the best of tale"


def test_several_words_said_twice_stand_twice(batch: "MakeTranscript", live: "MakeTranscript") -> None:
    said = live([("I", 4.3, 4.5), ("think", 4.5, 4.9)])

    assert text_of(said, batch([("I", 0.0, 0.2), ("think", 0.2, 0.6)])) == "I think I think"


def test_the_first_piece_of_a_word_goes_when_the_other_side_has_it_whole(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    assert text_of(live([*BEFORE, ("foolish", 4.7, 5.0)]), batch([("foolishness", 0.0, 0.3), *AFTER])) == (
        "the foolishness tale"
    )


def test_the_last_piece_of_a_word_goes_when_the_other_side_has_it_whole(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    assert text_of(batch([*BEFORE, ("belief,", 4.7, 5.0)]), live([("lief.", 0.0, 0.2), *AFTER])) == "the belief, tale"


def test_a_short_word_is_no_piece_of_the_one_before(batch: "MakeTranscript", live: "MakeTranscript") -> None:
    assert text_of(batch([("this", 4.8, 5.0)]), live([("is", 0.0, 0.2), *AFTER])) == "this is tale"


def test_what_a_worker_heard_is_never_taken_for_a_piece(batch: "MakeTranscript") -> None:
    assert text_of(batch([("there", 4.8, 5.0)]), batch([("here", 0.0, 0.2), *AFTER])) == "there here tale"


def test_a_mended_word_lasts_over_the_time_of_both_its_hearings(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    bodies = {"1": live([("whole", 4.7, 5.0)]), "2": batch([("whole", 0.0, 0.2), *AFTER])}
    speech = {name: parse_transcript(name, body) for name, body in bodies.items()}

    made = assemble(SessionInputs("s", "u", frozenset(speech), speech), 5)

    assert [(word.word, word.start, word.end) for word in made.segments[0].words] == [
        (" whole", 4.7, 5.2),
        (" tale", 5.6, 5.9),
    ]
    assert made.metadata.mended_words == 1


def beside(*, before: "Spoken" = (), after: "Spoken" = ()) -> dict[str, object]:
    """What a worker heard next to its chunk."""
    timed = {"before": before, "after": after}
    return {
        name: [{"word": f" {word}", "start": start, "end": end} for word, start, end in words]
        for name, words in timed.items()
    }


def test_words_that_each_side_left_to_the_other_are_put_in(batch: "MakeTranscript", live: "MakeTranscript") -> None:
    heard_on = beside(after=[("superlative", 5.0, 5.6), ("degree", 5.6, 5.9), ("of", 5.9, 6.0), ("it", 6.0, 6.3)])
    heard_before = beside(before=[("of", -0.9, -0.7), ("it", -0.7, -0.5), ("only", -0.5, -0.1)])
    live_words: Spoken = [("of", 0.0, 0.2), ("it", 0.2, 0.4)]

    assert text_of(batch(BEFORE, beside=heard_on), live(live_words)) == "the superlative degree of it"
    assert text_of(live([("of", 4.4, 4.7), ("it", 4.7, 5.0)]), batch(AFTER, beside=heard_before)) == "of it only tale"


def test_words_that_both_sides_kept_are_taken_out_of_the_one_that_heard_less(
    batch: "MakeTranscript", live: "MakeTranscript"
) -> None:
    worker = batch([*BEFORE, ("best", 4.3, 4.8)], beside=beside(after=[("of", 5.0, 5.2), ("times", 5.2, 5.6)]))

    said = text_of(worker, live([("best", 0.0, 0.3), ("of", 0.3, 0.4), ("times", 0.4, 0.8)]))

    assert said == "the best of times"


def test_what_cannot_be_laid_together_is_left_as_it_was_heard(batch: "MakeTranscript", live: "MakeTranscript") -> None:
    worker = batch(BEFORE, beside=beside(after=[("something", 5.0, 5.4), ("else", 5.4, 5.8)]))

    assert text_of(worker, live(AFTER)) == "the tale"


def test_words_beside_that_make_no_sense_do_not_keep_the_chunk_out(batch: "MakeTranscript") -> None:
    assert text_of(batch(BEFORE, beside={"after": "nothing"}), batch(AFTER, beside=[1])) == "the tale"
