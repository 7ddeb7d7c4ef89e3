from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consumer.model.registry import Models
from consumer.model.transcriber import Speech, Transcription
from consumer.model.whisper import WhisperTranscriber
from shared.clock import SystemClock
from shared.errors import ConfigurationError, PermanentJobError
from shared.setting_groups import ModelSettings


@dataclass
class Loaded:
    model_name: str
    languages: frozenset[str]
    device: str = "cpu"
    parallel: int = 1

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        raise AssertionError("nothing is transcribed here")


@dataclass
class Disk:
    """The models on a machine, by name, and what was loaded of them."""

    models: dict[str, frozenset[str]] = field(
        default_factory=lambda: {
            "small.en": frozenset({"en"}),
            "small": frozenset({"en", "de", "fr", "ja"}),
            "someone/german": frozenset({"de"}),
        }
    )
    loaded: list[str] = field(default_factory=list)

    def load(self, settings: ModelSettings) -> Loaded:
        if settings.model not in self.models:
            raise ConfigurationError(f"No model {settings.model!r} on this machine.")
        self.loaded.append(settings.model)
        return Loaded(settings.model_dir.name if settings.model_dir else settings.model, self.models[settings.model])


@pytest.fixture
def disk() -> Disk:
    return Disk()


def models(disk: Disk, **changes: Any) -> Models:
    return Models(ModelSettings(**{"model": "small.en", "model_dir": None, **changes}), disk.load)


def test_given_a_job_without_wishes_then_it_gets_the_fleets_own_model_which_was_loaded_at_the_start(disk: Disk) -> None:
    ours = models(disk)

    assert ours.get(None, None) is ours.get("small.en", "en") is ours.default
    assert disk.loaded == ["small.en"]


def test_given_a_model_from_a_directory_then_its_names_both_mean_it(disk: Disk) -> None:
    ours = models(disk, model_dir=Path("/opt/tuned"))

    assert ours.get("tuned", None) is ours.get("small.en", None) is ours.default


def test_given_a_job_for_another_model_then_it_is_loaded_once_and_from_its_own_place(disk: Disk) -> None:
    ours = models(disk, model_dir=Path("/opt/tuned"))

    other = ours.get("small", "de")

    assert other.model_name == "small"
    assert ours.get("small", "fr") is other
    assert disk.loaded == ["small.en", "small"]


def test_given_more_models_than_are_kept_then_the_longest_unused_goes_and_never_the_fleets_own(disk: Disk) -> None:
    disk.models |= {"a": frozenset({"en"}), "b": frozenset({"en"}), "c": frozenset({"en"})}
    ours = models(disk, models_kept=3)

    for name in ("a", "b", "a", "c", "a", "b"):
        ours.get(name, None)

    assert disk.loaded == ["small.en", "a", "b", "c", "b"]
    assert ours.get(None, None) is ours.default


@pytest.mark.parametrize("name", ["large", "../../etc", "/etc/passwd", ""])
def test_given_a_model_that_is_not_here_then_it_is_the_jobs_error(disk: Disk, name: str) -> None:
    with pytest.raises(PermanentJobError) as failure:
        models(disk).get(name, None)
    assert failure.value.reason == "model-unavailable"


def test_given_a_language_that_the_model_does_not_know_then_it_is_the_jobs_error(disk: Disk) -> None:
    ours = models(disk)

    with pytest.raises(PermanentJobError) as failure:
        ours.get(None, "de")
    assert (failure.value.reason, failure.value.detail) == (
        "language-unsupported",
        "'de' is no language of the model small.en, which knows en",
    )


def test_given_a_job_for_a_model_without_the_fleets_language_then_it_is_the_jobs_error(disk: Disk) -> None:
    with pytest.raises(PermanentJobError, match="language-unsupported"):
        models(disk).get("someone/german", None)


def test_given_a_fleet_whose_model_does_not_know_its_language_then_it_does_not_start(disk: Disk) -> None:
    with pytest.raises(ConfigurationError) as failure:
        models(disk, language="de")
    assert str(failure.value) == "SCRIBEFLEET_LANGUAGE=de is no language of the model small.en, which knows en."


@pytest.mark.model
def test_given_the_real_loader_then_a_model_that_is_not_on_disk_is_the_jobs_error_and_the_own_one_works() -> None:
    settings = ModelSettings(model="tiny.en", device="cpu", model_store=Path("/nowhere"))
    ours = Models(settings, lambda wanted: WhisperTranscriber(wanted, SystemClock()))

    with pytest.raises(PermanentJobError, match="model-unavailable: No model 'someone/none' on this machine"):
        ours.get("someone/none", None)
    assert ours.get("tiny.en", "en").languages == {"en"}
