"""A worker writes a session's transcript when its last gap is filled, and nothing that goes wrong there fails a job."""

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from consumer.jobs.stages import JobRecord
from consumer.run import session_finisher
from consumer.run.session_finisher import SessionFinisher
from shared.aws.storage import read_if_there
from shared.formats.layout import session_path
from shared.formats.messages import chunk_job
from shared.session.finalise import SessionFinaliser

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cloud, FakeClock
    from tests.consumer.conftest import Crew, MakeCrew, Refuse

PATH = session_path("alice", "s1")


def session_transcript(one: "Crew", path: str = PATH) -> dict[str, Any] | None:
    body = read_if_there(one.cloud.s3, one.settings.bucket, f"{path}/transcription.json")
    if body is None:
        return None
    content: dict[str, Any] = json.loads(body)
    return content


def live(word: str) -> dict[str, Any]:
    return {"segments": [{"text": word, "start": 1, "end": 2, "is_final": True}]}


def test_when_the_last_gap_is_filled_the_session_gets_its_transcript(crew: "MakeCrew") -> None:
    one = crew(scan_min_age_seconds=0)
    one.cloud.put_audio("alice", "s1", "001")
    one.cloud.put_transcript("alice", "s1", "001", live("Before."))
    one.job("002")

    one.run()

    made = session_transcript(one)
    assert made is not None
    assert (made["status"], made["missingChunks"]) == ("completed", [])
    assert made["text"].startswith("Before. hello you")
    assert (made["metadata"]["liveChunks"], made["metadata"]["batchChunks"]) == (1, 1)


def test_while_gaps_are_left_there_is_no_session_transcript(crew: "MakeCrew") -> None:
    one = crew(scan_min_age_seconds=0)
    one.cloud.put_audio("alice", "s1", "009")
    job = one.job("002")

    one.run()

    assert one.ledger_status(job) == "completed"
    assert session_transcript(one) is None


def test_where_the_only_gaps_left_are_broken_for_good_the_transcript_is_a_partial_one(crew: "MakeCrew") -> None:
    one = crew(scan_min_age_seconds=0)
    one.job("001")
    one.job("002", audio=b"this is no audio at all")

    one.run()

    made = session_transcript(one)
    assert made is not None
    assert (made["status"], made["missingChunks"]) == ("partial", ["002"])


def test_a_session_that_may_still_be_going_on_is_left_alone(crew: "MakeCrew") -> None:
    one = crew(scan_min_age_seconds=600)
    one.job("001")

    one.run()

    assert session_transcript(one) is None


def test_a_session_transcript_that_cannot_be_written_fails_no_job_and_no_run(
    crew: "MakeCrew", refuse: "Refuse"
) -> None:
    one = crew(scan_min_age_seconds=0)
    job = one.job("001")
    failed = refuse(one.cloud.s3, "s3.ListObjectsV2", "AccessDenied", 403, times=2)

    one.run()

    assert failed() == 2
    assert session_transcript(one) is None
    assert one.ledger_status(job) == "completed"
    assert one.waiting() == (0, 0)
    assert [report["status"] for report in one.reports()] == ["success"]


def test_a_defect_in_assembling_fails_no_job_and_no_run(crew: "MakeCrew", monkeypatch: pytest.MonkeyPatch) -> None:
    one = crew(scan_min_age_seconds=0)
    job = one.job("001")

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shared.session.finalise.assemble", broken)

    one.run()

    assert one.ledger_status(job) == "completed"
    assert [report["status"] for report in one.reports()] == ["success"]


def test_after_a_request_to_stop_what_is_complete_is_still_finished_in_the_time_left(crew: "MakeCrew") -> None:
    one = crew(scan_min_age_seconds=0)
    job = one.job("001")
    one.transcriber.during = one.stop.request

    one.run()

    assert one.ledger_status(job) == "completed"
    assert session_transcript(one) is not None


