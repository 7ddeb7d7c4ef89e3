"""The life of one job, and the ways in which it can end."""

import json
from typing import TYPE_CHECKING

import pytest

from consumer.run.loop import WorkerBrokenError

if TYPE_CHECKING:
    from tests.consumer.conftest import MakeCrew, Refuse


def test_a_gap_is_transcribed_published_and_its_message_deleted(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job("007")
    one.work()
    transcript = one.transcript(job)
    assert transcript["text"] == "hello you"
    assert (transcript["chunkIndex"], transcript["segmentCount"], transcript["wordCount"]) == (7, 1, 2)
    assert 0.5 < transcript["duration"] < 1.5
    assert transcript["source"] == "batch"
    assert one.waiting() == (0, 0)
    assert one.ledger_status(job) == "completed"


def test_the_transcript_has_the_fields_of_the_contract(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    one.work()
    transcript = one.transcript(job)
    assert set(transcript) == {
        "schema", "sessionId", "userId", "chunkIndex", "audioKey", "language", "languageProbability", "duration",
        "model", "device", "segments", "segmentCount", "wordCount", "text", "source", "uploadedAt",
    }  # fmt: skip
    assert set(transcript["segments"][0]) == {"text", "start", "end", "is_final", "words"}
    assert set(transcript["segments"][0]["words"][0]) == {"word", "start", "end", "probability"}


def test_a_chunk_whose_transcript_appeared_meanwhile_is_skipped(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    one.cloud.put_transcript("alice", "s1", "001", {"segments": [], "source": "live"})
    one.work()
    assert one.transcript(job) == {"segments": [], "source": "live"}
    assert one.transcriber.calls == 0
    assert one.waiting() == (0, 0)
    assert one.ledger_status(job) == "skipped"


def test_two_workers_with_the_same_job_publish_one_result(crew: "MakeCrew") -> None:
    # given: a second worker that gets the same job and publishes while the first one still transcribes
    second = crew(receive_max_jobs=1)
    first = crew(receive_max_jobs=1)
    job = first.job()
    first.send(job.to_json())
    first.transcriber.during = second.work
    second.transcriber.model_name = "second"
    # when
    first.work()
    # then: the faster result stands, the slower one is dropped, no message is left
    assert (first.transcriber.calls, second.transcriber.calls) == (1, 1)
    assert first.transcript(job)["model"] == "second"
    assert first.waiting() == (0, 0)
    assert (first.reporter.record.skipped, second.reporter.record.completed) == (1, 1)


def test_a_forced_job_replaces_the_transcript_that_stood(crew: "MakeCrew") -> None:
    one = crew()
    one.cloud.put_transcript("alice", "s1", "001", {"segments": [], "source": "live"})
    one.clock.advance(5)
    job = one.job(force=True)
    one.work()
    assert one.transcript(job)["text"] == "hello you"


def test_a_forced_job_that_is_delivered_twice_is_done_once(crew: "MakeCrew") -> None:
    one = crew()
    one.clock.advance(-3600)  # queued long before its result is written
    job = one.job(force=True)
    one.send(job.to_json())
    one.work()
    one.work()
    assert one.transcriber.calls == 1
    assert one.waiting() == (0, 0)


def test_a_forced_job_does_not_replace_what_changed_while_it_was_in_work(crew: "MakeCrew") -> None:
    one = crew()
    one.cloud.put_transcript("alice", "s1", "001", {"segments": [], "source": "live"})
    one.clock.advance(5)
    job = one.job(force=True)
    newer = {"segments": [], "source": "someone else's"}

    def replace() -> None:
        one.cloud.put_transcript("alice", "s1", "001", newer)

    one.transcriber.during = replace
    one.work()
    assert one.transcript(job) == newer


BROKEN_AUDIO = {
    "audio-empty": b"",
    "audio-not-audio": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
}


@pytest.mark.parametrize("reason", sorted(BROKEN_AUDIO))
def test_broken_audio_goes_to_the_dead_letter_queue_and_the_session_goes_on(crew: "MakeCrew", reason: str) -> None:
    one = crew()
    broken = one.job("001", audio=BROKEN_AUDIO[reason])
    whole = one.job("002")
    one.work()
    one.work()
    assert one.dead_letters() == [(reason, broken.to_json())]
    assert one.ledger_status(broken) == "failed"
    assert one.transcript(whole)["text"] == "hello you"
    assert one.waiting() == (0, 0)
    assert [(e.chunk, e.reason) for e in one.reporter.record.errors] == [("001", reason)]


def test_a_chunk_deleted_after_it_was_queued_goes_to_the_dead_letter_queue(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    one.cloud.s3.delete_object(Bucket=job.bucket, Key=job.audio_key)
    one.work()
    assert [reason for reason, _ in one.dead_letters()] == ["audio-gone"]


BAD_MESSAGES = {
    "message-not-json": "hello",
    "message-unknown-version": json.dumps({"version": 9, "kind": "chunk"}),
    "message-unknown-kind": json.dumps({"jobId": "1", "s3Key": "x"}),
    "message-invalid": json.dumps({"version": 1, "kind": "chunk", "bucket": "recordings"}),
}


@pytest.mark.parametrize("reason", sorted(BAD_MESSAGES))
def test_a_bad_message_goes_to_the_dead_letter_queue_with_its_reason(crew: "MakeCrew", reason: str) -> None:
    one = crew()
    one.send(BAD_MESSAGES[reason])
    one.work()
    assert one.dead_letters() == [(reason, BAD_MESSAGES[reason])]
    assert one.waiting() == (0, 0)


def test_a_job_of_another_bucket_is_refused(crew: "MakeCrew") -> None:
    one = crew()
    one.job(bucket="somebody-elses")
    one.work()
    assert [reason for reason, _ in one.dead_letters()] == ["message-foreign-bucket"]


def test_when_the_dead_letter_queue_is_away_the_message_stays(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    one.send("hello")
    refuse(one.cloud.sqs, "sqs.SendMessage", "AccessDenied", 403)
    one.work()
    assert one.waiting() == (0, 1)


def test_a_message_is_held_for_as_long_as_its_dead_letter_is_tried(crew: "MakeCrew", refuse: "Refuse") -> None:
    # given: the tries take longer than a lease
    one = crew(visibility_timeout_seconds=3)
    one.send("hello")
    refused = refuse(one.cloud.sqs, "sqs.SendMessage", "ServiceUnavailable", 503, times=3)
    extended: list[str] = []
    hook = "before-call.sqs.ChangeMessageVisibilityBatch"
    one.cloud.sqs.meta.events.register(hook, lambda **_: extended.append("once"))
    one.clock.on_sleep = one.leases.extend_all
    one.work()
    assert refused() == 3
    assert extended == ["once"] * 3
    assert [reason for reason, _ in one.dead_letters()] == ["message-not-json"]
    assert one.waiting() == (0, 0)


def test_a_deletion_that_is_tried_again_makes_no_second_dead_letter(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    one.send("hello")
    refused = refuse(one.cloud.sqs, "sqs.DeleteMessage", "ServiceUnavailable", 503, times=2)
    one.work()
    assert refused() == 2
    assert len(one.dead_letters()) == 1
    assert one.waiting() == (0, 0)


def test_a_call_that_fails_for_a_moment_is_tried_again_in_place(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    job = one.job()
    failures = refuse(one.cloud.s3, "s3.PutObject", "SlowDown", 503, times=2)
    began = one.clock.monotonic()
    one.work()
    assert one.transcript(job)["text"] == "hello you"
    assert failures() == 2
    assert 3 <= one.clock.monotonic() - began <= 4.5  # 1 s and 2 s apart, with jitter


def test_a_conflict_of_two_conditional_writes_is_tried_again(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    job = one.job()
    refuse(one.cloud.s3, "s3.PutObject", "ConditionalRequestConflict", 409, times=1)
    one.work()
    assert one.ledger_status(job) == "completed"


def test_a_job_that_keeps_failing_is_delivered_again_later_and_later(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew(retry_backoff_seconds=30, lock_enabled=False)
    job = one.job()
    refuse(one.cloud.s3, "s3.GetObject", "SlowDown", 503)
    one.work()
    assert one.waiting() == (0, 1)  # hidden until its delay is over
    assert one.ledger_status(job) == "queued"


def test_a_job_that_failed_too_often_goes_to_the_dead_letter_queue_with_the_last_error(
    crew: "MakeCrew", refuse: "Refuse"
) -> None:
    one = crew(max_receives=2, retry_backoff_seconds=0, lock_enabled=False)
    job = one.job()
    refuse(one.cloud.s3, "s3.GetObject", "AccessDenied", 403)
    one.work()
    one.work()
    assert [reason for reason, _ in one.dead_letters()] == ["attempts-exhausted"]
    assert one.ledger_status(job) == "failed"
    assert "AccessDenied" in one.reporter.record.errors[0].detail


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("ExpiredToken", 400), ("RequestTimeTooSkewed", 403)])
def test_an_outage_is_not_held_against_a_job_however_often_it_strikes(
    crew: "MakeCrew", refuse: "Refuse", code: str, status: int
) -> None:
    one = crew(max_receives=1, retry_backoff_seconds=0, lock_enabled=False)
    one.job()
    refuse(one.cloud.s3, "s3.GetObject", code, status)
    one.work()
    one.work()
    assert one.dead_letters() == []
    assert one.waiting() == (1, 0)


def test_an_access_that_is_denied_is_not_retried_in_place(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew(lock_enabled=False)
    one.job()
    failures = refuse(one.cloud.s3, "s3.GetObject", "AccessDenied", 403)
    one.work()
    assert failures() == 1
    assert one.waiting() == (1, 0)


def test_an_unexpected_error_in_one_job_does_not_stop_the_next(crew: "MakeCrew") -> None:
    one = crew()
    one.job("001")

    def fail_once() -> None:
        one.transcriber.during = lambda: None
        raise IndexError("list index out of range")

    one.transcriber.during = fail_once
    second = one.job("002")
    one.work()
    one.work()
    assert one.ledger_status(second) == "completed"
    assert one.waiting() == (0, 0)


def test_three_unexpected_errors_in_a_row_end_the_process(crew: "MakeCrew") -> None:
    one = crew(retry_backoff_seconds=30)
    for chunk in ("001", "002", "003", "004"):
        one.job(chunk)

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    one.transcriber.during = fail
    with pytest.raises(WorkerBrokenError):
        one.run()
    assert one.waiting() == (1, 3)  # the fourth job went back at once, the others after their delay


def test_a_result_is_not_published_once_the_lease_is_lost(crew: "MakeCrew") -> None:
    # given: the lease runs out in mid-work, so another worker may have the job
    one = crew(visibility_timeout_seconds=30)
    job = one.job()
    one.transcriber.during = lambda: one.clock.advance(31)
    one.work()
    listed = one.cloud.s3.list_objects_v2(Bucket=job.bucket, Prefix=job.transcript_key)
    assert listed["KeyCount"] == 0
    assert one.waiting() == (0, 1)  # neither deleted nor given back: it is no longer ours


def test_with_the_ledger_away_the_work_goes_on(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    one.cloud.dynamodb.delete_table(TableName=one.settings.table_name)
    one.work()
    assert one.transcript(job)["text"] == "hello you"
    assert one.waiting() == (0, 0)


def test_priority_jobs_are_taken_before_the_backlog(crew: "MakeCrew") -> None:
    one = crew(receive_max_jobs=1)
    backlog = one.job("001")
    urgent = one.job("002")
    one.cloud.sqs.purge_queue(QueueUrl=one.settings.jobs_queue_url)
    one.send(backlog.to_json())
    one.send(urgent.to_json(), one.settings.priority_queue_url)
    one.work()
    assert one.ledger_status(urgent) == "completed"
    assert one.waiting() == (1, 0)
