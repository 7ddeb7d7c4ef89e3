"""Notifications: what each says, who gets it, what it keeps to itself, and that none is worth a run."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.aws.clients import sns_client
from shared.reporting.notify import (
    Event,
    Notification,
    Notifier,
    dead_letters,
    nobody,
    publication,
    run_ended,
    session_completed,
)
from shared.reporting.reports import ReportError, ReportStatus
from tests.shared.reporting.sample_report_pages import sample_report

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

    from tests.conftest import Cloud, FakeClock

AT = "2026-01-02T03:04:05.000Z"


@dataclass
class Subscriber:
    """A program that listens to the topic by a queue."""

    cloud: "Cloud"
    sns: "SNSClient"
    topic: str
    queue: str

    def received(self) -> list[dict[str, Any]]:
        answer = self.cloud.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.fixture
def subscriber(cloud: "Cloud") -> Subscriber:
    sns = sns_client()
    topic = sns.create_topic(Name="told")["TopicArn"]
    queue = cloud.sqs.create_queue(QueueName="listener")["QueueUrl"]
    names: Any = ["QueueArn"]
    arn = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    wanted = json.dumps({"event": ["run-failed", "dead-letter"], "fleet": ["blue"]})
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue=wanted)
    return Subscriber(cloud, sns, topic, queue)


def letter(session: str | None, reason: str = "audio-empty") -> ReportError:
    return ReportError(session_id=session, chunk="007", reason=reason, detail="users/ada/secret")


def body(notification: Notification) -> dict[str, Any]:
    """What a program gets."""
    found: dict[str, Any] = json.loads(json.loads(publication(notification, "blue", AT)["Message"])["default"])
    return found


def session(session_id: str = "s1", missing: tuple[str, ...] = ()) -> Notification:
    return session_completed(
        session_id,
        "partial" if missing else "completed",
        chunk_count=40,
        missing_chunks=missing,
        duration_seconds=197.5,
        word_count=1234,
    )


def test_a_subscriber_gets_what_its_filter_wants_and_nothing_else(subscriber: Subscriber, clock: "FakeClock") -> None:
    blue = Notifier(subscriber.sns, subscriber.topic, "blue", clock)
    red = Notifier(subscriber.sns, subscriber.topic, "red", clock)

    assert blue.notify(run_ended(sample_report("success")))
    assert blue.notify(run_ended(sample_report("failed")))
    assert red.notify(run_ended(sample_report("failed")))

    (received,) = subscriber.received()
    told = json.loads(received["Message"])
    assert (told["event"], told["status"], told["fleet"]) == ("run-failed", "failed", "blue")
    assert received["Subject"] == "blue: run failed (failed)"
    assert {name: each["Value"] for name, each in received["MessageAttributes"].items()} == {
        "event": "run-failed",
        "status": "failed",
        "fleet": "blue",
    }


@pytest.mark.parametrize(
    ("status", "crashed", "event"),
    [
        ("success", False, "run-finished"),
        ("partial", False, "run-finished"),
        ("interrupted", False, "run-finished"),
        ("interrupted", True, "run-failed"),
        ("failed", False, "run-failed"),
    ],
)
def test_a_run_has_failed_when_a_person_has_to_look(status: ReportStatus, crashed: bool, event: Event) -> None:
    assert run_ended(sample_report(status), crashed=crashed).event == event


def test_a_run_is_told_of_in_a_sentence_and_in_figures() -> None:
    told = body(run_ended(sample_report("interrupted")))

    assert told == {
        "schema": 1,
        "event": "run-finished",
        "status": "interrupted",
        "fleet": "blue",
        "at": AT,
        "text": "The run ended (interrupted): of 2,964 jobs 2,919 transcribed, 30 failed, 15 skipped in 20m 40s for "
        "$0.1812. Reason: spot notice: EC2 takes the instance back at 03:26:05 UTC.",
        "reportKey": "batch-reports/batch-2026-01-02-0304-i-0abc.json",
        "reason": "spot notice: EC2 takes the instance back at 03:26:05 UTC",
        "instanceId": "i-0abc",
        "chunksTranscribed": 2919,
        "chunksFailed": 30,
        "chunksSkipped": 15,
        "sessions": 2,
        "audioSeconds": 14595,
        "runtimeSeconds": 1240,
        "costUSD": 0.1812,
    }


def test_a_session_is_told_of_with_what_it_lacks() -> None:
    whole, lacking = body(session()), body(session(missing=tuple(f"{n:03d}" for n in range(30))))

    assert whole["text"] == "Session s1 is completed: 3m 18s of audio, 1,234 words."
    assert lacking["text"].endswith("1,234 words; 30 of 40 chunks are missing.")
    assert (lacking["status"], lacking["missingCount"], len(lacking["missingChunks"])) == ("partial", 30, 20)


def test_many_dead_letters_are_one_message_with_their_reasons_by_number() -> None:
    letters = [letter(f"s{n}") for n in range(40)] + [letter("s0", "audio-damaged"), letter(None, "message-bad")]

    told = body(dead_letters(letters))

    assert told["text"] == (
        "42 jobs of 40 sessions went to the dead-letter queue: audio-empty (40), audio-damaged (1), message-bad (1)."
    )
    assert (told["count"], told["sessionCount"], len(told["sessions"])) == (42, 40, 20)
    assert told["sessions"][0] == {"sessionId": "s0", "jobs": 2}


@pytest.mark.parametrize(
    "notification",
    [run_ended(sample_report("partial")), session(), dead_letters([letter("s1")])],
    ids=lambda n: n.event,
)
def test_no_message_holds_a_user_a_path_or_an_errors_detail(notification: Notification) -> None:
    sent = json.dumps(publication(notification, "blue", AT))

    assert "ada" not in sent
    assert "users/" not in sent


@given(st.text(max_size=1024))
def test_whatever_a_session_is_called_sns_takes_the_message(session_id: str) -> None:
    published = publication(session(session_id), "f" * 63, AT)

    assert len(published["Subject"]) < 100
    assert published["Subject"].isascii()
    assert published["Subject"].isprintable()
    assert json.loads(json.loads(published["Message"])["default"])["sessionId"] == session_id
    assert "\n" not in json.loads(published["Message"])["email"]


def test_a_topic_that_is_gone_costs_nothing_but_the_message(subscriber: Subscriber, clock: "FakeClock") -> None:
    notifier = Notifier(subscriber.sns, subscriber.topic, "blue", clock)
    subscriber.sns.delete_topic(TopicArn=subscriber.topic)

    assert notifier.notify(session()) is False


def test_without_a_topic_nobody_is_told(cloud: "Cloud", clock: "FakeClock") -> None:
    assert Notifier.from_settings(cloud.settings, clock).notify(session()) is False
    assert nobody().notify(session()) is False


def test_the_settings_topic_is_told(subscriber: Subscriber, clock: "FakeClock") -> None:
    settings = subscriber.cloud.settings_with(notify_topic_arn=subscriber.topic, fleet_name="blue")

    assert Notifier.from_settings(settings, clock).notify(dead_letters([letter("s1")]))

    (received,) = subscriber.received()
    assert json.loads(received["Message"])["event"] == "dead-letter"
