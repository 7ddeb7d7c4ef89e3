"""Turns samples into words with faster-whisper, and keeps the model's output inside the format's bounds.

It is responsible for the model, from loading it once to the clean segments of one piece of audio. It must not know
jobs, queues or S3, and never logs what was said.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import ctranslate2
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as ModelSegment
from faster_whisper.transcribe import Word as ModelWord

from consumer.audio import DecodedAudio
from consumer.model import resolve_model_dir
from shared.errors import ConfigurationError, ScribefleetError
from shared.settings import Settings
from shared.transcripts import Segment, Word

Device = Literal["cpu", "cuda"]

# int8 is the fastest on CPUs; float16 is what the GPUs of the fleet (T4 and newer) do well.
_DEFAULT_COMPUTE_TYPE: Final[dict[Device, str]] = {"cpu": "int8", "cuda": "float16"}


class Aborted(ScribefleetError):  # noqa: N818 - nothing went wrong, so it is not called an error
    """The transcription was given up because its caller asked for it; nothing is wrong with the audio."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said. Times are seconds from the start of the audio; no speech means no segments."""

    language: str
    language_probability: float
    segments: tuple[Segment, ...]


class Transcriber(Protocol):
    """What a worker needs of a speech model; `device` is where it really runs."""

    model_name: str
    device: str

    def transcribe(self, audio: DecodedAudio, *, should_abort: Callable[[], bool]) -> Transcription:
        """The words of `audio`.

        Raises:
            Aborted: `should_abort()` turned true; it is asked before the work and between two segments.
        """


class WhisperTranscriber:
    """A faster-whisper model that is loaded once and used by one thread.

    Raises:
        ConfigurationError: there is no model, no such device, or the settings do not fit them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        device = choose_device(settings.device, ctranslate2.get_cuda_device_count())
        directory = resolve_model_dir(settings.model, settings.model_dir)
        self.model_name = settings.model_dir.name if settings.model_dir else settings.model
        self.device: str = device
        self._model = _load(directory, device, settings)
        languages = self._model.supported_languages
        if settings.language not in languages:
            known = ", ".join(languages) if len(languages) < 4 else f"{len(languages)} others"
            raise ConfigurationError(
                f"SCRIBEFLEET_LANGUAGE={settings.language} is no language of the model {self.model_name}, "
                f"which knows {known}."
            )

    def transcribe(self, audio: DecodedAudio, *, should_abort: Callable[[], bool]) -> Transcription:
        """See `Transcriber`. The settings are those of the live path, so that both kinds of transcript agree."""
        _abort_if(should_abort)
        segments, info = self._model.transcribe(
            audio.samples,
            language=self._settings.language,
            beam_size=self._settings.beam_size,
            word_timestamps=True,
            vad_filter=True,
            vad_parameters={"min_silence_duration_ms": self._settings.vad_min_silence_ms},
            # A chunk's own text as prompt makes one hallucination breed the next.
            condition_on_previous_text=False,
        )
        heard: list[ModelSegment] = []
        # The generator is where the work happens, a segment at a time.
        for segment in segments:
            heard.append(segment)
            _abort_if(should_abort)
        return Transcription(
            info.language, _probability(info.language_probability), clean_segments(heard, audio.seconds)
        )


def choose_device(wanted: Literal["auto", "cpu", "cuda"], gpus: int) -> Device:
    """Where the model runs on a machine with `gpus` usable GPUs.

    Raises:
        ConfigurationError: a GPU is asked for by name and there is none. A silent fall back to the CPU would be a
            GPU's price for a CPU's speed.
    """
    if wanted == "cuda" and gpus == 0:
        raise ConfigurationError("SCRIBEFLEET_DEVICE=cuda, but no CUDA GPU is usable here: set it to cpu or auto.")
    return "cuda" if wanted != "cpu" and gpus > 0 else "cpu"


def clean_segments(heard: Iterable[ModelSegment], seconds: float) -> tuple[Segment, ...]:
    """The model's segments with times in [0, `seconds`], in order, in milliseconds; empty ones are left out.

    Whisper's times may end behind the audio and, with voice activity detection, run backwards
    (SYSTRAN/faster-whisper#1334).
    """
    line = _TimeLine(math.floor(seconds * 1000) / 1000)
    return tuple(_clean_segment(segment, line) for segment in heard if segment.text.strip())


class _TimeLine:
    """Gives out spans that begin no earlier than the one before and lie within the audio."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._earliest = 0.0

    def span(self, start: float, end: float) -> tuple[float, float]:
        begin = min(max(round(float(start), 3), self._earliest), self._limit)
        self._earliest = begin
        return begin, min(max(round(float(end), 3), begin), self._limit)


def _clean_segment(segment: ModelSegment, line: _TimeLine) -> Segment:
    """A segment spans its words; only one without words has times of its own."""
    words = tuple(_clean_word(word, line) for word in segment.words or ())
    if words:
        start, end = words[0].start, max(word.end for word in words)
    else:
        start, end = line.span(segment.start, segment.end)
    return Segment(text=segment.text.strip(), start=start, end=end, words=words)


def _clean_word(word: ModelWord, line: _TimeLine) -> Word:
    start, end = line.span(word.start, word.end)
    return Word(word=word.word, start=start, end=end, probability=_probability(word.probability))


def _probability(value: float) -> float:
    """`value` within [0, 1], rounded; the model's arithmetic may overshoot by a rounding error."""
    return round(min(1.0, max(0.0, float(value))), 4)


def _abort_if(should_abort: Callable[[], bool]) -> None:
    if should_abort():
        raise Aborted("the transcription was given up on request")


def _load(directory: Path, device: Device, settings: Settings) -> WhisperModel:
    compute_type = settings.compute_type
    if compute_type == "default":
        compute_type = _DEFAULT_COMPUTE_TYPE[device]
    try:
        return WhisperModel(
            str(directory),
            device=device,
            compute_type=compute_type,
            cpu_threads=settings.cpu_threads,
            local_files_only=True,
        )
    except ValueError as error:
        # CTranslate2 says so when the device cannot do the compute type, or there is no such type.
        raise ConfigurationError(
            f"SCRIBEFLEET_COMPUTE_TYPE={compute_type} does not work on {device}: {error}"
        ) from None
    except RuntimeError as error:
        raise ConfigurationError(f"The model in {directory} cannot be loaded on {device}: {error}") from error
