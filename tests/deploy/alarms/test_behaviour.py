"""When each of the template's alarms goes off, when not, and what it makes of silence.

The emulator evaluates no alarm, so an evaluator of our own does (tests/deploy/alarms/alarm_rules.py), over made-up
samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tests.deploy.alarms.alarm_rules import AlarmRule, Samples, State
from tests.deploy.alarms.metric_math import Series
from tests.deploy.alarms.template_alarms import rules

# Samples of the minutes before now; the newest is the last, and those before the first are missing.
Story = Mapping[str, Series]


def steady(value: float | None, minutes: int = 60) -> Series:
    return (value,) * minutes


@dataclass(frozen=True, slots=True)
class Case:
    """When one alarm is to go off, and when not, as stories by what they tell. A story has samples by metric.

    Attributes:
        silence: what it becomes when no samples come: `kept` is the state before.
    """

    fires: Mapping[str, Story]
    quiet: Mapping[str, Story]
    silence: Literal["OK", "ALARM", "kept"]


def _age(name: str, threshold: float) -> Case:
    """Jobs that wait for too long, as SQS says."""
    old = steady(threshold + 1)
    return Case(
        fires={"old for long, lock free": {name: old, "LockHeldSeconds": steady(0)}},
        quiet={
            "old, but a live session holds the lock": {name: old, "LockHeldSeconds": steady(600)},
            "the session has just ended": {name: old, "LockHeldSeconds": (*steady(9000, 35), *steady(0, 25))},
            "at the threshold": {name: steady(threshold), "LockHeldSeconds": steady(0)},
            "picked up in between": {
                name: (*steady(threshold + 1, 40), *steady(5, 10), *steady(threshold + 1, 10)),
                "LockHeldSeconds": steady(0),
            },
        },
        silence="OK",
    )


def _nobody_comes(threshold: float) -> Case:
    def story(age: float | Series, running: float = 0, lock: float = 0) -> Story:
        ages = age if isinstance(age, tuple) else steady(age)
        return {
            "OldestPendingAgeSeconds": ages,
            "InstancesByState": steady(running),
            "LockHeldSeconds": steady(lock),
        }

    return Case(
        fires={
            "old work, nothing runs": story(threshold + 1),
            "for ten minutes": story((*steady(threshold, 50), *steady(threshold + 1, 10))),
        },
        quiet={
            "an instance runs": story(threshold + 1, running=1),
            "a live session holds the lock": story(threshold + 1, lock=60),
            "young work": story(threshold),
            "for nine minutes only": story((*steady(0, 51), *steady(threshold + 1, 9))),
        },
        silence="kept",
    )


def _more_dead_letters() -> Case:
    def story(visible: Series, hidden: Series | None = None) -> Story:
        return {
            "ApproximateNumberOfMessagesVisible": visible,
            "ApproximateNumberOfMessagesNotVisible": hidden or steady(0, 15),
        }

    return Case(
        fires={"a second message": story((*steady(1, 10), *steady(2, 5)))},
        quiet={
            "those that were there": story(steady(3, 15)),
            "one is being looked at": story((*steady(3, 10), *steady(2, 5)), (*steady(0, 10), *steady(1, 5))),
            "one has been looked at": story((*steady(2, 10), *steady(3, 5)), (*steady(1, 10), *steady(0, 5))),
            "one was redriven": story((*steady(3, 10), *steady(2, 5))),
        },
        silence="OK",
    )


def _failure_ratio(percent: int) -> Case:
    def story(failed: int, completed: int) -> Story:
        return {"JobsFailed": (*steady(0), failed), "JobsCompleted": (*steady(0), completed)}

    return Case(
        fires={"more of many": story(percent + 1, 99 - percent)},
        quiet={"as many of many": story(percent, 100 - percent), "one of two": story(1, 1), "none": story(0, 100)},
        silence="OK",
    )


def _beyond(name: str, threshold: float, minutes: int) -> Case:
    """A measure, reported each minute, that must go beyond the threshold once in each five minutes of so many."""
    now_and_then = (threshold, threshold, threshold + 1, threshold, threshold)

    def story(beyond: int) -> Story:
        return {name: (*steady(threshold, 60 - beyond), *now_and_then * (beyond // 5))}

    return Case(fires={"for so long": story(minutes)}, quiet={"not for so long": story(minutes - 5)}, silence="kept")


def _flag(name: str, minutes: int, silence: Literal["OK", "kept"]) -> Case:
    """A measure, reported each minute, that must not be 0 in any of so many minutes."""

    def story(on: int) -> Story:
        return {name: (*steady(0, 60 - on), *steady(1, on))}

    return Case(fires={"for so long": story(minutes)}, quiet={"not for so long": story(minutes - 1)}, silence=silence)


def _status_check() -> Case:
    return _flag("StatusCheckFailed", 5, "OK")


ONE_ERROR = (*steady(0, 59), 1)
CASES: Mapping[str, Callable[[float], Case]] = {
    "oldest-message-age": lambda threshold: _age("ApproximateAgeOfOldestMessage", threshold),
    "oldest-priority-message-age": lambda threshold: _age("ApproximateAgeOfOldestMessage", threshold),
    "nobody-comes": _nobody_comes,
    "dead-letters": lambda _: Case(
        fires={"one has come": {"ApproximateNumberOfMessagesVisible": (*steady(0, 59), 1)}},
        quiet={"redriven": {"ApproximateNumberOfMessagesVisible": (*steady(1, 55), *steady(0, 5))}},
        silence="OK",
    ),
    "more-dead-letters": lambda _: _more_dead_letters(),
    "failure-ratio-above-5-percent": lambda _: _failure_ratio(5),
    "failure-ratio-above-10-percent": lambda _: _failure_ratio(10),
    "run-too-long": lambda threshold: _beyond("LongestRunSeconds", threshold, 15),
    "silent-instance": lambda _: _flag("SilentInstances", 10, "kept"),
    "autoscaler-asks-for-help": lambda _: Case(
        fires={"once": {"Alarms": ONE_ERROR}}, quiet={"never": {"Alarms": steady(0)}}, silence="kept"
    ),
    "cannot-observe": lambda _: Case(
        fires={"for so long": {"Problems": (*steady(0, 45), *steady(1, 15))}},
        quiet={
            "not for so long": {"Problems": (*steady(0, 50), *steady(1, 10))},
            "a tick in five reads all": {"Problems": (1, 1, 0, 1, 1) * 12},
        },
        silence="kept",
    ),
    "no-tick": lambda _: Case(
        fires={"the last ticks did not come": {"Ticks": (*steady(1, 53), *steady(None, 7))}},
        quiet={
            "a tick each minute": {"Ticks": steady(1)},
            "four did not come": {"Ticks": (*steady(1, 56), *steady(None, 4))},
            "they come twice": {"Ticks": steady(2)},
        },
        silence="ALARM",
    ),
    "scanner-errors": lambda _: Case({"one": {"Errors": ONE_ERROR}}, {"none": {"Errors": steady(0)}}, "OK"),
    "autoscaler-errors": lambda _: Case(
        fires={"one in each five minutes": {"Errors": (*steady(0, 50), *ONE_ERROR[-5:], *ONE_ERROR[-5:])}},
        quiet={"one": {"Errors": ONE_ERROR}, "none": {"Errors": steady(0)}},
        silence="OK",
    ),
    "capacity-blocked": lambda _: _beyond("CapacityBlocked", 0, 15),
    "lock-held": lambda threshold: _beyond("LockHeldSeconds", threshold, 5),
    "daily-cost": lambda threshold: _beyond("CostTodayUSD", threshold, 5),
    "status-check-failed": lambda _: _status_check(),
    "status-check-failed-1": lambda _: _status_check(),
    "status-check-failed-2": lambda _: _status_check(),
    "status-check-failed-3": lambda _: _status_check(),
    "status-check-failed-4": lambda _: _status_check(),
}
"""Name of an alarm -> its case, for the threshold that the template sets."""


def samples(rule: AlarmRule, story: Story) -> Samples:
    """The story's series under the metrics that the alarm looks at; each of them is in the story, and no other."""
    by_name = {metric.name: metric for metric in rule.metrics}
    assert set(by_name) == set(story)
    return {by_name[name]: series for name, series in story.items()}


