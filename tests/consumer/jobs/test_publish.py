"""A write that S3 refuses is only lost against a transcript that stands."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.consumer.conftest import MakeCrew, Refuse


def test_a_write_that_is_refused_though_nothing_stands_is_made_again(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    job = one.job()
    refused = refuse(one.cloud.s3, "s3.PutObject", "PreconditionFailed", 412, times=1)
    one.work()
    assert refused() == 1
    assert one.transcript(job)["text"] == "hello you"
    assert one.ledger_status(job) == "completed"


def test_a_job_whose_writes_are_all_refused_though_nothing_stands_keeps_its_message(
    crew: "MakeCrew", refuse: "Refuse"
) -> None:
    one = crew(retry_backoff_seconds=0)
    job = one.job()
    refuse(one.cloud.s3, "s3.PutObject", "PreconditionFailed", 412)
    one.work()
    assert one.waiting() == (1, 0)
    assert one.ledger_status(job) == "queued"


def test_a_transcript_that_is_deleted_while_its_forced_job_is_in_work_is_written_anew(crew: "MakeCrew") -> None:
    one = crew(retry_backoff_seconds=0)
    one.cloud.put_transcript("alice", "s1", "001", {"segments": [], "source": "live"})
    one.clock.advance(5)
    job = one.job(force=True)

    def delete() -> None:
        one.cloud.s3.delete_object(Bucket=job.bucket, Key=job.transcript_key)

    one.transcriber.during = delete
    one.work()
    assert one.waiting() == (1, 0), "nothing stands, so the job is not done"
    one.transcriber.during = lambda: None
    one.work()
    assert one.transcript(job)["text"] == "hello you"
