"""The real transcriber: faster-whisper, loaded once, with voice activity detection before it and judgement behind.

It must not know jobs, queues or S3, never downloads, and never logs what was said.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

import ctranslate2
import structlog
from faster_whisper.transcribe import Segment as ModelSegment

from consumer.media.decode import SAMPLE_RATE
from consumer.model.batching import batches, decode_together
from consumer.model.cleaning import clean_segments
from consumer.model.decoding import (
    BoundedWhisperModel,
    DecodeLimits,
    LimitReachedError,
    OutOfMemoryError,
    decode_options,
    model_errors,
)
from consumer.model.location import resolve_model_dir
from consumer.model.prompting import fit_for_prompt
from consumer.model.suppression import DecodedSegment, sift
from consumer.model.transcriber import Speech, TranscriberBrokenError, Transcription, WindowTimeoutError
from consumer.model.voice import VoicedSpeech, find_voice
from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.setting_groups import ModelSettings

log = structlog.get_logger()

Device = Literal["cpu", "cuda"]

# int8 is the fastest on CPUs; float16 is what the GPUs of the fleet (T4 and newer) do well.
_DEFAULT_COMPUTE_TYPE: Final[dict[Device, str]] = {"cpu": "int8", "cuda": "float16"}

# Whisper's own go on to 0.8 and 1.0, where it is slow and seldom right.
_TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6)


_WINDOW_SECONDS: Final = 30.0
# As many windows as the default of `max_jobs_in_hand` fills.
_MAX_PARALLEL: Final = 6


class _Effort(NamedTuple):
    """How hard the model tries."""

    beam_size: int
    temperatures: tuple[float, ...]


_LOWER_COST: Final = _Effort(1, (0.0,))


class WhisperTranscriber:
    """A `Transcriber` over a faster-whisper model on this machine; used by up to `parallel` threads.

    Raises:
        ConfigurationError: there is no such model or device here, or the settings do not fit them.
    """

    def __init__(self, settings: ModelSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        device = choose_device(settings.device, ctranslate2.get_cuda_device_count())
        directory = resolve_model_dir(settings.model, settings.model_dir, settings.model_store)
        self.model_name = settings.model_dir.name if settings.model_dir else settings.model
        self.device: str = device
        self.parallel = choose_parallel(settings.parallel_windows, device, usable_cores())
        self._model = _load(directory, device, self.parallel, settings)
        self._full_effort = _Effort(settings.beam_size, _TEMPERATURES)

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._model.supported_languages)

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        """See `Transcriber`. Beams and silence are those of the live path, so that both kinds of transcript agree."""
        windows = [self._voiced(speech) for speech in speeches]
        heard: dict[int, list[ModelSegment]] = {}
        for batch in batches(windows, self._settings.batch_windows):
            self._watch(windows[batch[0]], should_abort).check_wanted()
            heard |= self._together({place: windows[place] for place in batch})
        for place, window in enumerate(windows):
            if place not in heard:
                heard[place] = self._alone(window, should_abort)
        return [_judged(window, heard[place]) for place, window in enumerate(windows)]

    def _voiced(self, speech: Speech) -> VoicedSpeech:
        tokenizer = self._model.hf_tokenizer
        fit = replace(
            speech,
            hotwords=fit_for_prompt(speech.hotwords, tokenizer),
            initial_prompt=fit_for_prompt(speech.initial_prompt, tokenizer),
        )
        return VoicedSpeech(fit, find_voice(speech.samples, min_silence_ms=self._settings.vad_min_silence_ms))

    def _watch(self, window: VoicedSpeech, should_abort: Callable[[], bool]) -> DecodeLimits:
        return DecodeLimits(self._clock, self._clock.monotonic() + self._limit(window), should_abort)

    def _limit(self, window: VoicedSpeech) -> float:
        """The seconds it may take: the setting for each of the steps in which the model takes what is longer."""
        return self._settings.window_limit_seconds * max(1.0, _seconds(window) / _WINDOW_SECONDS)

    def _together(self, windows: dict[int, VoicedSpeech]) -> dict[int, list[ModelSegment]]:
        """What is heard in the windows that one decode did for well; the others are left to be decoded alone."""
        try:
            with model_errors():
                return decode_together(self._model, windows, beam_size=self._settings.beam_size)
        except OutOfMemoryError:
            log.warning("batch_split", reason="out of memory", windows=len(windows))
            return {}

    def _alone(self, window: VoicedSpeech, should_abort: Callable[[], bool]) -> list[ModelSegment]:
        """What is heard in one window; where time or memory ran out, by a second try that needs less of both."""
        watch = self._watch(window, should_abort)
        watch.check_wanted()
        if not window.voice.spans:
            return []
        try:
            return self._decode(window, self._full_effort, watch)
        except (LimitReachedError, OutOfMemoryError) as reason:
            log.warning(
                "window_retried_at_lower_cost", reason=type(reason).__name__, audio_seconds=round(_seconds(window), 2)
            )
        try:
            return self._decode(window, _LOWER_COST, self._watch(window, should_abort))
        except LimitReachedError:
            raise WindowTimeoutError(
                f"{_seconds(window):.1f} s of audio took the model longer than {self._limit(window):.0f} s, twice"
            ) from None
        except OutOfMemoryError as error:
            raise TranscriberBrokenError(f"out of memory also at lower cost: {error}") from error

    def _decode(self, window: VoicedSpeech, effort: _Effort, watch: DecodeLimits) -> list[ModelSegment]:
        segments: list[ModelSegment] = []
        with self._model.watched(watch), model_errors():
            # A generator: the work happens while it is read, a segment at a time.
            found, _ = self._model.transcribe(
                window.voice.samples,
                beam_size=effort.beam_size,
                temperature=list(effort.temperatures),
                **decode_options(window.speech),
            )
            for segment in found:
                segments.append(segment)
                watch.check_wanted()
        return window.voice.restored(segments)


def choose_device(wanted: Literal["auto", "cpu", "cuda"], gpus: int) -> Device:
    """Where the model runs on a machine with `gpus` usable GPUs.

    Raises:
        ConfigurationError: a GPU is asked for by name and there is none. A silent fall back to the CPU would be a
            GPU's price for a CPU's speed.
    """
    if wanted == "cuda" and gpus == 0:
        raise ConfigurationError("SCRIBEFLEET_DEVICE=cuda, but no CUDA GPU is usable here: set it to cpu or auto.")
    return "cuda" if wanted != "cpu" and gpus > 0 else "cpu"


def choose_parallel(wanted: int, device: Device, cores: int) -> int:
    """How many windows are decoded at the same time.

    The decoder takes small steps, which several cores share badly: on two cores, two windows at the same time take well
    below the time of one after the other with both. A GPU gains next to nothing (SYSTRAN/faster-whisper#1192).
    """
    return wanted or (1 if device == "cuda" else min(cores, _MAX_PARALLEL))


def usable_cores() -> int:
    """The cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _judged(window: VoicedSpeech, segments: list[ModelSegment]) -> Transcription:
    heard = [
        DecodedSegment(segment, model.seek, model.no_speech_prob, model.avg_logprob, model.compression_ratio)
        for segment, model in clean_segments(segments, _seconds(window))
    ]
    spoken, suppressed = sift(heard)
    # Languages are asked for, never guessed, so there is no doubt about them.
    return Transcription(window.speech.language, 1.0, spoken, suppressed)


def _seconds(window: VoicedSpeech) -> float:
    return len(window.speech.samples) / SAMPLE_RATE


def _load(directory: Path, device: Device, parallel: int, settings: ModelSettings) -> BoundedWhisperModel:
    compute_type = settings.compute_type
    if compute_type == "default":
        compute_type = _DEFAULT_COMPUTE_TYPE[device]
    try:
        return BoundedWhisperModel(
            str(directory),
            device=device,
            compute_type=compute_type,
            num_workers=parallel,
            cpu_threads=settings.cpu_threads or max(1, usable_cores() // parallel),
            local_files_only=True,
        )
    except ValueError as error:
        # CTranslate2 says so when the device cannot do the compute type, or there is no such type.
        raise ConfigurationError(
            f"SCRIBEFLEET_COMPUTE_TYPE={compute_type} does not work on {device}: {error}"
        ) from None
    except RuntimeError as error:
        raise ConfigurationError(f"The model in {directory} cannot be loaded on {device}: {error}") from error