@pytest.fixture(scope="session")
def alarm_rules(template: dict[str, Any]) -> dict[str, AlarmRule]:
    return rules(template)


def test_each_alarm_of_the_template_has_a_case_and_the_reverse(alarm_rules: dict[str, AlarmRule]) -> None:
    assert set(alarm_rules) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_given_its_fault_then_the_alarm_goes_off(alarm_rules: dict[str, AlarmRule], name: str) -> None:
    rule = alarm_rules[name]
    for what, story in CASES[name](rule.threshold).fires.items():
        assert rule.state(samples(rule, story)) == "ALARM", what


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("before", ["OK", "ALARM"])
def test_given_no_fault_then_the_alarm_stays_quiet_and_one_that_was_on_ends(
    alarm_rules: dict[str, AlarmRule], name: str, before: State
) -> None:
    rule = alarm_rules[name]
    for what, story in CASES[name](rule.threshold).quiet.items():
        assert rule.state(samples(rule, story), before) == "OK", what


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("before", ["OK", "ALARM"])
@pytest.mark.parametrize("fills_nothing", [False, True])
def test_given_silence_then_the_alarm_does_what_was_chosen_for_it(
    alarm_rules: dict[str, AlarmRule], name: str, before: State, fills_nothing: bool
) -> None:
    rule = alarm_rules[name]
    silence = CASES[name](rule.threshold).silence
    expected = before if silence == "kept" else silence
    assert rule.state({}, before, fills_nothing=fills_nothing) == expected
