"""Plays EventBridge and Lambda: a clock that invokes the deployed functions by the deployed rules.

What runs, how often, under which role and with which variables is read back from the embedded cloud, so that a mistake
in the template shows here. Each function runs in a process of its own, as in Lambda: kept warm, one event at a time.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.cloud import EmbeddedCloud, EmbeddedCloudError, LocalStack
from deploy.local.processes import clean_environment, end
from shared.background import repeating
from shared.clock import Clock

_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_POLL_INTERVAL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Rule:
    """A schedule and what it invokes: `period_seconds` apart, with `event`."""

    function: str
    event: Mapping[str, Any]
    period_seconds: float


class LambdaRuntime:
    """A warm process of one function.

    Args:
        handler: `module.function`, as Lambda names it.
        code: the directory of the unpacked package; first on the path, as in Lambda.
    """

    def __init__(self, handler: str, code: Path, environment: Mapping[str, str], log_file: Path) -> None:
        self._log_file = log_file
        self._handler = handler
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
                [sys.executable, "-m", "deploy.local.lambda_process", handler, str(code)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=clean_environment(environment),
                text=True,
                start_new_session=True,
            )

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke the function and wait for its answer.

        Raises:
            EmbeddedCloudError: it raised an error, or its process ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise EmbeddedCloudError(f"{self._handler} has no pipes")
        try:
            self._process.stdin.write(json.dumps(event) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise EmbeddedCloudError(f"{self._handler} failed: {answer['error']}; see {self._log_file}")
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the process."""
        end(self._process, grace_seconds=2)


@contextmanager
def deployed_functions(
    cloud: EmbeddedCloud, stack: LocalStack, log_directory: Path
) -> Iterator[dict[str, LambdaRuntime]]:
    """A warm process of every deployed function, by the function's name, for as long as the block lasts."""
    runtimes: dict[str, LambdaRuntime] = {}
    with ExitStack() as closing:
        for function in cloud.lambdas().list_functions()["Functions"]:
            name = function["FunctionName"]
            component = name.rsplit("-", 1)[-1]
            runtimes[name] = LambdaRuntime(
                function["Handler"],
                stack.code[component],
                {**cloud.role_environment(function["Role"], name), **function["Environment"]["Variables"]},
                log_directory / f"lambda-{component}.log",
            )
            closing.callback(runtimes[name].close)
        yield runtimes


def deployed_rules(cloud: EmbeddedCloud) -> list[Rule]:
    """The schedules as deployed, longest period first: at the first tick there is work before instances are counted."""
    events = cloud.events()
    rules = [
        Rule(
            function=target["Arn"].rsplit(":", 1)[-1],
            event=json.loads(target.get("Input", "{}")),
            period_seconds=rate_seconds(rule["ScheduleExpression"]),
        )
        for rule in events.list_rules()["Rules"]
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    ]
    return sorted(rules, key=lambda rule: -rule.period_seconds)


def rate_seconds(expression: str) -> float:
    """The period of an EventBridge rate expression, such as `rate(2 hours)`, in seconds.

    Raises:
        ValueError: it is no rate expression; the fleet's template uses no other.
    """
    words = expression.removeprefix("rate(").removesuffix(")").split()
    if len(words) != 2 or not words[0].isdigit() or words[1].rstrip("s") not in _SECONDS:
        raise ValueError(f"not a rate expression: {expression!r}")
    return int(words[0]) * _SECONDS[words[1].rstrip("s")]


OnInvoked = Callable[[str, dict[str, Any]], None]


class ScheduleClock:
    """Invokes functions by their rules, with time running faster than it does.

    Args:
        speed: how many times; at 60, `rate(1 minute)` is every second.
        on_invoked: told each function's name and answer, from the clock's thread.

    Attributes:
        failure: the first invocation that raised; the clock stands still from then on.
    """

    def __init__(
        self,
        rules: list[Rule],
        runtimes: Mapping[str, LambdaRuntime],
        clock: Clock,
        speed: float,
        on_invoked: OnInvoked = lambda _name, _answer: None,
    ) -> None:
        self._due = [(clock.monotonic(), rule) for rule in rules]
        self._runtimes = runtimes
        self._clock = clock
        self._speed = speed
        self._on_invoked = on_invoked
        self.failure: EmbeddedCloudError | None = None

    def running(self) -> AbstractContextManager[None]:
        """Lets time pass for as long as the block lasts; every rule fires at its beginning."""
        return repeating(self._invoke_what_is_due, _POLL_INTERVAL_SECONDS, "schedule")

    def _invoke_what_is_due(self) -> None:
        for number, (at, rule) in enumerate(self._due):
            now = self._clock.monotonic()
            if now < at or self.failure:
                continue
            self._due[number] = (now + rule.period_seconds / self._speed, rule)
            try:
                self._on_invoked(rule.function, self._runtimes[rule.function].invoke(rule.event))
            except EmbeddedCloudError as error:
                self.failure = error
