"""Jobs that people have called off, and asked for again, as a worker meets them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.formats.messages import ChunkJob
    from tests.consumer.conftest import Crew, MakeCrew


def cancelled(one: "Crew", chunk: str = "001") -> "ChunkJob":
    job = one.job(chunk)
    one.ledger.cancel(job.session_path, job.chunk, job.audio_size)
    return job


def test_a_cancelled_job_is_dropped_before_any_work(crew: "MakeCrew") -> None:
    one = crew()
    gone, done = cancelled(one, "001"), one.job("002")
    one.work()
    assert one.transcriber.calls == 1
    assert (one.ledger_status(gone), one.ledger_status(done)) == ("cancelled", "completed")
    assert one.waiting() == (0, 0)
    assert one.dead_letters() == []
    assert one.cloud.s3.list_objects_v2(Bucket=gone.bucket, Prefix=gone.transcript_key)["KeyCount"] == 0


def test_a_job_that_is_cancelled_while_in_work_is_finished(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()

    def cancel() -> None:
        one.ledger.cancel(job.session_path, job.chunk, job.audio_size)

    one.transcriber.during = cancel
    one.work()
    assert one.transcript(job)["text"] == "hello you"
    assert one.ledger_status(job) == "completed"


def test_a_job_that_is_cancelled_while_in_work_and_goes_back_is_dropped_then(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    ledger = one.ledger
    ledger.processing(job, "i-other", 1)
    assert not ledger.cancel(job.session_path, job.chunk, job.audio_size)
    ledger.handed_back(job, "the instance was reclaimed")
    one.work()
    assert (one.transcriber.calls, one.waiting(), one.ledger_status(job)) == (0, (0, 0), "cancelled")


def test_a_chunk_that_is_asked_for_again_is_worked_on(crew: "MakeCrew") -> None:
    one = crew()
    job = cancelled(one)
    one.ledger.requeue(job)
    one.work()
    assert one.transcript(job)["text"] == "hello you"


def test_with_the_ledger_away_nothing_counts_as_cancelled(crew: "MakeCrew") -> None:
    one = crew()
    job = cancelled(one)
    one.cloud.dynamodb.delete_table(TableName=one.settings.table_name)
    one.work()
    assert one.transcript(job)["text"] == "hello you"
