"""Sets alarms off and back, and reads in their history whether somebody was told.

An alarm that is in ALARM is left alone: it would tell nobody, and the way back would tell of an end that is none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from deploy.alarms.reading import Alarm
from shared.clock import Clock, iso

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

Verdict = Literal["told", "failed", "unknown"]
Change = Literal["ALARM", "OK"]

# CloudWatch acts within seconds of a change and writes down what came of it a moment later.
_WAIT_SECONDS = 30.0
_POLL_INTERVAL_SECONDS = 2.0
# Begins the summary of an action's history item; the other ones begin with "Failed to execute action" and end with
# the error (AWS Knowledge Center, "How do I receive SNS notifications for CloudWatch alarm triggers?").
_TOLD = "Successfully executed action"
# This machine's clock and CloudWatch's may differ.
_CLOCK_SLACK = timedelta(minutes=5)


@dataclass(slots=True)
class TrialResult:
    """What came of one alarm's trial.

    Attributes:
        verdicts: whether the notice of each change went out, as far as its history tells by now.
        errors: CloudWatch's words, where a notice could not be sent.
    """

    name: str
    verdicts: dict[Change, Verdict] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def of(self, change: Change) -> Verdict:
        return self.verdicts.get(change, "unknown")


def choose(alarms: Iterable[Alarm]) -> tuple[list[Alarm], dict[str, str]]:
    """The alarms that may be tried, and name -> why not for the others."""
    left_out: dict[str, str] = {}
    chosen: list[Alarm] = []
    for alarm in alarms:
        if alarm.state == "ALARM":
            left_out[alarm.name] = "it is in ALARM now: a trial would tell of an end that is none"
        elif not alarm.actions:
            left_out[alarm.name] = "it has no action that could be tried"
        elif not alarm.enabled:
            left_out[alarm.name] = (
                "its actions are switched off: `aws cloudwatch enable-alarm-actions` switches them on"
            )
        else:
            chosen.append(alarm)
    return chosen, left_out


class Trial:
    """One trial of some alarms, all at the same time."""

    def __init__(self, cloudwatch: "CloudWatchClient", clock: Clock) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._began = clock.now()
        mark = f"scribefleet alarms test at {iso(self._began)}"
        # A notice quotes the reason of its change, and by the mark in it is known as this trial's.
        self._reasons: dict[Change, str] = {
            "ALARM": f"{mark}: nothing is wrong. A notice that it is over follows.",
            "OK": f"{mark}: the test is over.",
        }

    def run(self, alarms: Sequence[Alarm]) -> list[TrialResult]:
        """Set each off, wait for its notice, set it back, wait again; what was set off is set back, come what may.

        Raises:
            What boto3 raises.
        """
        results = {alarm.name: TrialResult(alarm.name) for alarm in alarms}
        set_off: list[str] = []
        try:
            for name in results:
                self._set(name, "ALARM")
                set_off.append(name)
            self._await(results.values(), "ALARM")
        finally:
            for name in set_off:
                self._set(name, "OK")
        self._await(results.values(), "OK")
        return list(results.values())

    def _set(self, name: str, state: Change) -> None:
        self._cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=self._reasons[state])

    def _await(self, results: Iterable[TrialResult], change: Change) -> None:
        """Fill in what became of the notices of the change, as it becomes known."""
        waiting = list(results)
        end = self._clock.monotonic() + _WAIT_SECONDS
        while True:
            waiting = [result for result in waiting if not self._fill_in(result, change)]
            if not waiting or self._clock.monotonic() >= end:
                return
            self._clock.sleep(_POLL_INTERVAL_SECONDS)

    def _fill_in(self, result: TrialResult, change: Change) -> bool:
        """Returns whether the history tells of the notices yet."""
        summaries = self._notices(result.name, change)
        if not summaries:
            return False
        errors = [summary for summary in summaries if not summary.startswith(_TOLD)]
        result.errors += errors
        result.verdicts[change] = "failed" if errors else "told"
        return True

    def _notices(self, name: str, change: Change) -> list[str]:
        """What the history says of each action that the change has brought about."""
        pages = self._cloudwatch.get_paginator("describe_alarm_history").paginate(
            AlarmName=name, HistoryItemType="Action", StartDate=self._began - _CLOCK_SLACK
        )
        items = (item for page in pages for item in page["AlarmHistoryItems"])
        return [item["HistorySummary"] for item in items if self._reasons[change] in item["HistoryData"]]
