import pytest

from shared.session.matching import share_heard

SAID = ["it", "was", "the", "age", "of", "wisdom", "it", "was", "the", "age", "of", "foolishness"]


def test_given_the_words_with_capitals_and_punctuation_then_all_are_heard() -> None:
    assert share_heard(SAID, "It was the age of wisdom, it was the age of foolishness.") == 1


def test_given_words_in_another_order_then_they_do_not_count_as_heard() -> None:
    assert share_heard(SAID, "foolishness of age the was it wisdom of age the was it") < 0.3


@pytest.mark.parametrize("text", ["", "...", "Thank you for watching!"])
def test_given_nothing_of_it_then_nothing_is_heard(text: str) -> None:
    assert share_heard(SAID, text) == 0


def test_given_more_than_was_said_then_the_share_stays_that_of_what_was_said() -> None:
    assert share_heard(["the", "end"], "and then, at last, the end of it") == 1
