"""Has the model hear a known clip, through the real decoder, before it is trusted with anyone's recording.

A model can load and still be of no use: the wrong libraries fail at the first inference, and some compute types give
nothing on some GPUs. It decides whether the model hears; what follows from that is the caller's business.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumer.media.decode import decode
from consumer.model.transcriber import Speech, Transcriber
from shared.clock import Clock
from shared.errors import ScribefleetError
from shared.session.matching import share_heard

# Five seconds of the public-domain recording in samples/, as a browser's recorder wrote them.
_CLIP: Final = Path(__file__).with_name("selftest.webm")
_SAID: Final = ["it", "was", "the", "age", "of", "wisdom", "it", "was", "the", "age", "of", "foolishness"]
# Every model knows English; what the fleet's recordings speak does not matter here.
_LANGUAGE: Final = "en"
# The smallest models hear all of it; a wrong one hears nothing, or something else.
_MIN_SHARE: Final = 0.5


class SelfTestError(ScribefleetError):
    """The model does not hear what is said in the known clip."""


@dataclass(frozen=True, slots=True)
class ModelSelfTest:
    """A self-test that was passed.

    Attributes:
        audio_seconds: length of the clip.
        seconds: how long the model took for it, decoding the file not included.
        share_heard: of the clip's words, those that were heard in their order, 0 to 1.
    """

    audio_seconds: float
    seconds: float
    share_heard: float

    @property
    def rtfx(self) -> float:
        """Seconds of audio that were heard in a second."""
        return self.audio_seconds / max(self.seconds, 1e-6)


def self_test(transcriber: Transcriber, clock: Clock) -> ModelSelfTest:
    """Transcribe the known clip.

    Raises:
        SelfTestError: less than half of the words were heard. The text says what was heard: it is nobody's secret.
        TranscriberBrokenError: the model failed in a way that ends the process.
        WindowFailedError: it failed in another way, or took too long.
    """
    audio = decode(_CLIP.read_bytes(), chunk_seconds=5)
    began = clock.monotonic()
    (result,) = transcriber.transcribe([Speech(audio.samples, _LANGUAGE)], should_abort=lambda: False)
    seconds = clock.monotonic() - began
    heard = " ".join(segment.text for segment in result.segments)
    share = share_heard(_SAID, heard)
    if share < _MIN_SHARE:
        raise SelfTestError(
            f"the model {transcriber.model_name} on {transcriber.device} failed the self-test: "
            f"it heard {heard!r} where {' '.join(_SAID)!r} is said"
        )
    return ModelSelfTest(audio.seconds, seconds, share)
