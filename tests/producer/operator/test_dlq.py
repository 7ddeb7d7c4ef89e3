"""`scribefleet dlq`: every dead letter is seen once, and none is lost whatever happens in between."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from producer.operator.dlq.cli import dlq
from producer.operator.dlq.message import DeadLetter, Filter, filter_of, read_letter
from producer.operator.dlq.receive import Held, hidden_elsewhere, holding
from producer.operator.dlq.redrive import Redriven, Redriver
from shared.aws.sqs import QueueDepth, queue_depth
from shared.clock import SystemClock
from shared.formats.messages import ChunkJob, chunk_job
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


Bury = Callable[..., ChunkJob]


def job_of(chunk: str, user: str = "alice", session: str = "s1") -> ChunkJob:
    key = f"users/{user}/audio/sessions/{session}/chunk-{chunk}.webm"
    return chunk_job(bucket="recordings", audio_key=key, audio_size=5, enqueued_at=SystemClock().now())


@pytest.fixture
def bury(cloud: "Cloud") -> Bury:
    """Puts the job of a chunk on the dead-letter queue, as a worker does."""

    def make(chunk: str = "001", reason: str = "audio-empty", queue: str = "jobs", **whose: str) -> ChunkJob:
        job = job_of(chunk, **whose)
        send(cloud, job.to_json(), reason, queue)
        Ledger(cloud.dynamodb, cloud.settings, SystemClock()).finished(job, "failed", error=f"{reason}: detail")
        return job

    return make


def send(cloud: "Cloud", body: str, reason: str, queue: str) -> None:
    attributes: Any = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in {"reason": reason, "detail": "a detail", "sourceQueue": queue, "receives": "2"}.items()
    }
    url = cloud.settings.dead_letter_queue_url
    cloud.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)


def run(*arguments: str, says: str | None = None) -> Result:
    return CliRunner().invoke(dlq, arguments, catch_exceptions=False, input=says)


def visible(cloud: "Cloud", queue_url: str | None = None) -> int:
    return queue_depth(cloud.sqs, queue_url or cloud.settings.dead_letter_queue_url).visible


def bodies(cloud: "Cloud", queue_url: str) -> list[str]:
    """The messages on a queue, which are taken off it."""
    found = []
    while messages := cloud.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found.append(message["Body"])
            cloud.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return found


# --- list and show


def test_dead_letters_are_counted_by_reason_and_visible_again_afterwards(cloud: "Cloud", bury: Bury) -> None:
    for chunk in ("001", "002", "003"):
        bury(chunk)
    bury("004", "attempts-exhausted")
    for _ in range(2):  # a look hides nothing from the next one
        said = run("list").stdout
        assert "4 dead letters" in said
        assert "3  audio-empty" in said
        assert "1  attempts-exhausted" in said
    assert visible(cloud) == 4


def test_many_dead_letters_are_all_listed_once(cloud: "Cloud") -> None:
    expected = {job_of(f"{number:04d}").to_json() for number in range(200)}
    entries = [{"Id": str(n % 10), "MessageBody": body} for n, body in enumerate(sorted(expected))]
    for start in range(0, len(entries), 10):
        batch: Any = entries[start : start + 10]
        cloud.sqs.send_message_batch(QueueUrl=cloud.settings.dead_letter_queue_url, Entries=batch)
    found = json.loads(run("list", "--json").stdout)
    assert (found["total"], found["hidden"], len(found["letters"])) == (200, 0, 200)
    assert len({letter["messageId"] for letter in found["letters"]}) == 200
    assert visible(cloud) == 200


def test_the_filters_go_together(bury: Bury) -> None:
    bury("001")
    bury("002", "audio-gone")
    bury("003", user="bob")
    bury("004", session="s2")

    def chunks(*filters: str) -> list[str]:
        return sorted(letter["chunk"] for letter in json.loads(run("list", "--json", *filters).stdout)["letters"])

    assert chunks("--session", "s1") == ["001", "002", "003"]
    assert chunks("--session", "alice/s1", "--reason", "audio-gone") == ["002"]
    assert chunks("--session", "users/bob/audio/sessions/s1") == ["003"]
    assert chunks("--older-than", "1h") == []
    assert len(chunks("--newer-than", "1h")) == 4


def test_a_dead_letter_is_shown_in_full_by_the_beginning_of_its_id(cloud: "Cloud", bury: Bury) -> None:
    job = bury()
    (letter,) = json.loads(run("list", "--json").stdout)["letters"]
    said = run("show", letter["messageId"][:8]).stdout
    assert "audio-empty" in said
    assert job.audio_key in said
    assert run("show", "none-of-that").exit_code == 1
    assert visible(cloud) == 1


def test_what_is_no_job_is_listed_like_any_other(cloud: "Cloud") -> None:
    for body in ("[bold]", '{"userId": 7}', "[1]", "{" * 5000):
        send(cloud, body, "message-not-json", "jobs")
    said = run("list")
    assert (said.exit_code, "4  message-not-json" in said.stdout) == (0, True)


def test_letters_that_another_look_holds_are_told_and_not_hidden(cloud: "Cloud", bury: Bury) -> None:
    for chunk in ("001", "002"):
        bury(chunk)
    cloud.sqs.receive_message(QueueUrl=cloud.settings.dead_letter_queue_url, MaxNumberOfMessages=1)
    said = run("list")
    assert said.exit_code == 1
    assert "about 1 more are hidden now" in said.stdout


def test_a_look_that_is_interrupted_makes_them_visible_again(
    cloud: "Cloud", bury: Bury, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chunk in ("001", "002"):
        bury(chunk)

    def interrupted(*_: Any) -> bool:
        assert visible(cloud) == 0
        raise KeyboardInterrupt

    monkeypatch.setattr(Filter, "takes", interrupted)
    ran = run("list")
    assert (ran.exit_code, "visible again" in ran.stderr) == (130, True)
    assert visible(cloud) == 2


def test_a_letter_that_is_received_twice_is_told_once(cloud: "Cloud", clock: "FakeClock", bury: Bury) -> None:
    # given: the queue delivers at least once, so a held letter can come again
    bury()
    url = cloud.settings.dead_letter_queue_url
    with holding(cloud.sqs, url, clock, long_poll_seconds=0) as held:
        batches = held.batches()
        (first,) = next(batches)
        cloud.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first.receipt, VisibilityTimeout=0)
        assert list(batches) == []
        assert held.receipt_of(first) != first.receipt
        assert held.delete([first]) == {}
    assert bodies(cloud, url) == []


def test_too_many_for_sqs_to_hold_is_told(cloud: "Cloud", clock: "FakeClock", bury: Bury) -> None:
    bury()

    def over_limit(**_: Any) -> None:
        if held._receipts:
            raise ClientError({"Error": {"Code": "OverLimit", "Message": ""}}, "ReceiveMessage")

    url = cloud.settings.dead_letter_queue_url
    with holding(cloud.sqs, url, clock, long_poll_seconds=0) as held:
        cloud.sqs.meta.events.register("before-call.sqs.ReceiveMessage", over_limit)
        assert sum(len(batch) for batch in held.batches()) == 1
        assert not held.complete
    assert visible(cloud) == 1


def test_what_others_hold_is_the_difference_of_the_counts() -> None:
    assert hidden_elsewhere(QueueDepth(visible=3, in_flight=5), seen=6) == 2
    assert hidden_elsewhere(QueueDepth(visible=3), seen=6) == 0  # the counts are approximate


class Forgetful:
    """A dead-letter queue as SQS has them: polls that miss what is there, and letters that come twice."""

    def __init__(self, letters: int) -> None:
        self.waiting = [f"m{number}" for number in range(letters)]
        self.hidden: dict[str, str] = {}  # by receipt
        self._random = random.Random(4)  # the same each time
        self._mutex = threading.Lock()
        self._receives = 0

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        with self._mutex:
            self._receives += 1
            if asked["WaitTimeSeconds"] == 0 and self._random.random() < 0.3:
                return {}
            taken, self.waiting = self.waiting[:10], self.waiting[10:]
            if taken and self._random.random() < 0.1:
                self.waiting.append(taken[0])
            receipts = {message: f"{message}/{self._receives}" for message in taken}
            self.hidden |= {receipt: message for message, receipt in receipts.items()}
        return {"Messages": [{"MessageId": m, "ReceiptHandle": r, "Body": "{}"} for m, r in receipts.items()]}

    def change_message_visibility_batch(self, **asked: Any) -> dict[str, Any]:
        with self._mutex:
            for entry in asked["Entries"]:
                self.waiting.append(self.hidden.pop(entry["ReceiptHandle"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]]}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        with self._mutex:
            counts = {"": len(self.waiting), "NotVisible": len(self.hidden), "Delayed": 0}
        return {"Attributes": {f"ApproximateNumberOfMessages{name}": str(count) for name, count in counts.items()}}


def test_ten_thousand_are_listed_once_each_and_none_stays_hidden(clock: "FakeClock") -> None:
    queue: Any = Forgetful(10_000)
    with holding(queue, "url", clock, long_poll_seconds=1) as held:
        seen = [letter.message_id for batch in held.batches() for letter in batch]
    assert (len(seen), len(set(seen))) == (10_000, 10_000)
    assert set(queue.waiting) == set(seen)


# --- letters and filters


def letter(**fields: Any) -> DeadLetter:
    raw: Any = {
        "MessageId": "m1",
        "ReceiptHandle": "r1",
        "Body": job_of("001").to_json(),
        "Attributes": {"SentTimestamp": str(int(NOW.timestamp() * 1000))},
        **fields,
    }
    return read_letter(raw)


def test_a_letter_that_sqs_moved_by_itself_has_its_queue_and_a_reason() -> None:
    arn = "arn:aws:sqs:us-east-1:123456789012:jobs-priority"
    moved = letter(Attributes={"SentTimestamp": "0", "DeadLetterQueueSourceArn": arn})
    assert (moved.reason, moved.source_queue) == ("received-too-often", "jobs-priority")
    assert letter().reason == "unknown"


@pytest.mark.parametrize("receives", ["9" * 5000, "\u0663", "many", ""])
def test_a_letter_whose_attributes_hold_no_count_is_read_all_the_same(receives: str) -> None:
    attributes = {"receives": {"StringValue": receives, "DataType": "String"}}
    assert letter(MessageAttributes=attributes).receives == 0


def test_a_letter_whose_body_spells_half_a_character_can_be_shown() -> None:
    strange = letter(Body='{"userId": "alice\\ud800", "sessionId": "s1", "chunk": "001"}')
    assert strange.session.encode() == b"alice?/s1"


@pytest.mark.parametrize(
    ("older", "newer", "minutes", "taken"),
    [("1h", None, 59, False), ("1h", None, 61, True), (None, "1h", 59, True), (None, "1h", 61, False)],
)
def test_letters_are_taken_by_their_age(older: str | None, newer: str | None, minutes: int, taken: bool) -> None:
    wanted = filter_of(None, None, older, newer)
    assert wanted.takes(letter(), NOW + timedelta(minutes=minutes)) is taken


@pytest.mark.parametrize("wrong", ["", "1", "h", "1.5h", "-1h", "1w"])
def test_what_is_no_duration_is_refused(wrong: str) -> None:
    assert run("list", "--older-than", wrong or " ").exit_code == 2


# --- redrive


Redrive = Callable[..., Redriven]


@pytest.fixture
def redrive(cloud: "Cloud", clock: "FakeClock") -> Redrive:
    def make(wanted: Filter | None = None, *, per_second: float = 50, until: datetime | None = None) -> Redriven:
        ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
        after = until or SystemClock().now() + timedelta(seconds=1)
        redriver = Redriver(cloud.sqs, ledger, cloud.settings, clock, per_second, after)
        with holding(cloud.sqs, cloud.settings.dead_letter_queue_url, clock, long_poll_seconds=0) as held:
            return redriver.redrive(held, wanted or Filter())

    return make


def test_letters_go_back_to_the_queues_that_they_came_from(cloud: "Cloud", bury: Bury) -> None:
    scanned, asked_for = bury("001"), bury("002", queue="jobs-priority")
    ran = run("redrive")
    assert (ran.exit_code, "put back" in ran.stdout) == (0, True)
    assert bodies(cloud, cloud.settings.jobs_queue_url) == [scanned.to_json()]
    assert bodies(cloud, cloud.settings.priority_queue_url) == [asked_for.to_json()]
    assert visible(cloud) == 0
    rows = Ledger(cloud.dynamodb, cloud.settings, SystemClock()).session_jobs(scanned.session_path)
    assert {row["status"] for row in rows.values()} == {"queued"}


def test_what_is_no_job_goes_back_as_it_is(cloud: "Cloud", redrive: Redrive) -> None:
    send(cloud, "not JSON", "message-not-json", "a queue that is gone")
    assert redrive().sent == {"jobs": 1}
    assert bodies(cloud, cloud.settings.jobs_queue_url) == ["not JSON"]


def test_only_what_the_filter_takes_goes_back(cloud: "Cloud", bury: Bury) -> None:
    bury("001")
    bury("002", "attempts-exhausted")
    result = json.loads(run("redrive", "--reason", "attempts-exhausted", "--json").stdout)
    assert (result["redriven"], result["kept"]) == (1, 1)
    assert (visible(cloud), visible(cloud, cloud.settings.jobs_queue_url)) == (1, 1)


def test_a_look_at_a_redrive_moves_nothing(cloud: "Cloud", bury: Bury) -> None:
    bury()
    assert "would put back 1 to jobs" in run("redrive", "--dry-run").stdout
    assert (visible(cloud), visible(cloud, cloud.settings.jobs_queue_url)) == (1, 0)


def test_a_redrive_keeps_to_its_rate(clock: "FakeClock", bury: Bury, redrive: Redrive) -> None:
    for number in range(20):
        bury(f"{number:03d}")
    began = clock.monotonic()
    redrive(per_second=4)
    assert clock.monotonic() - began == pytest.approx(5)


def test_a_redrive_ends_though_workers_fail_each_job_again_at_once(
    cloud: "Cloud", clock: "FakeClock", bury: Bury, redrive: Redrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: whatever is put back is a dead letter again a moment later
    jobs = [bury(f"{number:03d}") for number in range(25)]
    started = SystemClock().now()

    def work(_: float) -> None:
        for body in bodies(cloud, cloud.settings.jobs_queue_url):
            send(cloud, body, "audio-empty", "jobs")

    monkeypatch.setattr(clock, "sleep", work)
    # when
    result = redrive(until=started)
    # then: each went round once, and all of them are there
    assert result.total == 25
    assert sorted(bodies(cloud, cloud.settings.dead_letter_queue_url)) == sorted(job.to_json() for job in jobs)


def test_a_letter_that_cannot_be_sent_stays(cloud: "Cloud", bury: Bury) -> None:
    bury()
    gone = cloud.settings_with(jobs_queue_url=cloud.settings.jobs_queue_url + "-gone")
    ledger = Ledger(cloud.dynamodb, gone, SystemClock())
    url = gone.dead_letter_queue_url
    redriver = Redriver(cloud.sqs, ledger, gone, SystemClock(), 50, SystemClock().now() + timedelta(seconds=1))
    with (
        pytest.raises(ClientError, match=r"NonExistentQueue|does not exist"),
        holding(cloud.sqs, url, SystemClock(), long_poll_seconds=0) as held,
    ):
        redriver.redrive(held, Filter())
    assert visible(cloud) == 1


def test_a_letter_that_was_sent_and_cannot_be_deleted_is_told(
    cloud: "Cloud", bury: Bury, redrive: Redrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury()
    monkeypatch.setattr(Held, "delete", lambda _, letters: {each.message_id: "InternalError" for each in letters})
    result = redrive()
    assert list(result.undeleted.values()) == ["InternalError"]
    assert (visible(cloud), visible(cloud, cloud.settings.jobs_queue_url)) == (1, 1)  # on both, and on none never


def test_a_cancelled_chunk_is_freed_by_a_redrive(cloud: "Cloud", bury: Bury, redrive: Redrive) -> None:
    job = bury()
    ledger = Ledger(cloud.dynamodb, cloud.settings, SystemClock())
    ledger.cancel(job.session_path, job.chunk, 5)
    redrive()
    assert ledger.processing(job, "i-1", 1)


def test_without_the_ledger_jobs_stay_where_they_are(cloud: "Cloud", bury: Bury, redrive: Redrive) -> None:
    bury()
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)
    assert list(redrive().refused.values()) == ["ledger-away"]
    assert visible(cloud) == 1


# --- purge


def test_a_purge_asks_and_deletes_nothing_when_declined(cloud: "Cloud", bury: Bury) -> None:
    bury()
    ran = run("purge", says="n\n")
    assert ran.exit_code == 1
    assert "Delete 1 of 1 dead letters for good?" in ran.stdout
    assert visible(cloud) == 1


def test_a_purge_deletes_what_the_filter_takes(cloud: "Cloud", bury: Bury) -> None:
    bury("001")
    kept = bury("002", "audio-gone")
    assert "deleted 1 of 2" in run("purge", "--reason", "audio-empty", "--yes").stdout
    assert bodies(cloud, cloud.settings.dead_letter_queue_url) == [kept.to_json()]


def test_a_look_at_a_purge_deletes_nothing(cloud: "Cloud", bury: Bury) -> None:
    bury()
    assert json.loads(run("purge", "--dry-run", "--json").stdout)["deleted"] == 0
    assert visible(cloud) == 1


def test_json_does_not_ask(bury: Bury) -> None:
    assert run("purge", "--json").exit_code == 2


# --- through the console script


def test_the_console_script_lists_and_redrives(cloud: "Cloud", bury: Bury) -> None:
    bury()

    def script(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "deploy", "dlq", *arguments],
            env={**os.environ, **cloud.environment()},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    assert "1  audio-empty" in script("list")
    assert "put back 1 to jobs" in script("redrive", "--session", "s1")
    assert json.loads(script("list", "--json"))["total"] == 0
