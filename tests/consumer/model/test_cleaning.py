from faster_whisper.transcribe import Segment as ModelSegment
from faster_whisper.transcribe import Word as ModelWord
from hypothesis import given
from hypothesis import strategies as st

from consumer.model.cleaning import clean_segments
from shared.formats.transcripts import Segment


def words_of(*spans: tuple[float, float], probability: float = 0.9) -> list[ModelWord]:
    return [ModelWord(start, end, f" w{place}", probability) for place, (start, end) in enumerate(spans)]


def segment(start: float, end: float, text: str = " w0 w1", words: list[ModelWord] | None = None) -> ModelSegment:
    return ModelSegment(1, 0, start, end, text, [], -0.2, 1.0, 0.1, words, 0.0)


def cleaned(heard: list[ModelSegment], seconds: float) -> list[Segment]:
    return [clean.segment for clean in clean_segments(heard, seconds)]


def test_given_times_behind_the_end_or_running_backwards_then_they_are_put_in_order_and_within() -> None:
    heard = [segment(0.5, 2, words=words_of((0.5, 1.2), (0.9, 0.7))), segment(0.2, 9, words=words_of((0.1, 9.0)))]

    first, second = cleaned(heard, 3.0)

    assert [(word.start, word.end) for word in first.words] == [(0.5, 1.2), (0.9, 0.9)]
    assert (first.start, first.end) == (0.5, 1.2)
    assert (second.start, second.end) == (0.9, 3.0)


def test_given_a_time_a_hair_below_zero_then_it_is_zero_and_not_its_negative() -> None:
    (found,) = cleaned([segment(-1e-9, 1, words=words_of((-1e-9, 1)))], 3.0)

    assert str(found.start) == "0.0"


def test_given_probabilities_out_of_bounds_then_they_are_clamped() -> None:
    heard = [segment(0, 1, words=words_of((0, 1), probability=1.0000001) + words_of((1, 2), probability=-0.1))]

    assert [word.probability for word in cleaned(heard, 3.0)[0].words] == [1.0, 0.0]


def test_given_a_segment_without_words_then_one_word_stands_for_its_text() -> None:
    (found,) = cleaned([segment(1.23456, 2, text=" Yes, of course. ")], 3.0)

    assert (found.text, found.start, found.end) == ("Yes, of course.", 1.235, 2.0)
    assert [(word.word, word.start, word.end, word.probability) for word in found.words] == [
        (" Yes, of course.", 1.235, 2.0, 0.8187)  # e to the power of the segment's mean log probability, -0.2
    ]


def test_given_segments_without_text_or_with_a_lone_mark_then_they_are_left_out() -> None:
    assert cleaned([segment(0, 1, text="  "), segment(1, 2, text=" ."), segment(1, 2, text="")], 3.0) == []


def test_given_text_and_words_that_differ_then_the_words_are_the_text() -> None:
    # given: a mark that alignment gave to the segment before
    words = [ModelWord(0, 1, " Yes", 0.9), ModelWord(1, 2, " sir.", 0.9)]

    assert cleaned([segment(0, 2, text=" Yes sir", words=words)], 3.0)[0].text == "Yes sir."


times = st.floats(-5, 40)
spans = st.tuples(times, times)


@given(st.lists(st.tuples(spans, st.lists(spans, max_size=4)), max_size=5), st.floats(0.01, 30))
def test_given_any_times_then_words_and_segments_are_in_order_and_within_and_make_up_the_text(
    drawn: list[tuple[tuple[float, float], list[tuple[float, float]]]], seconds: float
) -> None:
    found = cleaned([segment(*span, words=words_of(*words)) for span, words in drawn], seconds)

    assert len(found) == len(drawn)
    starts = [word.start for part in found for word in part.words]
    assert starts == sorted(starts)
    assert [part.start for part in found] == sorted(part.start for part in found)
    for part in found:
        assert 0 <= part.start <= part.end <= seconds
        assert all(part.start <= word.start <= word.end <= part.end for word in part.words)
        assert "".join(word.word for word in part.words).strip() == part.text
