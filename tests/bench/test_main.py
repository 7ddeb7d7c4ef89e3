import json
from pathlib import Path

import pytest

from bench.__main__ import MEASUREMENTS, main
from bench.children import MeasurementError
from bench.report import Bound, Measurement


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "new" / "bench.json"


def within() -> list[Measurement]:
    return [Measurement("size", 10, "MB", Bound("at most", 30))]


def broken() -> list[Measurement]:
    return [Measurement("speed", 0.5, "ratio", Bound("at least", 0.7))]


def impossible() -> list[Measurement]:
    raise MeasurementError("there is no demo")


def verdicts(output: Path) -> dict[str, bool]:
    return {each["name"]: each["ok"] for each in json.loads(output.read_text())["measurements"]}


def test_the_exit_code_is_0_when_every_bound_is_kept(monkeypatch: pytest.MonkeyPatch, output: Path) -> None:
    monkeypatch.setitem(MEASUREMENTS, "lambda-size", within)

    assert main(["--only", "lambda-size", "--output", str(output)]) == 0
    assert verdicts(output) == {"size": True}


def test_the_exit_code_is_1_when_one_of_several_bounds_is_broken(monkeypatch: pytest.MonkeyPatch, output: Path) -> None:
    monkeypatch.setitem(MEASUREMENTS, "lambda-size", within)
    monkeypatch.setitem(MEASUREMENTS, "scanner", broken)

    assert main(["--only", "lambda-size", "--only", "scanner", "--output", str(output)]) == 1
    assert verdicts(output) == {"size": True, "speed": False}


def test_a_measurement_that_fails_breaks_the_run_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, output: Path
) -> None:
    monkeypatch.setitem(MEASUREMENTS, "demo", impossible)
    monkeypatch.setitem(MEASUREMENTS, "lambda-size", within)

    assert main(["--only", "demo", "--only", "lambda-size", "--output", str(output)]) == 1
    assert verdicts(output) == {"demo": False, "size": True}


def test_a_name_that_no_measurement_has_is_wrong_use(output: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "weather", "--output", str(output)])

    assert ended.value.code == 2
    assert not output.exists()
