"""What counts as a word error, and what is only another spelling."""

import pytest

from bench.words import Score, comparable, score, total


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("It was the best of times, it was", "it was the best of times it was"),
        ("thy beauty\u2019s field", "thy beauty's field"),
        ("self-substantial fuel", "self substantial fuel"),
        ("two When forty winters", "2. When forty winters"),
        ("ninety nine", "99"),
        ("uh so this is um the one", "So this is the one."),
        ("we're just yknow", "We're just, you know."),
        ("alright thanks", "All right, thanks!"),
        ("mister john dashwood", "Mr. John Dashwood"),
        ("yeah [noise] so {CG} that", "Yeah, so that"),
        ("\u2018you know\u2019", "you know"),
    ],
)
def test_another_spelling_is_no_error(said: str, written: str) -> None:
    assert score(said, written).errors == 0


@pytest.mark.parametrize(
    ("said", "written", "errors"),
    [
        ("the winter of despair", "the winter of spare", 1),
        ("the winter of despair", "the winter of", 1),
        ("the winter of despair", "the cold winter of despair", 1),
        ("the winter of despair", "", 4),
        ("it cannot be", "it can be", 1),
        ("on their way", "on there way", 1),
    ],
)
def test_a_wrong_a_missing_and_an_added_word_are_an_error_each(said: str, written: str, errors: int) -> None:
    assert score(said, written) == Score(errors, len(said.split()))


def test_words_where_nothing_was_said_are_all_errors() -> None:
    assert score("", "Thank you.") == Score(2, 0)


def test_a_long_recording_counts_more_than_a_short_one() -> None:
    assert total([Score(1, 10), Score(0, 90)]).percent == pytest.approx(1.0)


def test_the_percentage_of_no_words_at_all_is_zero() -> None:
    assert total([]).percent == 0


def test_a_large_number_stays_as_it_is_because_there_is_more_than_one_way_to_say_it() -> None:
    assert comparable("in 1859") == ["in", "1859"]
