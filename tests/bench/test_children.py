import os

import pytest

from bench.children import PROJECT, MeasurementError, environment, run_python, run_python_json


def test_a_child_runs_in_the_project_with_the_given_environment() -> None:
    program = "import os; print(os.getcwd(), os.environ['AWS_ENDPOINT_URL'])"

    assert run_python(["-c", program], environment(AWS_ENDPOINT_URL="http://there"), 60).split() == [
        str(PROJECT),
        "http://there",
    ]


def test_the_callers_aws_and_fleet_variables_do_not_reach_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("SCRIBEFLEET_BUCKET", "real-recordings")

    assert {"AWS_PROFILE", "SCRIBEFLEET_BUCKET"}.isdisjoint(environment())
    assert environment()["PATH"] == os.environ["PATH"]


def test_a_child_that_fails_is_told_in_one_line_without_the_projects_path() -> None:
    program = f"raise RuntimeError('{PROJECT}/samples is missing')"

    with pytest.raises(MeasurementError) as failed:
        run_python(["-c", program], environment(), 60)

    assert str(failed.value).endswith("ended with 1: RuntimeError: samples is missing")
    assert "\n" not in str(failed.value)


def test_a_child_that_hangs_is_cut_off() -> None:
    with pytest.raises(MeasurementError, match="did not end within"):
        run_python(["-c", "import threading; threading.Event().wait()"], environment(), 1)


@pytest.mark.parametrize("printed", ["", "not json", "[1]"])
def test_an_answer_that_is_no_json_object_is_an_error(printed: str) -> None:
    with pytest.raises(MeasurementError, match="JSON"):
        run_python_json(["-c", f"print({printed!r})"], environment(), 60)


def test_the_answer_is_the_last_line() -> None:
    assert run_python_json(["-c", "print('loading'); print('{\"keys\": 3}')"], environment(), 60) == {"keys": 3}
