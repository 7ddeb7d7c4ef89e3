"""`scribefleet alarms` on the emulator, which keeps alarms and topics but acts on no alarm and has no history."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import CliRunner, Result

import deploy.alarms.cli
from deploy.alarms.reading import ALARM_TYPE, read_alarms
from deploy.alarms.trial import Trial, choose
from deploy.fleet import FleetStack, StackResource

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

    from tests.conftest import Cloud, FakeClock

TOLD = "Successfully executed action {action}"
REFUSED = 'Failed to execute action {action}. Received error: "not authorized to perform: SNS:Publish"'


@dataclass
class Alarms:
    """A fleet's alarms, and CloudWatch's history of what became of their actions.

    Attributes:
        summary: what the history says of an action; empty while it says nothing.
        looks: how often the history was read.
    """

    cloudwatch: Any
    sns: "SNSClient"
    names: list[str] = field(default_factory=list)
    summary: str = TOLD
    looks: int = 0
    changes: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        events = self.cloudwatch.meta.events
        events.register("provide-client-params.cloudwatch.SetAlarmState", self._remember)
        events.register("before-call.cloudwatch.DescribeAlarmHistory", self._history)
        self.sns.meta.events.register("after-call.sns.ListSubscriptionsByTopic", _leave_mail_pending)

    def topic(self, *, confirmed: int = 0, pending: int = 0) -> str:
        arn = self.sns.create_topic(Name="blue-alarms")["TopicArn"]
        for number in range(confirmed + pending):
            address = f"p{number}@example.org"
            self.sns.subscribe(
                TopicArn=arn, Protocol="email", Endpoint=address if number < confirmed else f"?{address}"
            )
        return arn

    def add(self, name: str, *actions: str, state: Any = None, enabled: bool = True) -> None:
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            AlarmDescription=f"What {name} means.",
            AlarmActions=list(actions),
            OKActions=list(actions),
            ActionsEnabled=enabled,
            Namespace="Scribefleet",
            MetricName="Ticks",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
        )
        if state:
            self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="given")
        self.names.append(name)

    def states(self) -> dict[str, str]:
        described = self.cloudwatch.describe_alarms()["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}

    @property
    def stack(self) -> FleetStack:
        """The stack as CloudFormation would tell it; the emulator's makes no alarms."""
        resources = tuple(
            StackResource(f"Alarm{at}", ALARM_TYPE, name, "CREATED") for at, name in enumerate(self.names)
        )
        return FleetStack("blue", "arn:aws:cloudformation:us-east-1:1:stack/blue/1", "", "", {}, {}, resources)

    def _remember(self, params: dict[str, Any], **_: Any) -> None:
        if params["StateReason"] != "given":
            self.changes.append((params["AlarmName"], params["StateValue"], params["StateReason"]))

    def _history(self, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        """The items of DescribeAlarmHistory in the shape that AWS's have: the data quotes the notice that was sent."""
        self.looks += 1
        asked = json.loads(params["body"]) if isinstance(params["body"], (bytes, str)) else params["body"]
        items = [
            {
                "AlarmName": name,
                "HistoryItemType": "Action",
                "HistorySummary": self.summary.format(action="arn:aws:sns:us-east-1:1:blue-alarms"),
                "HistoryData": json.dumps(
                    {"publishedMessage": json.dumps({"default": json.dumps({"NewStateReason": reason})})}
                ),
            }
            for name, _, reason in self.changes
            if self.summary and name == asked["AlarmName"]
        ]
        parsed = {"AlarmHistoryItems": items, "ResponseMetadata": {"HTTPStatusCode": 200}}
        return AWSResponse("", 200, HTTPHeaders(), b""), parsed


def _leave_mail_pending(parsed: dict[str, Any], **_: Any) -> None:
    """The emulator takes every subscription for confirmed; here those are not whose address begins with `?`."""
    for each in parsed.get("Subscriptions", ()):
        if each["Endpoint"].startswith("?"):
            each["Endpoint"], each["SubscriptionArn"] = each["Endpoint"][1:], "PendingConfirmation"


@pytest.fixture
def alarms(cloud: "Cloud") -> Alarms:
    assert cloud.endpoint  # the clients find it by the environment that it has set
    return Alarms(boto3.client("cloudwatch"), boto3.client("sns"))


@pytest.fixture
def command(alarms: Alarms, clock: "FakeClock", monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `scribefleet alarms` with some arguments."""
    # The three that the command takes, of the dozen that an operator's commands have.
    clients = SimpleNamespace(cloudwatch=alarms.cloudwatch, sns=alarms.sns, cloudformation=None)
    monkeypatch.setattr(deploy.alarms.cli, "aws_clients", lambda: clients)
    monkeypatch.setattr(deploy.alarms.cli, "find_fleet", lambda _client, _name: alarms.stack)
    monkeypatch.setattr(deploy.alarms.cli, "SystemClock", lambda: clock)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments, **more: CliRunner().invoke(deploy.alarms.cli.alarms, [*arguments, "--fleet=blue"], **more)


# --- who hears them


@pytest.mark.parametrize(
    ("subscriptions", "heard", "words"),
    [
        ({"confirmed": 2, "pending": 1}, True, "2 by blue-alarms"),
        ({"pending": 1}, False, "nobody: p0@example.org has not confirmed the subscription of blue-alarms"),
        ({}, False, "nobody: blue-alarms has no subscription"),
    ],
)
def test_an_alarm_is_heard_by_those_who_have_confirmed(
    alarms: Alarms, subscriptions: dict[str, int], heard: bool, words: str
) -> None:
    alarms.add("blue-no-tick", alarms.topic(**subscriptions))
    (alarm,) = read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)
    assert (alarm.is_heard, alarm.describe_hearers()) == (heard, words)
    assert (alarm.name, alarm.state, alarm.meaning) == ("blue-no-tick", "OK", "What blue-no-tick means.")


def test_an_alarm_with_its_actions_off_or_without_a_topic_is_heard_by_nobody(alarms: Alarms) -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1), enabled=False)
    alarms.add("blue-b", "arn:aws:lambda:us-east-1:123456789012:function:sns")
    found = read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)
    assert [alarm.describe_hearers() for alarm in found] == [
        "nobody: its actions are switched off",
        "nobody: it has no topic",
    ]
    assert not any(alarm.is_heard for alarm in found)


def test_a_topic_that_cannot_be_read_is_said_to_be_unknown(alarms: Alarms) -> None:
    alarms.add("blue-no-tick", "arn:aws:sns:us-east-1:123456789012:gone")
    (alarm,) = read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)
    assert alarm.describe_hearers() == "unknown: gone could not be read (NotFound)"


def test_only_the_stacks_alarms_are_read_and_none_where_it_has_none(alarms: Alarms) -> None:
    alarms.add("blue-2-no-tick")
    alarms.names.clear()
    assert read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack) == []
    alarms.add("blue-no-tick")
    assert [alarm.name for alarm in read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)] == ["blue-no-tick"]


# --- the trial


def test_a_trial_sets_alarms_off_and_back_and_tells_that_both_notices_were_sent(
    alarms: Alarms, clock: "FakeClock"
) -> None:
    for name in ("blue-a", "blue-b"):
        alarms.add(name, alarms.topic(confirmed=1))
    found, _ = choose(read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack))
    results = Trial(alarms.cloudwatch, clock).run(found)
    assert [(each.name, each.of("ALARM"), each.of("OK")) for each in results] == [
        ("blue-a", "told", "told"),
        ("blue-b", "told", "told"),
    ]
    assert [(name, state) for name, state, _ in alarms.changes] == [
        ("blue-a", "ALARM"),
        ("blue-b", "ALARM"),
        ("blue-a", "OK"),
        ("blue-b", "OK"),
    ]
    assert all("test" in reason for _, _, reason in alarms.changes)
    assert alarms.states() == {"blue-a": "OK", "blue-b": "OK"}


def test_a_notice_that_cannot_be_sent_is_told_with_cloudwatchs_words(alarms: Alarms, clock: "FakeClock") -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    alarms.summary = REFUSED
    (result,) = Trial(alarms.cloudwatch, clock).run(read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack))
    assert result.of("ALARM") == "failed"
    assert "SNS:Publish" in result.errors[0]
    assert alarms.states() == {"blue-a": "OK"}


def test_a_history_that_stays_silent_is_waited_for_and_then_unknown(alarms: Alarms, clock: "FakeClock") -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    alarms.summary = ""
    began = clock.now()
    (result,) = Trial(alarms.cloudwatch, clock).run(read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack))
    assert (result.of("ALARM"), result.of("OK")) == ("unknown", "unknown")
    assert timedelta(seconds=60) <= clock.now() - began <= timedelta(seconds=70)


def test_the_notices_of_an_earlier_trial_prove_nothing(alarms: Alarms, clock: "FakeClock") -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    found = read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)
    Trial(alarms.cloudwatch, clock).run(found)
    earlier = list(alarms.changes)
    clock.advance(1)

    def forget(**_: Any) -> None:
        alarms.changes[:] = earlier

    alarms.cloudwatch.meta.events.register_first("before-call.cloudwatch.DescribeAlarmHistory", forget)
    (result,) = Trial(alarms.cloudwatch, clock).run(found)
    assert result.of("ALARM") == "unknown"


def test_a_trial_that_is_interrupted_leaves_no_alarm_set_off(alarms: Alarms, clock: "FakeClock") -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    alarms.add("blue-b", alarms.topic(confirmed=1))
    found = read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack)

    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    alarms.cloudwatch.meta.events.register_first("before-call.cloudwatch.DescribeAlarmHistory", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Trial(alarms.cloudwatch, clock).run(found)
    assert alarms.states() == {"blue-a": "OK", "blue-b": "OK"}
    assert len(alarms.changes) == 4


def test_an_alarm_that_is_on_or_can_tell_nobody_is_left_alone(alarms: Alarms) -> None:
    topic = alarms.topic(confirmed=1)
    alarms.add("blue-fine", topic, state="INSUFFICIENT_DATA")
    alarms.add("blue-off", topic, enabled=False)
    alarms.add("blue-on", topic, state="ALARM")
    alarms.add("blue-silent")
    chosen, left_out = choose(read_alarms(alarms.cloudwatch, alarms.sns, alarms.stack))
    assert [alarm.name for alarm in chosen] == ["blue-fine"]
    assert set(left_out) == {"blue-off", "blue-on", "blue-silent"}


# --- the command


def test_the_list_shows_state_meaning_and_who_hears(alarms: Alarms, command: Callable[..., Result]) -> None:
    alarms.add("blue-no-tick", alarms.topic(pending=1), state="ALARM")
    shown = command("list")
    assert shown.exit_code == 0
    assert "no-tick" in shown.output
    assert "ALARM" in shown.output
    assert "What blue-no-tick means." in shown.output
    assert "1 of 1 alarms reach nobody" in shown.output


def test_the_list_as_json_holds_what_the_table_shows(alarms: Alarms, command: Callable[..., Result]) -> None:
    topic = alarms.topic(confirmed=1, pending=1)
    alarms.add("blue-no-tick", topic)
    (alarm,) = json.loads(command("list", "--json").output)["alarms"]
    assert alarm["topics"] == [{"arn": topic, "confirmed": 1, "pending": ["p1@example.org"], "problem": None}]
    assert (alarm["name"], alarm["state"], alarm["isHeard"]) == ("blue-no-tick", "OK", True)


def test_a_test_of_one_alarm_by_its_short_name_touches_no_other(alarms: Alarms, command: Callable[..., Result]) -> None:
    for name in ("blue-a", "blue-b"):
        alarms.add(name, alarms.topic(confirmed=1))
    done = command("test", "b", "--yes", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tried"] == [{"name": "blue-b", "alarm": "told", "recovery": "told", "errors": []}]
    assert {name for name, _, _ in alarms.changes} == {"blue-b"}
    assert "mailbox" in done.stderr


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(alarms: Alarms, command: Callable[..., Result]) -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    done = command("test", "--all", "--dry-run")
    assert done.exit_code == 0
    assert "blue-a: tells 1 by blue-alarms" in done.output
    assert not alarms.changes
    assert not alarms.looks


@pytest.mark.parametrize(
    ("summary", "subscriptions"), [(REFUSED, {"confirmed": 1}), ("", {"confirmed": 1}), (TOLD, {"pending": 1})]
)
def test_a_notice_that_reaches_nobody_for_sure_fails_the_test(
    alarms: Alarms, command: Callable[..., Result], summary: str, subscriptions: dict[str, int]
) -> None:
    alarms.add("blue-a", alarms.topic(**subscriptions))
    alarms.summary = summary
    assert command("test", "--all", "--yes").exit_code == 1


def test_without_a_terminal_it_needs_to_be_told_yes(alarms: Alarms, command: Callable[..., Result]) -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    refused = command("test", "--all")
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert not alarms.changes


@pytest.mark.parametrize(("answer", "changes"), [("n\n", 0), ("y\n", 2)])
def test_on_a_terminal_it_asks_first(
    alarms: Alarms,
    command: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    changes: int,
) -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    monkeypatch.setattr(deploy.alarms.cli, "_is_terminal", lambda: True)
    assert command("test", "a", input=answer).exit_code == (0 if changes else 1)
    assert len(alarms.changes) == changes


@pytest.mark.parametrize("arguments", [[], ["a", "--all"], ["unknown", "--yes"]])
def test_wrong_use_is_said_and_touches_nothing(
    alarms: Alarms, command: Callable[..., Result], arguments: list[str]
) -> None:
    alarms.add("blue-a", alarms.topic(confirmed=1))
    assert command("test", *arguments).exit_code == 2
    assert not alarms.changes


def test_a_fleet_without_alarms_has_nothing_to_test(command: Callable[..., Result]) -> None:
    done = command("test", "--all", "--yes")
    assert done.exit_code == 1
    assert "no alarm" in done.output