def finisher(
    cloud: "Cloud", clock: "FakeClock", held: "Callable[[], bool]", told: list[str], *, young_for: int = 0
) -> SessionFinisher:
    settings = cloud.settings_with(scan_min_age_seconds=young_for)
    finaliser = SessionFinaliser.from_settings(cloud.s3, settings, clock)
    return SessionFinisher(finaliser, settings, clock, held, lambda done: told.append(done.folder.session_id))


def ended(cloud: "Cloud", clock: "FakeClock", chunk: str = "001") -> JobRecord:
    key = cloud.put_audio("alice", "s1", chunk)
    job = chunk_job(bucket=cloud.settings.bucket, audio_key=key, audio_size=5, enqueued_at=clock.now())
    cloud.put_transcript("alice", "s1", chunk)
    return JobRecord(job, "completed")


def test_a_session_is_looked_at_once_its_jobs_have_been_quiet_for_a_while(cloud: "Cloud", clock: "FakeClock") -> None:
    told: list[str] = []
    one = finisher(cloud, clock, lambda: False, told)
    with one.running():
        one.ended(ended(cloud, clock))
        assert one.wait(5)
        early = list(told)
        clock.advance(6)
        one.hurry()
        assert one.wait(10)

    assert (early, told) == ([], ["s1"])


def test_nothing_begins_while_a_live_session_holds_the_lock(cloud: "Cloud", clock: "FakeClock") -> None:
    told: list[str] = []
    holders = [True]
    one = finisher(cloud, clock, lambda: bool(holders), told)
    with one.running():
        one.ended(ended(cloud, clock))
        one.hurry()
        assert one.wait(10)
        while_held = list(told)
        holders.clear()
        one.hurry()
        assert one.wait(10)

    assert (while_held, told) == ([], ["s1"])


def test_where_the_host_ends_at_once_the_report_does_not_wait_for_a_session(
    cloud: "Cloud", clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_finisher, "_LAST_SECONDS", 60.0)
    begun, may_end = threading.Event(), threading.Event()

    def takes_long() -> bool:
        begun.set()
        return may_end.wait(60)

    one = finisher(cloud, clock, takes_long, [])
    try:
        with one.running(must_abort=lambda: True):
            one.ended(ended(cloud, clock))
            one.hurry()
            assert begun.wait(10)
            began = time.monotonic()
        assert time.monotonic() - began < 20
    finally:
        may_end.set()


def test_a_job_that_ends_later_has_the_session_looked_at_again(cloud: "Cloud", clock: "FakeClock") -> None:
    told: list[str] = []
    one = finisher(cloud, clock, lambda: False, told)
    with one.running():
        for chunk in ("001", "002"):
            one.ended(ended(cloud, clock, chunk))
            one.hurry()
            assert one.wait(10)
        one.hurry()
        assert one.wait(10)

    assert told == ["s1", "s1"]


def test_a_young_session_is_looked_at_when_it_is_no_longer_young(cloud: "Cloud", clock: "FakeClock") -> None:
    told: list[str] = []
    one = finisher(cloud, clock, lambda: False, told, young_for=600)
    with one.running():
        one.ended(ended(cloud, clock))
        one.hurry()
        assert one.wait(10)
        while_young = list(told)
        clock.advance(700)
        assert not one.wait(0)
        assert one.wait(10)

    assert (while_young, told) == ([], ["s1"])


def test_a_session_without_audio_is_young_by_its_transcripts(cloud: "Cloud", clock: "FakeClock") -> None:
    told: list[str] = []
    one = finisher(cloud, clock, lambda: False, told, young_for=600)
    with one.running():
        record = ended(cloud, clock)
        assert record.job is not None
        cloud.s3.delete_object(Bucket=cloud.settings.bucket, Key=record.job.audio_key)
        one.ended(record)
        one.hurry()
        assert one.wait(10)
        while_young = list(told)
        clock.advance(700)
        assert not one.wait(0)
        assert one.wait(10)

    assert (while_young, told) == ([], ["s1"])
