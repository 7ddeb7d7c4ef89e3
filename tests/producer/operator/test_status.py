"""`scribefleet status` on the emulator: what it shows, what it says of parts that it cannot read, what it costs."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner
from rich.console import Console

from producer.operator.status import cli
from producer.operator.status.document import document
from producer.operator.status.model import LastScan, Overview
from producer.operator.status.observe import Reader, parse_scan
from producer.operator.status.view import screen
from producer.scan.scan import Scanner
from shared.clock import iso
from shared.errors import ScribefleetError
from shared.formats.heartbeat import Heartbeat
from shared.formats.layout import session_path
from shared.state.instances import FLEET_TAG, STARTED_AT_TAG
from shared.state.last_tick import TICK_KEY, LastTick
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock
from tests.fixtures.fleet_resources import lay_out_objects
from tests.shared.reporting.stored_reports import failed_job, run_report, skipped_report, store

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock


class Fleet:
    """A fleet on the emulator, and the status's view of it."""

    def __init__(self, cloud: "Cloud", clock: "FakeClock", settings: Any = None) -> None:
        self.cloud = cloud
        self.clock = clock
        self.settings = settings or cloud.settings
        self.events = boto3.client("events")
        self.reader = Reader(cloud.s3, cloud.sqs, cloud.dynamodb, cloud.ec2, self.events, self.settings, clock)

    def look(self) -> Overview:
        return self.reader.read()

    def text(self) -> str:
        """The screen, as one line of words."""
        console = Console(width=200, color_system=None)
        with console.capture() as capture:
            console.print(screen(self.look(), self.settings))
        return " ".join(capture.get().split())

    def json(self) -> dict[str, Any]:
        return document(self.look(), self.settings)

    def send_jobs(self, count: int) -> None:
        for number in range(0, count, 10):
            entries: list[Any] = [{"Id": str(i), "MessageBody": "{}"} for i in range(min(10, count - number))]
            self.cloud.sqs.send_message_batch(QueueUrl=self.settings.jobs_queue_url, Entries=entries)

    def add_instance(self) -> str:
        tags = [{"Key": FLEET_TAG, "Value": "scribefleet"}, {"Key": STARTED_AT_TAG, "Value": iso(self.clock.now())}]
        tagged: Any = [{"ResourceType": "instance", "Tags": tags}]
        (instance,) = self.cloud.ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=tagged
        )["Instances"]
        return str(instance["InstanceId"])

    def beat(self, instance: str, **fields: Any) -> None:
        said: dict[str, Any] = {"state": "busy", "beat_at": self.clock.now(), **fields}
        Ledger(self.cloud.dynamodb, self.settings, self.clock).beat(Heartbeat(instance_id=instance, **said))

    def ticked(self, **fields: Any) -> None:
        record = LastTick(ticked_at=self.clock.now(), **fields).to_json()
        self.cloud.dynamodb.put_item(TableName=self.settings.table_name, Item={**TICK_KEY, "record": {"S": record}})


@pytest.fixture
def fleet(cloud: "Cloud", clock: "FakeClock") -> Fleet:
    return Fleet(cloud, clock)


# --- what it shows


def test_given_an_empty_fleet_then_every_part_says_that_there_is_nothing(fleet: Fleet) -> None:
    seen = fleet.look()

    assert seen.problems() == {}
    text = fleet.text()
    for words in (
        "jobs 0 waiting, 0 in flight",
        "time left no work waits",
        "dead letters none",
        "lock free",
        "instances none carries the fleet's tag",
        "autoscaler has never decided",
        "last scan there was none",
        "next scan no schedule: EventBridge has no rule for it",
        "last report there is none",
    ):
        assert words in text


