import re
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.model.suppression import COMPRESSION_LIMIT, DecodedSegment, find_loops, sift
from shared.formats.transcripts import Segment, Word

REFERENCE = (Path(__file__).parents[3] / "samples" / "two_cities" / "reference.txt").read_text()


def heard(
    text: str,
    *,
    start: float = 0.0,
    pace: float = 0.3,
    decode: int = 0,
    no_speech: float = 0.1,
    log_probability: float = -0.2,
    compression: float = 1.2,
) -> DecodedSegment:
    """A segment with a word each `pace` seconds."""
    words = [
        Word(
            word=f" {word}",
            start=round(start + pace * place, 3),
            end=round(start + pace * (place + 1), 3),
            probability=0.9,
        )
        for place, word in enumerate(text.split())
    ]
    return DecodedSegment(Segment.of_words(words), decode, no_speech, log_probability, compression)


def loops_in(text: str, pace: float = 0.3) -> list[str]:
    words = re.sub(r"[^a-z ]", "", text.lower()).split()
    starts = [pace * place for place in range(len(words))]
    return [" ".join(words[loop.start : loop.stop]) for loop in find_loops(words, starts)]


def test_given_no_speech_likely_and_improbable_words_then_they_are_suppressed_with_their_numbers() -> None:
    kept, (suppressed,) = sift([heard("Thank you.", start=2, no_speech=0.81234, log_probability=-1.2, compression=0.7)])

    assert kept == ()
    assert suppressed.model_dump() == {
        "text": "Thank you.",
        "start": 2.0,
        "end": 2.6,
        "reason": "no-speech",
        "no_speech_probability": 0.8123,
        "average_log_probability": -1.2,
        "compression_ratio": 0.7,
    }


@pytest.mark.parametrize(("no_speech", "log_probability"), [(0.99, -0.3), (0.1, -1.5), (0.6, -1.5), (0.99, -1.0)])
def test_given_only_one_of_the_two_signs_then_the_words_stay(no_speech: float, log_probability: float) -> None:
    kept, suppressed = sift([heard("Thank you.", no_speech=no_speech, log_probability=log_probability)])

    assert [part.text for part in kept] == ["Thank you."]
    assert suppressed == ()


def test_given_real_anaphora_then_all_of_it_stays_also_where_it_compresses_like_a_loop() -> None:
    # given: an opening that compresses by more than the limit
    opening = REFERENCE.split(" In short")[0]
    assert len(opening) / len(zlib.compress(opening.encode())) > COMPRESSION_LIMIT

    kept, suppressed = sift([heard(opening, compression=2.5)])

    assert (kept[0].text, suppressed) == (opening, ())
    assert loops_in(REFERENCE) == []


@pytest.mark.parametrize(
    "said",
    [
        "No, no, no, no, no, no, not again.",
        "Thank you, thank you, thank you, thank you.",
        "Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily, life is but a dream.",
        "Nine nine nine nine one one one one.",
        "I have a dream that one day. I have a dream that one night. I have a dream today. I have a dream.",
    ],
)
def test_given_what_people_really_repeat_then_it_is_no_loop(said: str) -> None:
    assert loops_in(said) == []


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("you " * 40, "you " * 39),
        ("well thank you " + "thank you " * 12 + "and", "thank you " * 12),
        ("so we have to be able " + "to be able " * 9, "to be able " * 9),
        ("I do not know what to say " * 5 + "I do", "I do not know what to say " * 4),
    ],
)
def test_given_a_loop_then_all_but_its_first_saying_are_found(text: str, taken: str) -> None:
    assert " ".join(loops_in(text)) == taken.lower().strip()


def test_given_the_same_sentence_at_long_intervals_then_it_is_no_loop() -> None:
    assert loops_in("Lord hear our prayer " * 6, pace=2.0) == []


def test_given_speech_that_ends_in_a_loop_then_the_speech_stays_and_the_loop_is_suppressed_as_one() -> None:
    parts = [
        heard("We meet on Monday.", compression=5),
        *(heard("Thank you.", start=2 + 0.6 * place, compression=5) for place in range(10)),
        heard("Goodbye.", start=9, compression=5),
    ]

    kept, (suppressed,) = sift(parts)

    assert [part.text for part in kept] == ["We meet on Monday.", "Thank you.", "Goodbye."]
    assert suppressed.reason == "loop"
    assert suppressed.text == " ".join(["Thank you."] * 9)
    assert (suppressed.start, suppressed.end) == (2.6, 8.0)


def test_given_a_loop_within_a_segment_then_what_is_around_it_stays_with_its_times() -> None:
    (part,), (suppressed,) = sift([heard("He said " + "no " * 20 + "and left.")])

    assert part.text == "He said no and left."
    assert [word.start for word in part.words] == [0.0, 0.3, 0.6, 6.6, 6.9]
    assert (suppressed.start, suppressed.end) == (0.9, 6.6)


def test_given_a_decode_that_is_repetitive_without_any_exact_loop_then_it_is_suppressed_as_a_whole() -> None:
    # given: a long sentence again and again, longer than the words that the loop guard compares
    sentence = "and then we went to the place where we had been before and then we went to see it all "
    babble = [heard(sentence * 4, compression=4.0, decode=7), heard(sentence * 2, start=25, compression=4.0, decode=7)]
    speech = heard("That is all.", start=50, decode=8)

    kept, (suppressed,) = sift([*babble, speech])

    assert [part.text for part in kept] == ["That is all."]
    assert (suppressed.reason, suppressed.compression_ratio) == ("repetitive", 4.0)
    assert suppressed.text == (sentence * 6).strip()


def test_given_numbers_that_json_cannot_hold_then_they_become_ones_that_it_can() -> None:
    _, (suppressed,) = sift([heard("Hm.", no_speech=1.0000001, log_probability=float("-inf"))])

    assert (suppressed.no_speech_probability, suppressed.average_log_probability) == (1.0, -100.0)


few_words = st.lists(st.sampled_from(["no", "yes", "we", "are", "-", "the", "the,"]), min_size=1, max_size=60)


@given(st.lists(st.tuples(few_words, st.floats(0, 1), st.floats(-2, 0), st.floats(0, 5)), max_size=4))
def test_given_any_text_then_every_word_is_either_kept_or_suppressed_and_never_both(
    drawn: list[tuple[list[str], float, float, float]],
) -> None:
    parts = [
        heard(" ".join(words), start=30.0 * place, decode=place, no_speech=p, log_probability=lp, compression=cr)
        for place, (words, p, lp, cr) in enumerate(drawn)
    ]

    kept, suppressed = sift(parts)

    given_words = sorted(word for part in parts for word in part.segment.text.split())
    texts = [part.text for part in kept] + [part.text for part in suppressed]
    assert sorted(word for text in texts for word in text.split()) == given_words
    assert [part.start for part in kept] == sorted(part.start for part in kept)
    assert all("".join(word.word for word in part.words).strip() == part.text for part in kept)
