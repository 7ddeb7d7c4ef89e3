from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from consumer.model.selftest import SelfTestError, self_test
from consumer.model.transcriber import Speech, Transcription
from consumer.model.whisper import WhisperTranscriber
from shared.formats.transcripts import Segment
from shared.setting_groups import ModelSettings

if TYPE_CHECKING:
    from tests.conftest import FakeClock


class Deaf:
    """A model that hears what it is told to, as one on the wrong libraries does."""

    model_name = "deaf"
    device = "cuda"
    parallel = 1
    languages = frozenset({"en"})

    def __init__(self, text: str, clock: "FakeClock") -> None:
        self._text = text
        self._clock = clock

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        self._clock.advance(2)
        segments = (Segment(text=self._text, start=0, end=1),) if self._text else ()
        return [Transcription(speech.language, 1.0, segments) for speech in speeches]


@pytest.mark.model
def test_given_the_real_model_then_it_hears_every_word_of_the_clip(clock: "FakeClock") -> None:
    whisper = WhisperTranscriber(ModelSettings(model="tiny.en", device="cpu"), clock)

    found = self_test(whisper, clock)

    assert found.share_heard == 1
    assert found.audio_seconds == pytest.approx(5, abs=0.1)


def test_given_a_fleet_of_another_language_then_the_clip_is_still_heard_in_english(clock: "FakeClock") -> None:
    asked: list[str] = []

    class Multilingual(Deaf):
        languages = frozenset({"de", "en"})

        def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
            asked.extend(speech.language for speech in speeches)
            return super().transcribe(speeches, should_abort=should_abort)

    self_test(Multilingual("It was the age of wisdom, it was the age of foolishness.", clock), clock)

    assert asked == ["en"]


def test_given_a_model_that_hears_half_then_it_passes_and_tells_its_speed(clock: "FakeClock") -> None:
    found = self_test(Deaf("It was the age of wisdom.", clock), clock)

    assert found.share_heard == pytest.approx(0.5)
    assert (found.seconds, round(found.rtfx, 1)) == (2.0, 2.5)


@pytest.mark.parametrize("text", ["", "Thank you for watching!", "!!!!!!!!!!!!"])
def test_given_a_model_that_hears_nothing_or_something_else_then_it_fails_and_says_what_it_heard(
    text: str, clock: "FakeClock"
) -> None:
    with pytest.raises(SelfTestError) as failure:
        self_test(Deaf(text, clock), clock)
    assert str(failure.value) == (
        f"the model deaf on cuda failed the self-test: it heard {text!r} where 'it was the age of wisdom it was "
        "the age of foolishness' is said"
    )