def test_given_workers_then_the_time_left_rests_on_what_they_say_they_do(fleet: Fleet) -> None:
    """120 jobs of 5 s of audio at 10 + 20 seconds of audio in a second."""
    fleet.send_jobs(120)
    first, second, third = (fleet.add_instance() for _ in range(3))
    fleet.beat(first, rtfx=10, jobs_done=7)
    fleet.beat(second)  # has not said yet how fast it is: the setting is 20
    fleet.beat(third, state="draining", rtfx=500)

    found = fleet.json()

    assert (found["workersAtWork"], found["backlogSeconds"], found["estimatedSecondsLeft"]) == (2, 30.0, 20.0)
    text = fleet.text()
    assert "time left about 20s with 2 workers at work" in text
    assert re.search(rf"{first} │ running for \w+ │ busy │ 0s ago │ 7 │ 10.0 x", text)
    assert "20.0 x (as set)" in text


def test_given_work_and_no_worker_then_it_says_so_and_names_no_end(fleet: Fleet) -> None:
    fleet.send_jobs(40)

    assert fleet.json()["estimatedSecondsLeft"] is None
    assert "time left nobody is at work; about 10s for one instance at 20 x" in fleet.text()


def test_given_a_worker_that_was_not_heard_of_for_long_then_it_is_silent_and_does_not_count(fleet: Fleet) -> None:
    instance = fleet.add_instance()
    fleet.beat(instance)
    fleet.clock.advance(fleet.settings.silent_limit_seconds + 1)
    fleet.send_jobs(1)

    found = fleet.json()

    assert found["workersAtWork"] == 0
    assert [each["silent"] for each in found["instances"]] == [True]
    assert "silent" in fleet.text()


def test_given_a_heartbeat_from_the_run_before_then_the_worker_is_not_heard_of_yet(fleet: Fleet) -> None:
    instance = fleet.add_instance()
    fleet.beat(instance, beat_at=fleet.clock.now() - timedelta(hours=1), state="draining")

    assert [each["worker"] for each in fleet.json()["instances"]] == [None]
    assert "not heard of yet" in fleet.text()


def test_given_a_live_session_then_its_hold_is_shown_and_work_waits_for_it(fleet: Fleet) -> None:
    lock = SessionLock(fleet.cloud.s3, fleet.settings.bucket, fleet.clock, timedelta(minutes=30))
    lock.take("alice", "[bold]live")
    lock.take("bob", "s9")
    fleet.send_jobs(1)

    text = fleet.text()

    assert "alice/[bold]live (since" in text
    assert "bob/s9" in text
    assert "waits for the lock" in text
    assert [holder["sessionId"] for holder in fleet.json()["lock"]["holders"]] == ["[bold]live", "s9"]


def test_given_a_fleet_without_a_lock_then_the_object_is_not_looked_at(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="batch-lock.json", Body=b"?")
    fleet = Fleet(cloud, clock, cloud.settings_with(lock_enabled=False))

    assert "lock off by setting" in fleet.text()
    assert fleet.look().problems() == {}


def test_given_a_tick_then_its_decision_reason_and_age_are_shown_and_how_long_work_waits(fleet: Fleet) -> None:
    began = fleet.clock.now()
    fleet.send_jobs(3)
    fleet.clock.advance(100)
    fleet.ticked(decision="gathering", reason="3 jobs wait, 5 are worth a start", waiting_since=began)
    fleet.clock.advance(20)

    text = fleet.text()

    assert "autoscaler gathering: 3 jobs wait, 5 are worth a start (20s ago)" in text
    assert "the oldest job waits 2m 00s at most" in text
    assert fleet.json()["lastDecision"]["decision"] == "gathering"


def test_given_a_record_of_a_tick_that_told_no_reason_then_its_age_is_shown(fleet: Fleet) -> None:
    fleet.ticked()

    assert "autoscaler decided: its reason was not recorded (0s ago)" in fleet.text()


def test_given_a_scan_of_many_sessions_then_its_sums_are_shown(fleet: Fleet) -> None:
    for number in range(40):
        fleet.cloud.put_audio("alice", f"session-{number:030d}", "001")
    settings = fleet.cloud.settings_with(scan_min_age_seconds=0)
    fleet.clock.advance(60)
    Scanner.from_settings(settings, fleet.clock).scan(enqueue=False)
    size = fleet.cloud.s3.head_object(Bucket=settings.bucket, Key="batch-data/pending-jobs.json")["ContentLength"]
    assert size > 8192  # more than the status reads of it

    assert "0s ago: 40 gaps in 40 of 40 sessions" in fleet.text()


