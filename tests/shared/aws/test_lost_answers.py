"""Calls that were carried out and whose answer got lost: boto3 makes them again, and each must come out as one."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.record import TickRecord
from autoscaler.record_store import RecordStore
from consumer.jobs.queue import JobQueue
from shared.aws.retrying import Retrier
from shared.aws.sqs import in_batches, queue_depth
from shared.aws.storage import put_if_absent, put_if_unchanged, read_if_there
from shared.errors import AWS_ERRORS, is_retryable
from shared.formats.messages import ChunkJob
from shared.session.metadata import add_fields, read_metadata
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock
from tests.fixtures.scripted_server import LOST, PASS, RESET, Answer

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.conftest import BadDay

KEY = "results/1.json"
CONTENT = "application/json"
CONFLICT = Answer(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")
MakeJob = Callable[..., ChunkJob]


def stored(cloud: "Cloud", key: str = KEY) -> bytes:
    return cloud.s3.get_object(Bucket="recordings", Key=key)["Body"].read()


# --- conditional writes to S3


def test_a_new_object_whose_answer_was_lost_is_known_as_written(bad_day: "BadDay", cloud: "Cloud") -> None:
    s3 = bad_day.client("s3")
    bad_day.server.play(LOST, PASS)

    assert put_if_absent(s3, "recordings", KEY, b"mine", CONTENT)
    assert stored(cloud) == b"mine"
    assert [request.method for request in bad_day.server.requests] == ["PUT", "PUT", "GET"]


def test_a_replacement_whose_answer_was_lost_is_known_as_written(bad_day: "BadDay", cloud: "Cloud") -> None:
    s3 = bad_day.client("s3")
    etag = cloud.s3.put_object(Bucket="recordings", Key=KEY, Body=b"before")["ETag"]
    bad_day.server.play(LOST, PASS)

    assert put_if_unchanged(s3, "recordings", KEY, b"mine", CONTENT, etag)
    assert stored(cloud) == b"mine"


def test_a_write_that_a_loop_tries_again_after_boto3_has_given_up_is_known_as_written(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    s3 = bad_day.client("s3")
    bad_day.server.play(LOST, RESET, RESET, PASS)

    assert Retrier(2, clock)(put_if_absent, s3, "recordings", KEY, b"mine", CONTENT)
    assert stored(cloud) == b"mine"


@pytest.mark.parametrize("theirs", [b"their", b"theirs"])
def test_a_write_that_was_lost_on_its_way_loses_against_who_came_in_between(
    bad_day: "BadDay", cloud: "Cloud", theirs: bytes
) -> None:
    s3 = bad_day.client("s3")
    cloud.s3.put_object(Bucket="recordings", Key=KEY, Body=theirs)
    bad_day.server.play(RESET, PASS)

    assert not put_if_absent(s3, "recordings", KEY, b"mine!", CONTENT)
    assert stored(cloud) == theirs


def test_the_same_bytes_with_other_metadata_are_another_writers(bad_day: "BadDay", cloud: "Cloud") -> None:
    s3 = bad_day.client("s3")
    assert put_if_absent(s3, "recordings", KEY, b"same", CONTENT, {"inputs": "theirs"})

    assert not put_if_absent(s3, "recordings", KEY, b"same", CONTENT, {"inputs": "mine"})
    assert put_if_absent(s3, "recordings", KEY, b"same", CONTENT, {"inputs": "theirs"})


def test_a_conflict_after_a_lost_answer_ends_as_written(bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock") -> None:
    s3 = bad_day.client("s3")
    bad_day.server.play(LOST, CONFLICT, PASS)

    assert Retrier(2, clock)(put_if_absent, s3, "recordings", KEY, b"mine", CONTENT)
    assert stored(cloud) == b"mine"


def test_a_sessions_metadata_whose_answer_was_lost_is_written_once(bad_day: "BadDay", cloud: "Cloud") -> None:
    s3, folder = bad_day.client("s3"), "users/u/audio/sessions/s"
    cloud.s3.put_object(Bucket="recordings", Key=f"{folder}/metadata.json", Body=b'{"title": "talk"}')
    found = read_metadata(s3, "recordings", folder)
    bad_day.server.play(LOST, PASS)

    assert found
    assert add_fields(s3, "recordings", folder, found, {"status": "completed"})
    written = read_metadata(s3, "recordings", folder)
    assert written
    assert written.content == {"title": "talk", "status": "completed"}


# --- the lock


def test_a_hold_whose_answer_was_lost_is_held_once_and_released_once(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    lock = SessionLock(bad_day.client("s3"), "recordings", clock, timedelta(minutes=30))
    there = SessionLock(cloud.s3, "recordings", clock, timedelta(minutes=30))
    there.take("u", "other")

    bad_day.server.play(PASS, LOST, PASS)
    taken = lock.take("u", "mine")
    assert [holder.session_id for holder in taken.holders] == ["other", "mine"]
    assert [holder.session_id for holder in there.read().holders] == ["other", "mine"]

    bad_day.server.play(PASS, LOST, PASS)
    lock.release("u", "mine")
    assert [holder.session_id for holder in there.read().holders] == ["other"]

    bad_day.server.play(PASS, LOST, PASS)
    lock.release("u", "other")  # the last one: the object itself goes
    assert not there.read().held


# --- DynamoDB


def test_a_ticks_record_whose_answer_was_lost_is_no_other_ticks(bad_day: "BadDay", clock: "FakeClock") -> None:
    store = RecordStore(bad_day.client("dynamodb"), "ledger")
    for version in (1, 2):  # the first is written where there is none, the second over it
        bad_day.server.play(LOST, PASS)
        assert store.write(TickRecord(version=version, ticked_at=clock.now(), decision="started"))
    assert store.read().version == 2


def test_a_record_that_was_lost_on_its_way_is_outrun_by_the_tick_in_between(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    store = RecordStore(bad_day.client("dynamodb"), "ledger")
    RecordStore(cloud.dynamodb, "ledger").write(TickRecord(version=1, ticked_at=clock.now()))
    clock.advance(0.5)
    bad_day.server.play(RESET, PASS)

    assert not store.write(TickRecord(version=1, ticked_at=clock.now()))


def test_the_same_record_of_two_ticks_at_one_moment_is_written_by_one(cloud: "Cloud", clock: "FakeClock") -> None:
    record = TickRecord(version=1, ticked_at=clock.now())

    assert [RecordStore(cloud.dynamodb, "ledger").write(record) for _ in range(2)] == [True, False]


def test_a_claim_whose_answer_was_lost_is_ones_own(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock", make_job: MakeJob
) -> None:
    ledger = Ledger(bad_day.client("dynamodb"), cloud.settings, clock)
    bad_day.server.play(LOST, PASS)

    assert ledger.claim(make_job())
    assert not ledger.claim(make_job())


def test_a_claim_that_was_lost_on_its_way_leaves_the_gap_to_the_other_scan(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock", make_job: MakeJob
) -> None:
    ledger = Ledger(bad_day.client("dynamodb"), cloud.settings, clock)
    assert Ledger(cloud.dynamodb, cloud.settings, clock).claim(make_job())
    clock.advance(1)
    bad_day.server.play(RESET, PASS)

    assert not ledger.claim(make_job())


# --- SQS


def test_messages_whose_answer_was_lost_are_queued_twice_and_never_not_at_all(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    sqs, url = bad_day.client("sqs"), cloud.settings.jobs_queue_url
    bad_day.server.play(LOST, PASS)
    entries = [{"Id": str(number), "MessageBody": "{}"} for number in range(3)]

    outcome = in_batches(lambda some: sqs.send_message_batch(QueueUrl=url, Entries=some), entries, clock)

    assert sorted(outcome.succeeded) == ["0", "1", "2"]
    assert queue_depth(cloud.sqs, url).visible == 6


def test_a_message_whose_deletion_was_not_answered_is_deleted(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    queue = JobQueue(bad_day.client("sqs"), cloud.settings, clock)
    cloud.sqs.send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="{}")
    (message,) = queue.receive(1, wait=False)
    bad_day.server.play(LOST, PASS)

    queue.delete(message)

    assert queue_depth(cloud.sqs, cloud.settings.jobs_queue_url).total == 0


def test_long_polls_are_made_by_the_patient_client_and_nothing_else_is(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock"
) -> None:
    settings = cloud.settings_with(long_poll_seconds=1)
    queue = JobQueue(bad_day.client("sqs"), settings, clock, polling=cloud.sqs)
    bad_day.server.play(error := Answer(500, b"{}"))
    cloud.sqs.send_message(QueueUrl=settings.jobs_queue_url, MessageBody="{}")

    with pytest.raises(AWS_ERRORS) as raised:
        queue.receive(1, wait=True)  # the priority queue is asked first, without a wait
    assert is_retryable(raised.value)
    bad_day.server.play(PASS, error)
    (message,) = queue.receive(1, wait=True)
    assert message.body == "{}"


# --- what was read


@pytest.mark.parametrize("spoilt", ["cut off", "changed on the way"])
def test_audio_that_arrives_spoilt_is_read_again(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock", spoilt: str
) -> None:
    s3, audio = bad_day.client("s3"), bytes(range(256)) * 40
    checksum: dict[str, Any] = {"x-amz-checksum-crc32": "AAAAAA=="} if spoilt == "changed on the way" else {}
    first = Answer(body=audio, headers=checksum) if checksum else Answer(body=audio, cut_to=100)
    bad_day.server.play(first, Answer(body=audio))

    assert Retrier(2, clock)(read_if_there, s3, "recordings", "chunk") == audio
    assert bad_day.tries == 2
