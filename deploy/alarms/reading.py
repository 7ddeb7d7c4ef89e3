"""Reads the fleet's alarms, and who hears of them. It changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from deploy.fleet import FleetStack
from shared.errors import AWS_ERRORS, cause_of

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef
    from mypy_boto3_sns import SNSClient

ALARM_TYPE = "AWS::CloudWatch::Alarm"

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

_BATCH = 100  # most names of one DescribeAlarms


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that alarms speak to.

    Attributes:
        confirmed: subscriptions that hear it.
        pending: addresses that have not confirmed their subscription.
        problem: why the subscriptions could not be read.
    """

    arn: str
    confirmed: int = 0
    pending: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]

    def describe(self) -> str:
        """One clause: who hears it, or why nobody does."""
        if self.problem:
            return f"unknown: {self.name} could not be read ({self.problem})"
        if self.confirmed:
            return f"{self.confirmed} by {self.name}"
        if self.pending:
            return f"nobody: {', '.join(self.pending)} has not confirmed the subscription of {self.name}"
        return f"nobody: {self.name} has no subscription"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as it stands.

    Attributes:
        since: when it came into its state.
        reason: CloudWatch's words for the state.
        meaning: the template's description: what has happened, and what to do first.
        enabled: whether its actions are carried out at all.
        actions: what is done when it goes off, as ARNs; `topics` are those of them that are topics.
    """

    name: str
    state: State
    since: datetime
    reason: str
    meaning: str
    enabled: bool
    actions: tuple[str, ...]
    topics: tuple[Topic, ...]

    @property
    def is_heard(self) -> bool:
        """Whether somebody is told when it goes off."""
        return self.enabled and any(topic.confirmed for topic in self.topics)

    def describe_hearers(self) -> str:
        """One clause: who is told when it goes off, or why nobody is."""
        if not self.enabled:
            return "nobody: its actions are switched off"
        if not self.topics:
            return "nobody: it has no topic"
        return "; ".join(topic.describe() for topic in self.topics)


def read_alarms(cloudwatch: "CloudWatchClient", sns: "SNSClient", stack: FleetStack) -> list[Alarm]:
    """The stack's alarms, by name; one that was deleted by hand is left out.

    Raises:
        What boto3 raises where the alarms themselves cannot be read. A topic that cannot says so in its `problem`.
    """
    names = sorted(resource.name for resource in stack.of_type(ALARM_TYPE))
    described = list(_described(cloudwatch, names))
    arns = {action for alarm in described for action in _topic_arns(alarm)}
    topics = {arn: _topic(sns, arn) for arn in sorted(arns)}
    return sorted((_alarm(alarm, topics) for alarm in described), key=lambda alarm: alarm.name)


def _described(cloudwatch: "CloudWatchClient", names: Sequence[str]) -> "Iterator[MetricAlarmTypeDef]":
    paginator = cloudwatch.get_paginator("describe_alarms")
    # Without names the answer would be every alarm of the account.
    for start in range(0, len(names), _BATCH):
        for page in paginator.paginate(AlarmNames=names[start : start + _BATCH]):
            yield from page["MetricAlarms"]


def _alarm(described: "MetricAlarmTypeDef", topics: dict[str, Topic]) -> Alarm:
    # A change of the reason alone renews StateUpdatedTimestamp; the other one is newer and not everywhere.
    since = described.get("StateTransitionedTimestamp") or described["StateUpdatedTimestamp"]
    return Alarm(
        name=described["AlarmName"],
        state=described["StateValue"],
        since=since,
        reason=described.get("StateReason", ""),
        meaning=described.get("AlarmDescription", ""),
        enabled=described.get("ActionsEnabled", True),
        actions=tuple(described.get("AlarmActions", ())),
        topics=tuple(topics[arn] for arn in _topic_arns(described)),
    )


def _topic_arns(described: "MetricAlarmTypeDef") -> list[str]:
    return [action for action in described.get("AlarmActions", ()) if action.split(":")[2:3] == ["sns"]]


def _topic(sns: "SNSClient", arn: str) -> Topic:
    try:
        pages = list(sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn))
    except AWS_ERRORS as error:
        # Another account's topic tells its subscriptions to nobody else; the alarm may be heard all the same.
        return Topic(arn, problem=cause_of(error))
    subscriptions = [each for page in pages for each in page["Subscriptions"]]
    # In place of an ARN SNS writes `PendingConfirmation`, or `Deleted`.
    return Topic(
        arn,
        confirmed=sum(each["SubscriptionArn"].startswith("arn:") for each in subscriptions),
        pending=tuple(each["Endpoint"] for each in subscriptions if each["SubscriptionArn"] == "PendingConfirmation"),
    )