@pytest.mark.parametrize(
    ("expression", "state", "shown"),
    [
        ("rate(2 hours)", "ENABLED", r"about \d\d:\d\d UTC, in 1h 30m \(rate\(2 hours\)\)"),
        ("rate(1 minute)", "ENABLED", r"about \d\d:\d\d UTC, in 1m 00s \(rate\(1 minute\)\)"),
        ("cron(0 6 * * ? *)", "ENABLED", r"next scan cron\(0 6 \* \* \? \*\)"),
        ("rate(2 hours)", "DISABLED", r"none: the rule \(rate\(2 hours\)\) is off"),
    ],
)
def test_given_a_schedule_then_the_next_scan_follows_from_it_and_the_last_one(
    fleet: Fleet, expression: str, state: Any, shown: str
) -> None:
    fleet.events.put_rule(Name="scribefleet-scanner", ScheduleExpression=expression, State=state)
    Scanner.from_settings(fleet.settings, fleet.clock).scan(enqueue=False)
    fleet.clock.advance(6.5 * 3600)

    assert re.search(shown, fleet.text())


def test_given_reports_then_the_newest_is_shown_and_the_failures_of_the_newest_runs(fleet: Fleet) -> None:
    now = fleet.clock.now()
    for hours, session in ((30, "old"), (3, "new")):
        began = now - timedelta(hours=hours)
        errors = (failed_job(session, "001"), failed_job(session, "002", "audio-damaged"))
        store(fleet.cloud, run_report(began, status="partial", errors=errors), began)
    store(fleet.cloud, skipped_report(now), now)

    found = fleet.json()

    assert (found["lastReport"]["status"], found["lastReport"]["reason"]) == ("skipped", "no gaps")
    assert [(each["sessionId"], each["chunk"]) for each in found["failures"]] == [
        ("new", "002"),
        ("new", "001"),
        ("old", "002"),
        ("old", "001"),
    ]
    assert "audio-damaged" in fleet.text()


def test_given_no_report_for_days_then_the_last_one_is_found_all_the_same(fleet: Fleet) -> None:
    began = fleet.clock.now() - timedelta(days=20)
    name = store(fleet.cloud, run_report(began), began)

    assert fleet.json()["lastReport"]["name"] == name


# --- parts that cannot be read


def test_given_parts_that_are_away_then_each_says_so_and_the_others_are_shown(fleet: Fleet) -> None:
    fleet.add_instance()
    fleet.send_jobs(2)
    fleet.cloud.dynamodb.delete_table(TableName=fleet.settings.table_name)
    fleet.cloud.sqs.delete_queue(QueueUrl=fleet.settings.dead_letter_queue_url)
    fleet.cloud.s3.put_object(Bucket=fleet.settings.bucket, Key="batch-lock.json", Body=b"?")
    fleet.cloud.s3.put_object(Bucket=fleet.settings.bucket, Key="batch-data/pending-jobs.json", Body=b"[]")

    problems = fleet.look().problems()

    assert set(problems) == {"dead letters", "workers", "last decision", "last scan", "lock"}
    text = fleet.text()
    assert "jobs 2 waiting" in text
    assert "1 running" in text
    assert "autoscaler could not be read: the ticks' record could not be read: ResourceNotFoundException" in text
    assert "dead letters could not be read: AWS did not answer: AWS.SimpleQueueService.NonExistentQueue" in text
    assert "lock counts as held: s3://recordings/batch-lock.json is not a valid lock object" in text


def test_given_a_bucket_that_is_away_then_what_lies_in_it_is_unread_and_the_rest_is_shown(fleet: Fleet) -> None:
    fleet.cloud.s3.delete_bucket(Bucket=fleet.settings.bucket)

    assert set(fleet.look().problems()) == {"lock", "last scan", "reports"}
    assert fleet.json()["failures"] is None


