"""The command: what it prints, draws and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autoscaler.simulate.cli import simulate
from shared.errors import ConfigurationError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, [*arguments], catch_exceptions=False)


def document(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    parsed: dict[str, Any] = json.loads(done.output)
    return parsed


def test_the_figures_are_a_table_for_people() -> None:
    done = run("--workload", "burst", "--days", "1")

    assert done.exit_code == 0
    for words in ("5,000 of 5,000", "cost in 30 days", "wait: median, p95, most", "starts", "rules broken"):
        assert words in done.output


def test_the_figures_are_json_for_machines() -> None:
    found = document("--workload", "burst", "--days", "1", "--seed", "3")

    (result,) = found["results"]
    assert (found["seed"], result["workload"], result["jobs"]) == (3, "burst", 5000)
    assert result["violations"] == 0
    assert result["gpuSecondsIdle"] == pytest.approx(result["gpuSeconds"] - 1250, abs=1)
    assert set(result["waitSeconds"]) == {"median", "p95", "max", "mean"}


def test_settings_are_those_of_the_environment_and_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    one = document("--workload", "burst", "--days", "1")["results"][0]
    monkeypatch.setenv("SCRIBEFLEET_MAX_INSTANCES", "8")
    two = document("--workload", "burst", "--days", "1")["results"][0]
    eight = document("--workload", "burst", "--days", "1", "--set", "target_drain_seconds=150")["results"][0]

    assert (one["mostRunning"], two["mostRunning"], eight["mostRunning"]) == (1, 2, 8)


def test_a_file_of_arrivals_is_simulated(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("seconds,jobs\n100,7\n")

    (result,) = document("--workload", str(path))["results"]

    assert (result["workload"], result["published"], result["days"]) == ("mine", 7, 1)


def test_a_comparison_says_of_each_timer_whether_it_is_dominated() -> None:
    done = run("--workload", "sparse", "--days", "1", "--compare")

    assert done.exit_code == 0
    for name in ("5 min", "30 min", "2 h", "6 h"):
        assert f"timer {name}: " in done.output


@pytest.mark.parametrize(
    ("name", "begins", "beside"),
    [("a.png", b"\x89PNG", ()), ("a.svg", b"<?xml", ()), ("b.svg", b"<?xml", ("--compare",))],
)
def test_a_plot_is_drawn_in_the_format_of_its_name(
    tmp_path: Path, name: str, begins: bytes, beside: tuple[str, ...]
) -> None:
    target = tmp_path / name

    done = run("--workload", "sparse", "--days", "1", "--plot", str(target), *beside)

    assert done.exit_code == 0
    assert target.read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--workload", "nothing-like-it"), "no workload 'nothing-like-it'"),
        (("--set", "max_instances"), "NAME=VALUE"),
        (("--set", "no_such=1"), "no such setting"),
        (("--set", "max_instances=many"), "max_instances is wrong"),
        (("--plot", "a.gif"), r"\.png or \.svg"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        run(*arguments)
