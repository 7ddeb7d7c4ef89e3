import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consumer.model.cli import model
from shared.errors import ConfigurationError


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with the packaged model only, and without a fleet."""
    for name, value in {"MODEL": "tiny.en", "MODEL_STORE": str(tmp_path), "DEVICE": "cpu"}.items():
        monkeypatch.setenv(f"SCRIBEFLEET_{name}", value)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(model, arguments, catch_exceptions=False)


@pytest.mark.model
def test_given_a_model_that_works_when_it_is_checked_then_it_tells_seconds_and_speed() -> None:
    ran = run("check", "--json")

    assert ran.exit_code == 0
    found: dict[str, Any] = json.loads(ran.stdout)
    assert (found["model"], found["device"], found["shareHeard"]) == ("tiny.en", "cpu", 1.0)
    assert found["rtfx"] == pytest.approx(found["audioSeconds"] / found["seconds"], rel=0.1)
    assert found["loadSeconds"] > 0


@pytest.mark.model
def test_given_a_model_that_works_when_it_is_checked_then_a_person_reads_one_line() -> None:
    ran = run("check")

    (line,) = ran.stdout.splitlines()
    assert line.startswith("tiny.en on cpu works: loaded in ")
    assert line.endswith("100% of the words heard")


def test_given_the_fleets_model_then_its_path_is_the_one_that_a_worker_loads() -> None:
    ran = run("path")

    assert (Path(ran.stdout.strip()) / "model.bin").is_file()


@pytest.mark.parametrize("command", ["path", "check"])
def test_given_a_model_that_is_not_here_then_it_says_how_to_get_it(command: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"No model 'small\.en' on this machine: run `scribefleet model fetch`"
    ):
        run(command, "small.en")


@pytest.mark.model
def test_given_a_language_that_the_model_does_not_know_then_the_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIBEFLEET_LANGUAGE", "de")

    with pytest.raises(ConfigurationError, match=r"SCRIBEFLEET_LANGUAGE=de is no language of tiny\.en"):
        run("check")
