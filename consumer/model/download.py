"""Downloads a model from the hub: the only place in the fleet that ever does.

A directory with the model's name appears only when all of its files are there, so a download that was cut off never
looks like a model.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import huggingface_hub
from faster_whisper.utils import _MODELS, available_models
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from consumer.model.location import missing_files
from shared.errors import ConfigurationError, ScribefleetError

# What a worker reads, no more: repositories also hold the model in other formats.
_WANTED: Final = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"]

# The hub's library takes it from its HTTP client, which changes with its versions, and exports it without saying so.
_CONNECTION_ERROR: Final[type[Exception]] = vars(huggingface_hub.errors)["HTTPError"]


class FetchError(ScribefleetError):
    """The model could not be downloaded; the text says what to do."""


def fetch_model(name: str, directory: Path, *, progress: bool) -> bool:
    """Download the model `name` from the hub into `directory`.

    The hub's own variables count: HF_ENDPOINT for a mirror, HF_TOKEN, the usual ones for proxies.

    Args:
        name: a size that faster-whisper knows, such as `small.en`, or a hub repository `owner/name`.
        directory: where it goes; nothing is there, or that model.
        progress: draw bars on stderr.

    Returns:
        False when the model was there already.

    Raises:
        ConfigurationError: no such name, or something else is in the way.
        FetchError: the hub cannot be reached, does not have it, or there is no room for it.
    """
    repository = hub_repository(name)
    if directory.exists():
        if missing := missing_files(directory):
            raise ConfigurationError(f"{directory} is there already and lacks {', '.join(missing)}: remove it first.")
        return False
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as beside:
            partial = Path(beside) / "model"
            _download(repository, partial, progress=progress)
            partial.rename(directory)
    except OSError as error:
        raise FetchError(f"{directory} cannot be written: {error}") from error
    return True


def hub_repository(name: str) -> str:
    """The hub repository of the model `name`.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if "/" in name:
        return name
    # faster-whisper has no public way to ask for it.
    repository: str | None = _MODELS.get(name)
    if repository is None:
        raise ConfigurationError(
            f"No model is called {name!r}: give owner/name of a hub repository, or one of "
            f"{', '.join(available_models())}."
        )
    return repository


def _download(repository: str, directory: Path, *, progress: bool) -> None:
    if progress:
        enable_progress_bars()
    else:
        disable_progress_bars()
    try:
        huggingface_hub.snapshot_download(repository, local_dir=directory, allow_patterns=_WANTED)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise FetchError(
            f"The hub has no repository {repository!r}, or it is private: check the name, or set HF_TOKEN."
        ) from error
    # What the hub's library raises by itself is a kind of OSError or ValueError; a connection that breaks may not be.
    except (OSError, ValueError, _CONNECTION_ERROR) as error:
        raise FetchError(
            f"The model hub ({huggingface_hub.constants.ENDPOINT}) did not give {repository}: {_first_line(error)}\n"
            "Try again; or set HF_ENDPOINT to a mirror; or copy the model's directory from a machine that has it and "
            "set SCRIBEFLEET_MODEL_DIR."
        ) from error
    if missing := missing_files(directory):
        raise FetchError(
            f"The hub repository {repository} is no Whisper model in CTranslate2 format: it lacks {', '.join(missing)}."
        )
    # The hub's notes for resuming a download; the files are whole.
    shutil.rmtree(directory / ".cache", ignore_errors=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
