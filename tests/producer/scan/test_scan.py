"""A whole scan: what it queues, what it writes, and when it queues nothing."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from structlog.testing import capture_logs

from producer.handler import handler
from producer.scan.scan import Scanner
from shared.formats.messages import ChunkJob, parse_job
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.producer.conftest import Age


def scanner(cloud: "Cloud", clock: "FakeClock", settings: Settings | None = None) -> Scanner:
    return Scanner.from_settings(settings or cloud.settings_with(scan_min_age_seconds=0), clock)


def queued_jobs(cloud: "Cloud") -> list[ChunkJob]:
    """Takes everything off the jobs queue, in the order of sending."""
    jobs = []
    while messages := cloud.sqs.receive_message(QueueUrl=cloud.settings.jobs_queue_url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        for message in messages:
            jobs.append(parse_job(message["Body"], bucket=cloud.settings.bucket))
            cloud.sqs.delete_message(QueueUrl=cloud.settings.jobs_queue_url, ReceiptHandle=message["ReceiptHandle"])
    return jobs


def denied(**_: Any) -> Any:
    """In place of a call: AWS refuses it."""
    error = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    return AWSResponse("", 403, HTTPHeaders(), b""), error


def read_json(cloud: "Cloud", key: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=key)["Body"].read())
    return content


def lock_of(cloud: "Cloud", clock: "FakeClock") -> SessionLock:
    return SessionLock(cloud.s3, cloud.settings.bucket, clock, timedelta(minutes=30))


@pytest.fixture(autouse=True)
def _after_the_recording(clock: "FakeClock") -> None:
    """The recordings of a test are made at the real time; scans happen a little later."""
    clock.advance(60)


def test_a_gap_is_queued_once_though_two_scans_run(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001", body=b"12345")
    first = scanner(cloud, clock).scan(enqueue=True)
    second = scanner(cloud, clock).scan(enqueue=True)
    assert first.enqueued
    assert first.enqueued.queued == 1
    assert second.enqueued
    assert (second.enqueued.queued, second.enqueued.already_queued) == (0, 1)
    [job] = queued_jobs(cloud)
    assert (job.user_id, job.session_id, job.chunk, job.audio_size) == ("alice", "s1", "001", 5)
    assert job.transcript_key == "users/alice/audio/sessions/s1/transcription-chunk-001.json"
    assert job.scan_id == first.pending.scan_id


def test_a_gap_is_queued_again_once_its_message_could_have_expired(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    scanner(cloud, clock).scan(enqueue=True)
    clock.advance(cloud.settings.queue_retention_seconds + 1)
    again = scanner(cloud, clock).scan(enqueue=True)
    assert again.enqueued
    assert again.enqueued.queued == 1


def test_a_chunk_that_failed_is_left_alone_until_its_audio_is_another(cloud: "Cloud", clock: "FakeClock") -> None:
    # given: its job went to the dead-letter queue
    cloud.put_audio("alice", "s1", "001", body=b"broken")
    scanner(cloud, clock).scan(enqueue=True)
    [job] = queued_jobs(cloud)
    Ledger(cloud.dynamodb, cloud.settings, clock).finished(job, "failed", error="audio-damaged")
    # when, then: a later scan does not start a GPU for it
    clock.advance(86_400)
    later = scanner(cloud, clock).scan(enqueue=True)
    assert later.enqueued
    assert (later.enqueued.queued, later.enqueued.already_queued) == (0, 1)
    # and when the recorder uploads it again, it is tried again
    cloud.put_audio("alice", "s1", "001", body=b"whole audio")
    repaired = scanner(cloud, clock).scan(enqueue=True)
    assert repaired.enqueued
    assert repaired.enqueued.queued == 1


def test_sessions_are_queued_oldest_first_and_chunks_in_order(cloud: "Cloud", clock: "FakeClock", age: "Age") -> None:
    for user in ("zoe", "adam"):  # adam's key comes first, zoe's session is older
        for number in range(1, 13):
            cloud.put_audio(user, "s", f"{number:03d}")
        age(f"users/{user}/", 7200 if user == "zoe" else 60)
    scanner(cloud, clock).scan(enqueue=True)
    order = [(job.user_id, job.chunk) for job in queued_jobs(cloud)]
    assert order == [(user, f"{n:03d}") for user in ("zoe", "adam") for n in range(1, 13)]


def test_newest_first_is_a_setting(cloud: "Cloud", clock: "FakeClock", age: "Age") -> None:
    for user in ("old", "young"):
        cloud.put_audio(user, "s", "001")
    age("users/old/", 7200)
    scanner(cloud, clock, cloud.settings_with(scan_min_age_seconds=0, scan_order="newest")).scan(enqueue=True)
    assert [job.user_id for job in queued_jobs(cloud)] == ["young", "old"]


def test_a_look_without_enqueue_writes_pending_jobs_and_queues_nothing(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.put_transcript("alice", "s1", "001")
    cloud.put_audio("alice", "s1", "002", body=b"1234")
    result = scanner(cloud, clock).scan(enqueue=False)
    assert result.enqueued is None
    assert queued_jobs(cloud) == []
    pending = read_json(cloud, "batch-data/pending-jobs.json")
    assert pending["totalSessions"] == 1
    assert pending["totalMissingChunks"] == 1
    assert pending["estimatedGpuSeconds"] == 0.2
    assert pending["estimatedCostUSD"] > 0
    [session] = pending["sessions"]
    assert session["sessionPath"] == "users/alice/audio/sessions/s1"
    assert (session["audioChunks"], session["transcriptionChunks"], session["missingChunks"]) == (2, 1, ["002"])
    assert session["totalAudioSize"] == 9


def test_pending_jobs_has_the_fields_of_the_contract(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    scanner(cloud, clock).scan(enqueue=False)
    pending = read_json(cloud, "batch-data/pending-jobs.json")
    assert set(pending) == {
        "timestamp", "scanId", "totalSessions", "sessionsWithMissingChunks", "totalMissingChunks", "ignoredKeys",
        "estimatedGpuTime", "estimatedGpuSeconds", "estimatedCost", "estimatedCostUSD", "sessions",
    }  # fmt: skip
    assert set(pending["sessions"][0]) == {
        "sessionId", "userId", "sessionPath", "audioChunks", "transcriptionChunks", "missingChunks", "totalAudioSize",
        "createdAt", "ageHours",
    }  # fmt: skip


def test_with_the_lock_held_nothing_is_queued_and_a_skipped_report_says_why(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    lock_of(cloud, clock).take("bob", "live-1")
    result = scanner(cloud, clock).scan(enqueue=True)
    assert queued_jobs(cloud) == []
    report = read_json(cloud, f"batch-reports/{result.report_id}.json")
    assert (report["status"], report["skipped"]) == ("skipped", True)
    assert "live-1" in report["reason"]
    assert report["scan"]["totalMissingChunks"] == 1
    # and when it is released, the next scan queues
    lock_of(cloud, clock).release("bob", "live-1")
    scanner(cloud, clock).scan(enqueue=True)
    assert len(queued_jobs(cloud)) == 1


def test_an_unreadable_lock_counts_as_held_and_is_named(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="batch-lock.json", Body=b"{oops")
    result = scanner(cloud, clock).scan(enqueue=True)
    assert result.skipped
    assert "batch-lock.json" in result.skipped
    assert queued_jobs(cloud) == []


def test_no_gaps_give_a_skipped_report(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.put_transcript("alice", "s1", "001")
    result = scanner(cloud, clock).scan(enqueue=True)
    assert result.skipped == "no gaps"
    assert read_json(cloud, f"batch-reports/{result.report_id}.json")["reason"] == "no gaps"
    page = cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=f"batch-reports/{result.report_id}.html")
    assert page["ContentType"].startswith("text/html")


def test_with_the_ledger_away_gaps_are_queued_all_the_same(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)
    cloud.put_audio("alice", "s1", "001")
    result = scanner(cloud, clock).scan(enqueue=True)
    assert result.enqueued
    assert result.enqueued.queued == 1


def test_with_the_ledger_away_no_gap_is_queued_behind_jobs_that_may_be_its_own(
    cloud: "Cloud", clock: "FakeClock"
) -> None:
    # given: a scan that has queued a gap, and nobody to work on it
    cloud.put_audio("alice", "s1", "001")
    scanner(cloud, clock).scan(enqueue=True)
    cloud.put_audio("alice", "s1", "002")
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)
    # when: the next one cannot ask the ledger
    with capture_logs() as logs:
        result = scanner(cloud, clock).scan(enqueue=True)
    # then: the queue gets no copy of the first job, and the log says so
    assert [entry["postponed"] for entry in logs if entry["event"] == "scan"] == [2]
    assert result.enqueued
    assert (result.enqueued.queued, result.enqueued.already_queued, result.enqueued.postponed) == (0, 0, 2)
    # and once the queue is empty, what is still a gap is queued
    cloud.sqs.purge_queue(QueueUrl=cloud.settings.jobs_queue_url)
    later = scanner(cloud, clock).scan(enqueue=True)
    assert later.enqueued
    assert (later.enqueued.queued, later.enqueued.postponed) == (2, 0)


def test_a_ledger_that_is_away_for_a_moment_is_asked_once_more(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    scanner(cloud, clock).scan(enqueue=True)
    cloud.put_audio("alice", "s1", "002")
    blinking = scanner(cloud, clock)
    began = clock.now()

    def away(**call: Any) -> Any:
        return denied(**call) if clock.now() == began else None

    blinking.enqueuer._ledger._table._dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", away)
    result = blinking.scan(enqueue=True)
    assert result.enqueued
    assert (result.enqueued.queued, result.enqueued.already_queued, result.enqueued.postponed) == (1, 1, 0)


def test_with_the_ledger_away_and_a_queue_that_cannot_be_counted_gaps_wait(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)
    blind = scanner(cloud, clock)
    blind.enqueuer._sqs.meta.events.register("before-call.sqs.GetQueueAttributes", denied)
    result = blind.scan(enqueue=True)
    assert result.enqueued
    assert (result.enqueued.queued, result.enqueued.postponed) == (0, 1)


def test_a_message_that_sqs_refuses_gives_its_claim_back(cloud: "Cloud", clock: "FakeClock") -> None:
    # given: SQS takes all entries of a batch but the one with Id 1
    for chunk in ("001", "002", "003"):
        cloud.put_audio("alice", "s1", chunk)
    refusing = scanner(cloud, clock)
    client = refusing.enqueuer._sqs

    def refuse_the_second(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Successful"] = [entry for entry in parsed.get("Successful", []) if entry["Id"] != "1"]
        parsed["Failed"] = [{"Id": "1", "Code": "InvalidMessageContents", "SenderFault": True}]

    client.meta.events.register("after-call.sqs.SendMessageBatch", refuse_the_second)
    # when
    result = refusing.scan(enqueue=True)
    # then: it is counted, and the next scan queues it
    assert result.enqueued
    assert (result.enqueued.queued, result.enqueued.failed) == (2, 1)
    again = scanner(cloud, clock).scan(enqueue=True)
    assert again.enqueued
    assert (again.enqueued.queued, again.enqueued.already_queued) == (1, 2)


def test_with_sqs_away_the_scan_fails_and_the_next_one_queues_the_gap(cloud: "Cloud", clock: "FakeClock") -> None:
    cloud.put_audio("alice", "s1", "001")
    failing = scanner(cloud, clock)

    failing.enqueuer._sqs.meta.events.register("before-call.sqs.SendMessageBatch", denied)
    with pytest.raises(failing.enqueuer._sqs.exceptions.ClientError, match="AccessDenied"):
        failing.scan(enqueue=True)
    again = scanner(cloud, clock).scan(enqueue=True)
    assert again.enqueued
    assert again.enqueued.queued == 1


def test_the_lambda_queues_and_answers_with_the_summary(
    cloud: "Cloud", age: "Age", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCRIBEFLEET_SCAN_MIN_AGE_SECONDS", "0")
    cloud.put_audio("alice", "s1", "001")
    age("users/alice/", 60)
    assert handler({"enqueue": False}, None)["enqueued"] == 0
    answer = handler({"enqueue": True}, None)
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["enqueued"], answer["totalMissingChunks"]) == (1, 1)
    assert handler({}, None)["alreadyQueued"] == 1
