"""One decode of the model within limits: when to try a higher temperature, when to stop, and nothing skipped unseen.

It changes faster-whisper's behaviour (written against 1.2) in the one method that it has to, and leaves judging the
text to `consumer.model.suppression`.
"""

# mypy: disallow-subclassing-any=False
# faster-whisper has no types, and its loop over the audio asks this method of itself, so only a subclass can answer.

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from faster_whisper import WhisperModel

from consumer.model.suppression import COMPRESSION_LIMIT, is_doubtful, is_no_speech
from consumer.model.transcriber import Aborted, Speech, TranscriberBrokenError, WindowFailedError
from shared.clock import Clock


class LimitReachedError(Exception):
    """There is audio left and no time for it. It stays within the transcriber, which tries at lower cost."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """How long one window may take (`deadline` on `clock.monotonic()`), and whether anyone still wants it."""

    clock: Clock
    deadline: float
    should_abort: Callable[[], bool]

    def check(self) -> None:
        """Raise `Aborted` or `LimitReachedError`; to be asked before each piece of work that can be left."""
        self.check_wanted()
        if self.is_over():
            raise LimitReachedError

    def check_wanted(self) -> None:
        """Raise `Aborted` when the caller gives the window up."""
        if self.should_abort():
            raise Aborted("the transcription was given up on request")

    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.clock.monotonic() >= self.deadline


class _Result(NamedTuple):
    """What faster-whisper reads of CTranslate2's result, which cannot be changed or made."""

    sequences_ids: list[list[int]]
    no_speech_prob: float


class _Attempt(NamedTuple):
    """What `generate_with_fallback` returns; the order is faster-whisper's."""

    result: Any
    avg_logprob: float
    temperature: float
    compression_ratio: float

    def is_no_speech(self) -> bool:
        return is_no_speech(self.result.no_speech_prob, self.avg_logprob)

    def is_repetitive(self) -> bool:
        return self.compression_ratio > COMPRESSION_LIMIT

    def is_good(self) -> bool:
        return not is_doubtful(self.avg_logprob, self.compression_ratio)


def decode_options(speech: Speech) -> dict[str, Any]:
    """The options of every decode, as faster-whisper names them; `suppression` has the thresholds of silence."""
    return {
        "language": speech.language,
        "hotwords": speech.hotwords,
        "initial_prompt": speech.initial_prompt,
        "word_timestamps": True,
        # A window's own text as prompt makes one hallucination breed the next.
        "condition_on_previous_text": False,
        "no_speech_threshold": None,
    }


class BoundedWhisperModel(WhisperModel):
    """A model whose decodes end in bounded time; each of its threads sets its own watch.

    Called with `decode_options` it hands out as one segment, with its numbers, what faster-whisper would skip in
    silence.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Each thread decodes a window of its own.
        self._own = threading.local()

    @property
    def _watch(self) -> DecodeLimits | None:
        watch: DecodeLimits | None = getattr(self._own, "watch", None)
        return watch

    @contextmanager
    def watched(self, watch: DecodeLimits) -> Iterator[None]:
        """Decodes within this context ask `watch`, which may end them with `Aborted` or `LimitReachedError`."""
        self._own.watch = watch
        try:
            yield
        finally:
            self._own.watch = None

    def generate_with_fallback(self, encoder_output: Any, prompt: list[int], tokenizer: Any, options: Any) -> _Attempt:
        """The first good attempt of one temperature after the other, or the best when none is good or the time is up.

        The rules are faster-whisper's; those about time and about handing out silence are added.
        """
        tried: list[_Attempt] = []
        for temperature in options.temperatures:
            if not self._may_go_on(is_first=not tried):
                break
            # With one temperature the library's method is one decode; its choice among several is made here.
            only = replace(options, temperatures=[temperature])
            attempt = _Attempt(*super().generate_with_fallback(encoder_output, prompt, tokenizer, only))
            if attempt.is_no_speech():
                return attempt._replace(result=_spanning_all(attempt.result, tokenizer))
            tried.append(attempt)
            if attempt.is_good():
                return attempt
        plausible = [attempt for attempt in tried if not attempt.is_repetitive()]
        best = max(plausible or tried, key=lambda attempt: attempt.avg_logprob)
        return best._replace(temperature=tried[-1].temperature)

    def _may_go_on(self, *, is_first: bool) -> bool:
        """Whether there is time for another decode; without one there is nothing to fall back on, so it raises."""
        if self._watch is None:
            return True
        if is_first:
            self._watch.check()
        self._watch.check_wanted()
        return is_first or not self._watch.is_over()


def _spanning_all(result: Any, tokenizer: Any) -> _Result:
    """`result` as one segment over all that was decoded.

    faster-whisper goes past all of it when it skips silence; by the text's own timestamps it would come back for the
    rest and find more of the same.
    """
    text = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
    # The first timestamp, and none but at the end: one segment, as long as what was decoded, and nothing behind it.
    return _Result([[*text, tokenizer.timestamp_begin]], result.no_speech_prob)


# CTranslate2 raises `RuntimeError` for everything and says only in the text what happened.
_MEMORY: Final = ("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "bad_alloc")
_DEVICE: Final = ("cuda", "cublas", "cudnn", "curand", "nccl")


class OutOfMemoryError(Exception):
    """The model ran out of memory. It stays within the transcriber, which tries at lower cost."""


def meaning(text: str) -> Literal["memory", "device", "window"]:
    """What the text of an error of the model speaks of."""
    lower = text.lower()
    if any(mark in lower for mark in _MEMORY):
        return "memory"
    return "device" if any(mark in lower for mark in _DEVICE) else "window"


@contextmanager
def model_errors() -> Iterator[None]:
    """Turn what the model raises into `OutOfMemoryError`, `TranscriberBrokenError` or `WindowFailedError`.

    IndexError and ValueError are what word timestamps have raised on odd audio (SYSTRAN/faster-whisper#57, #1118).
    """
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(str(error)) from error
    except RuntimeError as error:
        what = meaning(str(error))
        if what == "memory":
            raise OutOfMemoryError(str(error)) from error
        if what == "device":
            raise TranscriberBrokenError(f"the GPU or its libraries failed: {error}") from error
        raise WindowFailedError(f"the model failed: {error}") from error
    except (IndexError, ValueError) as error:
        raise WindowFailedError(f"the model failed: {type(error).__name__}") from error
