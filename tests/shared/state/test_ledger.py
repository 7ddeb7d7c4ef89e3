"""The ledger: who may queue a gap, what people read of a job, and what happens when the table is away."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from shared.clock import iso
from shared.errors import LedgerError
from shared.formats.heartbeat import Heartbeat
from shared.formats.messages import ChunkJob
from shared.state.ledger import CLAIM_LASTS, Claim, Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.conftest import Faults

MakeJob = Callable[..., ChunkJob]
DAY = 86_400


@pytest.fixture
def ledger(cloud: "Cloud", clock: "FakeClock") -> Ledger:
    return Ledger(cloud.dynamodb, cloud.settings, clock)


def beat_of(instance_id: str, clock: "FakeClock") -> Heartbeat:
    return Heartbeat(instance_id=instance_id, state="idle", beat_at=clock.now())


# --- claims: of two scans only one queues a gap


def test_of_two_scans_only_the_first_may_queue_a_gap(ledger: Ledger, make_job: MakeJob) -> None:
    assert ledger.claim(make_job())
    assert not ledger.claim(make_job())


def test_chunks_that_are_spelled_differently_are_claimed_separately(ledger: Ledger, make_job: MakeJob) -> None:
    assert ledger.claim(make_job("1"))
    assert ledger.claim(make_job("001"))


def test_a_gap_whose_scanner_died_before_sending_can_be_claimed_when_the_claim_has_run_out(
    ledger: Ledger, clock: "FakeClock", make_job: MakeJob
) -> None:
    ledger.claim(make_job())

    clock.advance(CLAIM_LASTS.total_seconds() - 1)
    assert not ledger.claim(make_job())
    clock.advance(2)
    assert ledger.claim(make_job())


def test_a_queued_gap_is_left_alone_until_its_message_could_have_expired(
    cloud: "Cloud", ledger: Ledger, clock: "FakeClock", make_job: MakeJob
) -> None:
    job = make_job()
    ledger.claim(job)
    ledger.queued(job)

    clock.advance(cloud.settings.queue_retention_seconds - 1)
    assert not ledger.claim(job)
    clock.advance(2)
    assert ledger.claim(job)


def test_a_gap_whose_message_could_not_be_sent_can_be_claimed_at_once(ledger: Ledger, make_job: MakeJob) -> None:
    ledger.claim(make_job())

    ledger.unclaim(make_job())

    assert ledger.claim(make_job())


def test_a_job_in_work_is_not_queued_again(ledger: Ledger, make_job: MakeJob) -> None:
    job = make_job()
    ledger.claim(job)
    ledger.queued(job)

    ledger.processing(job, "i-1", attempts=1)

    assert not ledger.claim(job)


def test_a_failed_chunk_is_left_alone_for_its_time(
    cloud: "Cloud", ledger: Ledger, clock: "FakeClock", make_job: MakeJob
) -> None:
    ledger.finished(make_job(), "failed", "audio-empty: no bytes")

    clock.advance(cloud.settings.failed_retention_seconds - 1)
    assert not ledger.claim(make_job())
    clock.advance(2)
    assert ledger.claim(make_job())


def test_a_failed_chunk_whose_audio_has_another_size_now_may_be_queued_again(ledger: Ledger, make_job: MakeJob) -> None:
    ledger.claim(make_job(size=100))
    ledger.finished(make_job(size=100), "failed", "audio-empty: no bytes")

    assert not ledger.claim(make_job(size=100))
    assert ledger.claim(make_job(size=101))


def test_a_claim_that_is_refused_says_whether_the_gap_may_still_be_filled(ledger: Ledger, make_job: MakeJob) -> None:
    for chunk in ("001", "002", "003", "004", "005"):
        ledger.claim(make_job(chunk))
    ledger.processing(make_job("002"), "i-1", attempts=1)
    ledger.finished(make_job("003"), "failed", "audio-empty: no bytes")
    ledger.cancel(make_job("004").session_path, "004", make_job("004").audio_size)
    ledger.finished(make_job("005"), "failed", "audio-empty: no bytes")
    ledger.requeue(make_job("005"))

    claims = [ledger.claim(make_job(chunk)) for chunk in ("001", "002", "003", "004", "005", "006")]

    assert claims == [Claim.TAKEN, Claim.TAKEN, Claim.GIVEN_UP, Claim.GIVEN_UP, Claim.TAKEN, Claim.MINE]


def test_a_completed_chunk_whose_transcript_was_deleted_can_be_queued_again(ledger: Ledger, make_job: MakeJob) -> None:
    ledger.claim(make_job())
    ledger.finished(make_job(), "completed")

    assert ledger.claim(make_job())


# --- what people read


def test_a_job_can_be_followed_from_the_queue_to_its_end(ledger: Ledger, clock: "FakeClock", make_job: MakeJob) -> None:
    job = make_job("007")
    seen = []

    def status() -> str:
        return str(ledger.session_jobs(job.session_path)["007"]["status"])

    ledger.claim(job)
    ledger.queued(job)
    seen.append(status())
    ledger.processing(job, "i-1", attempts=2)
    seen.append(status())
    ledger.handed_back(job, "instance is stopping")
    seen.append(status())
    clock.advance(10)
    ledger.finished(job, "completed")
    seen.append(status())

    assert seen == ["queued", "processing", "queued", "completed"]
    item = ledger.session_jobs(job.session_path)["007"]
    assert (item["workerId"], item["attempts"]) == ("i-1", 2)
    assert item["enqueuedAt"] == iso(job.enqueued_at)
    assert item["completedAt"] == iso(clock.now())
    assert item["error"] is None


def test_the_reason_of_a_failure_stands_in_the_ledger(ledger: Ledger, make_job: MakeJob) -> None:
    ledger.finished(make_job(), "failed", "audio-empty: no bytes")

    assert ledger.session_jobs(make_job().session_path)["001"]["error"] == "audio-empty: no bytes"


def test_items_are_kept_a_month_longer_than_they_decide_anything(
    ledger: Ledger, clock: "FakeClock", make_job: MakeJob
) -> None:
    ledger.finished(make_job(), "failed", "audio-empty: no bytes")

    item = ledger.session_jobs(make_job().session_path)["001"]

    assert item["ttl"] - item["requeueAfter"] == 30 * DAY


def test_a_session_that_the_ledger_never_heard_of_has_no_jobs(ledger: Ledger) -> None:
    assert ledger.session_jobs("users/nobody/audio/sessions/none") == {}


# --- heartbeats


def test_a_heartbeat_is_read_as_it_was_written(ledger: Ledger, clock: "FakeClock") -> None:
    now = clock.now().replace(microsecond=0)
    beat = Heartbeat(
        instance_id="i-1",
        state="busy",
        beat_at=now,
        idle_since=now - timedelta(minutes=2),
        jobs_done=17,
        rtfx=23.45,
        progress_at=now - timedelta(seconds=40),
    )

    ledger.beat(beat)

    assert ledger.heartbeats(["i-1"]).valid == {"i-1": beat}


def test_a_worker_that_has_work_again_is_no_longer_idle(ledger: Ledger, clock: "FakeClock") -> None:
    ledger.beat(Heartbeat(instance_id="i-1", state="idle", beat_at=clock.now(), idle_since=clock.now()))

    ledger.beat(Heartbeat(instance_id="i-1", state="busy", beat_at=clock.now()))

    assert ledger.heartbeats(["i-1"]).valid["i-1"].idle_since is None


def test_an_instance_that_never_spoke_has_no_heartbeat(ledger: Ledger, clock: "FakeClock") -> None:
    ledger.beat(beat_of("i-1", clock))

    assert set(ledger.heartbeats(["i-1", "i-2"]).valid) == {"i-1"}
    assert ledger.heartbeats([]).valid == {}


def test_an_instance_that_is_asked_for_twice_is_read_once(ledger: Ledger, clock: "FakeClock") -> None:
    ledger.beat(beat_of("i-1", clock))

    assert set(ledger.heartbeats(["i-1", "i-1"]).valid) == {"i-1"}


def test_more_heartbeats_than_fit_into_one_read_are_all_found(ledger: Ledger, clock: "FakeClock") -> None:
    ids = [f"i-{number}" for number in range(103)]
    for instance_id in ids:
        ledger.beat(beat_of(instance_id, clock))

    assert set(ledger.heartbeats(ids).valid) == set(ids)


def test_keys_that_dynamodb_did_not_get_to_are_asked_for_again(
    cloud: "Cloud", ledger: Ledger, clock: "FakeClock", faults: "Faults"
) -> None:
    ledger.beat(beat_of("i-1", clock))
    key = {"sessionPath": {"S": "worker#i-1"}, "chunk": {"S": "heartbeat"}}
    nothing = {"Responses": {}, "UnprocessedKeys": {"ledger": {"Keys": [key]}}}
    faults.answer(cloud.dynamodb, "BatchGetItem", nothing)

    assert set(ledger.heartbeats(["i-1"]).valid) == {"i-1"}
    assert faults.hits["BatchGetItem"] == 1


def test_heartbeats_that_stay_unread_are_an_error_and_not_silence(
    cloud: "Cloud", ledger: Ledger, faults: "Faults"
) -> None:
    key = {"sessionPath": {"S": "worker#i-1"}, "chunk": {"S": "heartbeat"}}
    nothing = {"Responses": {}, "UnprocessedKeys": {"ledger": {"Keys": [key]}}}
    faults.answer(cloud.dynamodb, "BatchGetItem", nothing, times=100)

    with pytest.raises(LedgerError, match="throttled"):
        ledger.heartbeats(["i-1"])


def test_a_heartbeat_that_is_not_valid_is_named_and_spoils_no_other(
    cloud: "Cloud", ledger: Ledger, clock: "FakeClock"
) -> None:
    ledger.beat(beat_of("i-2", clock))
    cloud.dynamodb.put_item(
        TableName="ledger",
        Item={"sessionPath": {"S": "worker#i-1"}, "chunk": {"S": "heartbeat"}, "state": {"S": "asleep"}},
    )

    found = ledger.heartbeats(["i-1", "i-2", "i-3"])

    assert (set(found.valid), set(found.invalid)) == ({"i-2"}, {"i-1"})


# --- the table is away


def test_without_the_table_work_goes_on_and_a_warning_is_logged(
    cloud: "Cloud", ledger: Ledger, clock: "FakeClock", faults: "Faults", make_job: MakeJob
) -> None:
    faults.cut_off(cloud.dynamodb, "UpdateItem")
    job = make_job()

    with capture_logs() as logs:
        permitted = ledger.claim(job)
        ledger.queued(job)
        ledger.unclaim(job)
        ledger.processing(job, "i-1", attempts=1)
        ledger.handed_back(job, "stopping")
        ledger.finished(job, "completed")
        ledger.beat(beat_of("i-1", clock))

    assert permitted is Claim.UNKNOWN
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("ledger_unavailable", "warning")] * 7
    assert {entry["error"] for entry in logs} == {"EndpointConnectionError"}


def test_a_reader_is_told_that_the_table_is_away(
    cloud: "Cloud", ledger: Ledger, faults: "Faults", make_job: MakeJob
) -> None:
    faults.cut_off(cloud.dynamodb, "BatchGetItem")
    faults.refuse(cloud.dynamodb, "Query", 400, "ResourceNotFoundException")

    with pytest.raises(LedgerError):
        ledger.heartbeats(["i-1"])
    with pytest.raises(LedgerError):
        ledger.session_jobs(make_job().session_path)


# --- what people ask for


def test_a_cancelled_gap_is_not_queued_again_for_years(ledger: Ledger, clock: "FakeClock", make_job: MakeJob) -> None:
    assert ledger.cancel(make_job().session_path, "001", 100)

    clock.advance(3000 * DAY)
    assert not ledger.claim(make_job())
    assert not ledger.processing(make_job(), "i-1", attempts=1)


def test_new_audio_of_a_cancelled_chunk_is_queued_and_worked_on(ledger: Ledger, make_job: MakeJob) -> None:
    ledger.cancel(make_job().session_path, "001", 100)

    assert ledger.claim(make_job(size=101))
    assert ledger.processing(make_job(size=101), "i-1", attempts=1)


def test_a_cancellation_tells_whether_it_came_before_the_work(ledger: Ledger, make_job: MakeJob) -> None:
    job = make_job()
    ledger.processing(job, "i-1", attempts=1)

    assert not ledger.cancel(job.session_path, job.chunk, job.audio_size)
    assert ledger.session_jobs(job.session_path)["001"]["status"] == "processing"


def test_asking_again_frees_a_cancelled_chunk_at_once(ledger: Ledger, make_job: MakeJob) -> None:
    job = make_job()
    ledger.cancel(job.session_path, job.chunk, job.audio_size)

    assert ledger.requeue(job)

    assert not ledger.claim(job)  # its message is about to be sent
    assert ledger.processing(job, "i-1", attempts=1)


def test_a_worker_that_is_faster_than_the_confirmation_keeps_its_word(ledger: Ledger, make_job: MakeJob) -> None:
    job = make_job()
    ledger.claim(job)
    ledger.processing(job, "i-1", attempts=1)

    ledger.queued(job)

    assert ledger.session_jobs(job.session_path)["001"]["status"] == "processing"


def test_without_the_table_nothing_is_cancelled_and_that_is_said(
    cloud: "Cloud", ledger: Ledger, faults: "Faults", make_job: MakeJob
) -> None:
    faults.cut_off(cloud.dynamodb, "UpdateItem")

    with pytest.raises(LedgerError, match="nothing is cancelled"):
        ledger.cancel(make_job().session_path, "001", 100)
    assert not ledger.requeue(make_job())
