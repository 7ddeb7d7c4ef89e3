import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from consumer.model.location import resolve_model_dir
from consumer.model.prompting import MAX_TOKENS, fit_for_prompt

TOKENIZER = tokenizers.Tokenizer.from_file(str(resolve_model_dir("tiny.en", None) / "tokenizer.json"))
FIRST_SPECIAL = TOKENIZER.encode("<|endoftext|>", add_special_tokens=False).ids[0]


def tokens_of(text: str) -> list[int]:
    """As faster-whisper makes them of a hint."""
    ids: list[int] = TOKENIZER.encode(f" {text}", add_special_tokens=False).ids
    return ids


def test_given_a_short_hint_then_it_stays_as_it_is() -> None:
    assert fit_for_prompt("Charles Darnay, Sydney Carton", TOKENIZER) == "Charles Darnay, Sydney Carton"


@pytest.mark.parametrize("text", [None, "", "  \n ", "<||>"])
def test_given_a_hint_with_nothing_in_it_then_there_is_none(text: str | None) -> None:
    assert fit_for_prompt(text, TOKENIZER) is None


def test_given_lines_then_they_become_one() -> None:
    assert fit_for_prompt(" Darnay\n\tCarton \r\n", TOKENIZER) == "Darnay Carton"


def test_given_a_long_hint_then_its_beginning_stays() -> None:
    text = ", ".join(f"name{number}" for number in range(500))

    fit = fit_for_prompt(text, TOKENIZER)

    assert fit is not None
    assert text.startswith(fit)
    assert MAX_TOKENS - 5 <= len(tokens_of(fit)) <= MAX_TOKENS


def test_given_what_the_model_reads_as_a_command_then_it_does_not_get_through() -> None:
    fit = fit_for_prompt("Carton <|endoftext|><|<|startoftranscript|>|> Darnay", TOKENIZER)

    assert fit is not None
    assert "Carton" in fit
    assert "Darnay" in fit
    assert max(tokens_of(fit)) < FIRST_SPECIAL


pieces = st.text() | st.sampled_from(["<|endoftext|>", "<|", "|>", "<|0.00|>", "日本語", "🎉", " "])


@given(st.lists(pieces, max_size=60))
def test_given_any_text_then_it_fits_and_holds_no_command(drawn: list[str]) -> None:
    fit = fit_for_prompt("".join(drawn), TOKENIZER)

    if fit is not None:
        tokens = tokens_of(fit)
        # Cut text can be spelled with a few more tokens than it was cut from.
        assert 0 < len(tokens) <= MAX_TOKENS + 10
        assert max(tokens) < FIRST_SPECIAL
        assert "\n" not in fit
