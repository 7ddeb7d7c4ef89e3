"""The clock that invokes the deployed functions."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.cloud import EmbeddedCloudError
from deploy.local.lambdas import LambdaRuntime, rate_seconds

StartFunction = Callable[[str], LambdaRuntime]


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(2 hours)", 7200), ("rate(3 days)", 259_200)]
)
def test_a_rate_expression_is_a_period(expression: str, seconds: float) -> None:
    assert rate_seconds(expression) == seconds


@pytest.mark.parametrize("expression", ["cron(0 * * * ? *)", "rate(minute)", "rate(x minutes)", "rate(1 week)", ""])
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="not a rate expression"):
        rate_seconds(expression)


@pytest.fixture
def start_function(tmp_path: Path, request: pytest.FixtureRequest) -> StartFunction:
    """Starts a warm process of a function with the given body."""

    def start(body: str) -> LambdaRuntime:
        code = tmp_path / "code"
        code.mkdir()
        source = "import os\n\n\ndef handler(event, context):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (code / "function_under_test.py").write_text(source)
        runtime = LambdaRuntime("function_under_test.handler", code, {"GREETING": "hi"}, tmp_path / "function.log")
        request.addfinalizer(runtime.close)
        return runtime

    return start


def test_a_function_gets_its_event_and_its_variables_and_stays_warm(start_function: StartFunction) -> None:
    runtime = start_function('return {"event": event, "greeting": os.environ["GREETING"], "pid": os.getpid()}')
    first, second = runtime.invoke({"n": 1}), runtime.invoke({"n": 2})
    assert (first["event"], second["event"]) == ({"n": 1}, {"n": 2})
    assert first["greeting"] == "hi"
    assert first["pid"] == second["pid"]


def test_what_a_function_prints_is_not_taken_for_its_answer(start_function: StartFunction) -> None:
    runtime = start_function('print("hello")\nreturn {"ok": True}')
    assert runtime.invoke({}) == {"ok": True}


def test_an_error_in_a_function_is_told_and_the_process_lives_on(start_function: StartFunction) -> None:
    runtime = start_function('return {"half": 1 / event["by"]}')
    with pytest.raises(EmbeddedCloudError, match="ZeroDivisionError"):
        runtime.invoke({"by": 0})
    assert runtime.invoke({"by": 2}) == {"half": 0.5}


def test_a_function_whose_process_dies_is_told(start_function: StartFunction) -> None:
    runtime = start_function("os._exit(3)")
    with pytest.raises(EmbeddedCloudError, match="its process ended"):
        runtime.invoke({})


def test_this_interpreter_runs_the_function(start_function: StartFunction) -> None:
    assert start_function("import sys\nreturn {'at': sys.executable}").invoke({})["at"] == sys.executable