def test_given_heartbeats_that_are_not_valid_then_their_instances_are_named(fleet: Fleet) -> None:
    instance = fleet.add_instance()
    item: Any = {"sessionPath": {"S": f"worker#{instance}"}, "chunk": {"S": "heartbeat"}, "state": {"S": "asleep"}}
    fleet.cloud.dynamodb.put_item(TableName=fleet.settings.table_name, Item=item)

    assert fleet.look().problems() == {"workers": f"the heartbeats of {instance} are not valid"}


@pytest.mark.parametrize("head", [b"", b"[1]", b'{"timestamp": "soon"}', b'{"scanId": "x"}', b"\xff"])
def test_given_what_is_no_scans_result_then_it_is_refused(head: bytes) -> None:
    with pytest.raises(ScribefleetError):
        parse_scan(head)


def test_given_a_scans_result_that_is_cut_off_anywhere_behind_its_sums_then_they_are_read() -> None:
    whole = b'{"timestamp": "2026-03-01T12:00:00Z", "totalMissingChunks": 7, "sessions": [{"userId": "\xc3\xa9"}]}'
    behind = whole.index(b'"sessions"')

    found = {parse_scan(whole[:length]).total_missing_chunks for length in range(behind, len(whole) + 1)}

    assert found == {7}
    assert isinstance(parse_scan(whole), LastScan)


# --- what it costs


def test_given_two_hundred_sessions_then_it_makes_no_more_calls_than_for_one(fleet: Fleet) -> None:
    calls: Counter[str] = Counter()
    for client in (fleet.cloud.s3, fleet.cloud.sqs, fleet.cloud.dynamodb, fleet.cloud.ec2, fleet.events):
        client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    fleet.add_instance()
    now = fleet.clock.now()
    folders = (session_path("alice", f"s{number}") for number in range(200))
    lay_out_objects(fleet.cloud.settings.bucket, {f"{folder}/chunk-001.webm": b"audio" for folder in folders})
    for number in range(12):
        began = now - timedelta(hours=number)
        store(fleet.cloud, run_report(began, errors=(failed_job("s1"),)), began)
    calls.clear()

    fleet.look()

    assert calls == {
        "GetQueueAttributes": 3,
        "GetObject": 7,  # the lock, the scan and the five newest reports
        "ListObjectsV2": 1,
        "DescribeInstances": 1,
        "BatchGetItem": 1,
        "GetItem": 1,
        "DescribeRule": 1,
    }


# --- the command


@pytest.fixture
def environment(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_given_a_part_that_cannot_be_read_then_the_command_exits_with_one(cloud: "Cloud") -> None:
    assert CliRunner().invoke(cli.status, []).exit_code == 0
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)

    shown = CliRunner().invoke(cli.status, ["--json"])

    assert shown.exit_code == 1
    assert "last decision" in json.loads(shown.stdout)["problems"]


@pytest.mark.usefixtures("environment")
def test_given_watch_then_it_looks_again_at_each_interval_until_it_is_interrupted(
    cloud: "Cloud", clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: Iterator[int] = iter([1, 2])

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        cloud.sqs.send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="{}")
        if next(waits, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(cli, "SystemClock", lambda: clock)

    shown = CliRunner().invoke(cli.status, ["--watch", "--every", "30", "--json"])

    looks = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [look["queues"]["jobs"]["visible"] for look in looks] == [0, 1, 2]
    assert shown.exit_code == 0


@pytest.mark.usefixtures("environment")
def test_the_console_script_shows_the_status(cloud: "Cloud") -> None:
    cloud.sqs.send_message(QueueUrl=cloud.settings.priority_queue_url, MessageBody="{}")

    ran = subprocess.run([sys.executable, "-m", "deploy", "status"], capture_output=True, text=True, check=True)

    assert re.search(r"jobs-priority\s+1 waiting, 0 in flight", ran.stdout)
