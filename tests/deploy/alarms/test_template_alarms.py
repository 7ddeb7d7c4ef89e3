"""How the alarms are wired, what they say, and what the dashboard shows.

Whether they fire when they should, and whether their metrics are real, is tested elsewhere. The emulator makes no
alarms from a template, so they are read from it.
"""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy, Fleet

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")

TOPIC = {"Fn::If": ["MakesTopic", {"Ref": "AlarmTopic"}, {"Ref": "ExistingTopicArn"}]}
CLOUDWATCH_MAY = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Logical id -> properties."""
    resources: dict[str, Any] = template["Resources"]
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}


def text(value: Any) -> str:
    """A text with or without parameters in it."""
    return str(value["Fn::Sub"]) if isinstance(value, dict) else str(value)


def suffix(alarm: dict[str, Any]) -> str:
    name = text(alarm["AlarmName"])
    assert name.startswith("${FleetName}-")
    return name.removeprefix("${FleetName}-")


def namespaces(alarm: dict[str, Any]) -> set[str]:
    stats = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return {metric["Namespace"] for metric in stats or [alarm]}


def test_there_is_an_alarm_for_everything_that_a_person_must_hear_of(template: dict[str, Any]) -> None:
    assert sorted(suffix(alarm) for alarm in alarms(template).values()) == sorted(
        [
            *("oldest-message-age", "oldest-priority-message-age", "nobody-comes"),
            *("dead-letters", "more-dead-letters"),
            *("failure-ratio-above-5-percent", "failure-ratio-above-10-percent"),
            *("run-too-long", "silent-instance", "autoscaler-asks-for-help", "cannot-observe"),
            *("no-tick", "scanner-errors", "autoscaler-errors"),
            *(f"status-check-failed-{number}" for number in range(1, 5)),
            *("status-check-failed", "capacity-blocked", "lock-held", "daily-cost"),
        ]
    )


def test_every_alarm_tells_the_topic_when_it_goes_off_and_when_it_is_over(template: dict[str, Any]) -> None:
    for name, alarm in alarms(template).items():
        assert alarm["AlarmActions"] == [TOPIC], name
        assert alarm["OKActions"] == [TOPIC], name
        assert alarm.get("ActionsEnabled", True) is True, name


def test_every_alarm_says_what_happened_what_to_do_first_and_where_to_read_on(template: dict[str, Any]) -> None:
    for name, alarm in alarms(template).items():
        description = text(alarm["AlarmDescription"])
        happened, rest = description.split(" First ", 1)
        first, anchor = rest.split(" Runbook - docs/operations.md#")
        assert happened.endswith("."), name
        assert first.endswith("."), name
        assert suffix(alarm).startswith(anchor) or anchor in {"dead-letters", "lambda-errors"}, name
        assert len(description) <= 1024, name  # CloudWatch's limit


def test_every_alarm_treats_missing_data_on_purpose(template: dict[str, Any]) -> None:
    for name, alarm in alarms(template).items():
        # DynamoDB's metrics alone would not listen to it.
        assert alarm["TreatMissingData"] in {"ignore", "breaching", "notBreaching"}, name
        if alarm["TreatMissingData"] == "ignore":
            assert namespaces(alarm) == {"Scribefleet"}, name
    breaching = {name for name, alarm in alarms(template).items() if alarm["TreatMissingData"] == "breaching"}
    assert breaching == {"NoTick"}


def test_cloudwatch_can_evaluate_every_alarm(template: dict[str, Any]) -> None:
    for name, alarm in alarms(template).items():
        queries = alarm.get("Metrics", [])
        periods = {query["MetricStat"]["Period"] for query in queries if "MetricStat" in query} or {alarm["Period"]}
        (period,) = periods
        assert period % 60 == 0, name  # nothing here is reported more often
        assert period * alarm["EvaluationPeriods"] <= 86_400, name
        if queries:
            (result,) = [query for query in queries if query.get("ReturnData", True)]
            assert "Expression" in result, name
            assert len({query["Id"] for query in queries}) == len(queries), name


@pytest.mark.parametrize(
    ("alarm", "parameter"),
    [
        ("OldestMessageAge", "MaxOldestAgeSeconds"),
        ("OldestPriorityMessageAge", "MaxOldestAgeSeconds"),
        ("NobodyComes", "MaxUnservedAgeSeconds"),
        ("RunTooLong", "MaxRunSeconds"),
        ("LockHeld", "MaxLockHeldSeconds"),
        ("DailyCost", "DailyCostAlarmUsd"),
    ],
)
def test_an_operator_chooses_the_threshold_and_the_message_names_it(
    template: dict[str, Any], alarm: str, parameter: str
) -> None:
    chosen = alarms(template)[alarm]

    assert chosen["Threshold"] == {"Ref": parameter}
    assert f"${{{parameter}}}" in text(chosen["AlarmDescription"])


def test_by_default_no_alarm_goes_off_before_the_fleet_has_had_its_time(template: dict[str, Any]) -> None:
    default = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}

    waits = default["StartMaxWaitSeconds"]
    assert default["MaxUnservedAgeSeconds"] > waits + default["BootLimitSeconds"]
    assert default["MaxOldestAgeSeconds"] > waits + default["BootLimitSeconds"] + default["TargetDrainSeconds"]


def test_each_instance_of_the_pool_is_watched_while_it_is_there(template: dict[str, Any]) -> None:
    for number in range(1, 5):
        alarm, instance = (template["Resources"][f"{kind}{number}"] for kind in ("StatusCheckFailed", "Instance"))
        assert alarm["Condition"] == instance["Condition"]
        assert alarm["Properties"]["Dimensions"] == [{"Name": "InstanceId", "Value": {"Ref": f"Instance{number}"}}]


# --- who is told


def test_alarms_may_publish_to_the_encrypted_topic_and_no_other_account_may(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    (publishing,) = resources["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    owner, using = resources["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"]

    assert resources["AlarmTopic"]["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["AlarmKey", "Arn"]}
    assert resources["AlarmTopicPolicy"]["Properties"]["Topics"] == [{"Ref": "AlarmTopic"}]
    for statement, actions in ((publishing, "sns:Publish"), (using, ["kms:Decrypt", "kms:GenerateDataKey*"])):
        assert (statement["Effect"], statement["Action"]) == ("Allow", actions)
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert statement["Condition"] == CLOUDWATCH_MAY
    assert owner["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}


def test_mail_is_sent_only_to_an_address_that_was_given(template: dict[str, Any]) -> None:
    subscription = template["Resources"]["AlarmSubscription"]

    assert subscription["Condition"] == "SendsMail"
    assert subscription["Properties"] == {
        "TopicArn": {"Ref": "AlarmTopic"},
        "Protocol": "email",
        "Endpoint": {"Ref": "AlarmEmail"},
    }
    given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]}
    assert template["Conditions"]["SendsMail"] == {"Fn::And": [{"Condition": "MakesTopic"}, given]}


def test_a_topic_that_was_there_is_used_and_none_is_made(deploy_fleet: "Deploy") -> None:
    arn = "arn:aws:sns:us-east-1:123456789012:operations"

    fleet = deploy_fleet("told", ExistingTopicArn=arn)

    assert fleet.outputs["AlarmTopicArn"] == arn
    assert not {"AlarmTopic", "AlarmKey"} & set(fleet.physical)


# --- dashboard


@pytest.fixture(scope="module")
def watched(deploy_fleet: "Deploy") -> "Fleet":
    return deploy_fleet("watched")


@pytest.fixture(scope="module")
def widgets(watched: "Fleet") -> list[dict[str, Any]]:
    body = watched.aws("cloudwatch").get_dashboard(DashboardName=watched.outputs["DashboardName"])["DashboardBody"]
    found: list[dict[str, Any]] = json.loads(body)["widgets"]
    return found


def test_the_dashboard_shows_queues_instances_work_cost_and_lock(widgets: list[dict[str, Any]]) -> None:
    shown = {metric[1] for widget in widgets for metric in widget["properties"]["metrics"]}

    assert shown >= {
        *("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "OldestPendingAgeSeconds"),
        *("InstancesByState", "BusyFraction", "JobsCompleted", "JobsFailed", "CostTodayUSD", "LockHeldSeconds"),
        *("Starts", "Stops", "CapacityBlocked"),
    }


def test_the_dashboard_shows_this_fleet_alone(watched: "Fleet", widgets: list[dict[str, Any]]) -> None:
    queues = {watched.outputs[f"{queue}QueueUrl"].rsplit("/", 1)[-1] for queue in ("Jobs", "Priority", "DeadLetter")}
    for widget in widgets:
        assert widget["properties"]["region"] == "us-east-1"
        for namespace, _, dimension, value, *_ in widget["properties"]["metrics"]:
            if namespace == "Scribefleet":
                assert (dimension, value) == ("Fleet", watched.name)
            else:
                assert (namespace, dimension) == ("AWS/SQS", "QueueName")
                assert value in queues


def test_no_two_widgets_lie_on_each_other(widgets: list[dict[str, Any]]) -> None:
    cells = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # the width of a dashboard
