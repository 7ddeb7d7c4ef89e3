"""The command behind `make faults`: what it runs, and what it says of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.faults import __main__ as command
from tests.faults.fuzz.judge import Cause, Failure
from tests.faults.fuzz.run import FuzzOutcome
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.scenario import Fault

FUZZED = FuzzOutcome("key", 30, 10, 20, (), 0.1)
FAILURE = Failure(Cause("KeyError", "shared/formats/layout.py:7"), b"users/", "KeyError: 7")
BROKEN = FuzzOutcome("lock", 30, 10, 19, (FAILURE,), 0.1)


class Holding:
    """A runner for which every fault holds."""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        pass

    def run(self, faults: Sequence[Fault]) -> list[Outcome]:
        return [Outcome(fault.name, fault.group, fault.what, injected=1) for fault in faults]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """How fuzzing was asked for: inputs, seed, processes."""
    calls: list[tuple[int, int, int]] = []

    def fuzz(inputs: int, seed: int, processes: int) -> list[FuzzOutcome]:
        calls.append((inputs, seed, processes))
        return [FUZZED]

    monkeypatch.setattr(command, "Runner", Holding)
    monkeypatch.setattr(command, "fuzz_all", fuzz)
    return calls


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


def test_the_whole_matrix_is_followed_by_fuzzing(asked: list[tuple[int, int, int]], tmp_path: Path) -> None:
    file, page = tmp_path / "faults.json", tmp_path / "page.md"

    result = ran("--seed", "7", "--jobs-in-parallel", "3", "--json", str(file), "--page", str(page))

    assert result.exit_code == 0, result.output
    assert asked == [(100_000, 7, 3)]
    assert result.output.index("faults hold") < result.output.index("1 parsers fuzzed with 30 inputs, 0 failed")
    assert [row["target"] for row in json.loads(file.read_text())["fuzzed"]] == ["key"]
    assert "| `key` | 30 | 10 | 20 | 0 |" in page.read_text()


@pytest.mark.parametrize("arguments", [["--no-fuzz"], ["--quick"], ["--only", "kill*"]])
def test_nothing_is_fuzzed_when_not_all_is_wanted(arguments: list[str], asked: list[tuple[int, int, int]]) -> None:
    result = ran(*arguments)

    assert result.exit_code == 0, result.output
    assert asked == []
    assert "parsers fuzzed" not in result.output


def test_an_input_that_fails_is_kept_and_makes_the_command_fail(
    asked: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "fuzz_all", lambda *_: [FUZZED, BROKEN])
    monkeypatch.setattr(command, "save", lambda target, data: tmp_path / f"{target}-{data.decode().strip('/')}")

    result = ran("--fuzz-inputs", "30")

    assert result.exit_code == 1
    assert "lock: KeyError: 7 at shared/formats/layout.py:7" in result.output
    assert "lock-users" in result.output
    assert asked == []
