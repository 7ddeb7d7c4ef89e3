"""What a worker needs of a speech model: what goes in, what comes out, and what can go wrong.

It is the contract between the pipeline and the model, and loads neither. It must not know jobs, queues or S3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from shared.errors import ScribefleetError, TransientError
from shared.formats.transcripts import Segment, Suppressed


class Aborted(ScribefleetError):  # noqa: N818 - nothing went wrong, so it is not called an error
    """The transcription was given up because its caller asked for it; nothing is wrong with the audio."""


class TranscriberBrokenError(ScribefleetError):
    """The model cannot go on in this process: the jobs in hand go back, and a fresh process starts.

    After a CUDA error nothing that the GPU says can be trusted, and falling back to the CPU would be a GPU's price for
    a CPU's speed.
    """


class WindowFailedError(TransientError):
    """The model failed on this audio and is otherwise sound. The text never holds what was said."""


class WindowTimeoutError(WindowFailedError):
    """The audio took longer than `window_limit_seconds`, and so did the retry at lower cost."""


@dataclass(frozen=True, slots=True)
class Speech:
    """One window's audio and how to hear it.

    Attributes:
        samples: mono, float32, 16 kHz, at most 30 s.
        language: what is spoken (ISO 639), one of the transcriber's `languages`.
        hotwords: words that are likely to occur, such as names; the model is nudged to them.
        initial_prompt: text as it could stand before this audio; it sets style and spelling.
    """

    samples: np.ndarray
    language: str
    hotwords: str | None = None
    initial_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said; no speech means no segments. Times are seconds from the start of the samples.

    Segments and their words are in order, within the samples, and every segment has words that join to its text.
    `suppressed` is what the model wrote and the gates took for no speech.
    """

    language: str
    language_probability: float
    segments: tuple[Segment, ...]
    suppressed: tuple[Suppressed, ...] = ()


class Transcriber(Protocol):
    """A loaded model; `device` is where it really runs, and `parallel` how many threads may use it at the same time."""

    model_name: str
    device: str
    parallel: int

    @property
    def languages(self) -> frozenset[str]:
        """The languages it can be asked for (ISO 639)."""

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        """What is said in each of `speeches`, in their order; together where the setting `batch_windows` says so.

        Raises:
            Aborted: `should_abort()` turned true; it is asked before each window, between segments, and between the
                temperatures of a decode.
            WindowTimeoutError: one window took too long. Of several given together none has a result then: give each
                alone to find which.
            WindowFailedError: the model failed on one window; the same holds.
            TranscriberBrokenError: the process has to end.
        """
