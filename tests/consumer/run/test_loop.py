"""A worker's run: when it works, when it holds still, and when it stops its instance."""

from typing import TYPE_CHECKING, Any

import pytest

from consumer.run.loop import WorkerBrokenError
from shared.formats.messages import ChunkJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.consumer.conftest import MakeCrew, OnLog, Refuse


def test_the_owned_instance_is_stopped_after_three_empty_polls(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)
    jobs = [one.job(chunk) for chunk in ("001", "002")]
    one.clock.advance(90)
    one.run()
    assert state_of(mine) == "stopped"
    assert [one.ledger_status(job) for job in jobs] == ["completed", "completed"]
    [report] = one.reports()
    assert report["status"] == "success"
    assert report["gpu"]["instanceId"] == mine
    assert report["gpu"]["weStartedIt"] is True
    assert report["gpu"]["costUSD"] == pytest.approx(90 / 3600 * 0.526, rel=0.1)
    assert report["transcription"]["chunksTranscribed"] == 2
    assert report["sessions"][0]["chunkNumbers"] == ["001", "002"]
    assert report["performance"]["modelLoadSeconds"] == 1.5


def test_an_instance_that_someone_else_started_is_never_stopped(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    theirs = instance(owned=False)
    one = crew(instance_id=theirs, until_empty=True)
    one.job()
    one.run()
    assert state_of(theirs) == "running"
    assert one.reports()[0]["gpu"]["weStartedIt"] is False


def test_an_instance_that_a_person_started_again_is_theirs(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True, started_seconds_ago=3600)  # and EC2 launched it just now
    one = crew(instance_id=mine)
    one.run()
    assert state_of(mine) == "running"


def test_two_empty_polls_do_not_end_the_run(crew: "MakeCrew", instance: "Callable[..., str]", on_log: "OnLog") -> None:
    # given: work comes after two empty polls, again and again
    one = crew(instance_id=instance(owned=True), until_empty=False)
    jobs: list[ChunkJob] = []
    empty: list[int] = []

    def after_two_empty_polls(event: dict[str, Any]) -> None:
        if event["event"] == "empty_poll":
            empty.append(event["in_a_row"])
            if empty[-1] == 2 and len(jobs) < 2:
                jobs.append(one.job(f"{len(empty):03d}"))

    on_log(after_two_empty_polls)
    one.run()
    assert [one.ledger_status(job) for job in jobs] == ["completed", "completed"]
    assert empty == [1, 2, 1, 2, 1, 2, 3]


def test_a_job_that_comes_while_the_worker_drains_is_still_done(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)
    jobs: list[ChunkJob] = []

    def on_draining() -> None:
        if one.heartbeat_state() == "draining" and not jobs:
            jobs.append(one.job())

    one.heart.beat()
    one.before_each_poll(on_draining)
    one.run()
    assert [one.ledger_status(job) for job in jobs] == ["completed"]
    assert state_of(mine) == "stopped"
    assert one.waiting() == (0, 0)


def test_with_the_lock_held_nothing_is_received_and_nothing_stopped_until_it_is_released(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)
    job = one.job()
    one.lock.take("bob", "live-1")
    seen: list[tuple[tuple[int, int], str, str]] = []

    def look() -> None:
        seen.append((one.waiting(), state_of(mine), one.heartbeat_state()))
        if len(seen) == 5:
            one.lock.release("bob", "live-1")

    one.clock.on_sleep = look
    one.run()
    assert seen[:5] == [((1, 0), "running", "locked")] * 5
    assert one.ledger_status(job) == "completed"
    assert state_of(mine) == "stopped"


def test_a_lock_taken_in_mid_work_sends_all_but_the_window_in_hand_back_at_once(crew: "MakeCrew") -> None:
    one = crew()
    jobs = [one.job(session=session) for session in ("s1", "s2", "s3", "s4")]

    def begin_a_live_session() -> None:
        one.lock.take("bob", "live-1")
        one.clock.advance(3)  # which the window takes the model

    one.transcriber.during = begin_a_live_session
    one.clock.on_sleep = one.stop.request
    one.run()
    assert one.transcriber.calls == 1
    assert sorted(one.ledger_status(job) for job in jobs) == ["completed", "queued", "queued", "queued"]
    assert one.waiting() == (3, 0)


def test_an_unreadable_lock_counts_as_held(crew: "MakeCrew") -> None:
    one = crew()
    one.job()
    one.cloud.s3.put_object(Bucket=one.settings.bucket, Key="batch-lock.json", Body=b"<html>")
    one.clock.on_sleep = one.stop.request
    one.run()
    assert one.waiting() == (1, 0)


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestTimeTooSkewed"])
def test_a_worker_that_is_refused_the_lock_for_its_own_sake_ends_for_a_fresh_start(
    crew: "MakeCrew", refuse: "Refuse", code: str
) -> None:
    one = crew(until_empty=False)
    one.job()
    refused = refuse(one.cloud.s3, "s3.GetObject", code, 400)
    with pytest.raises(WorkerBrokenError, match=code):
        one.run()
    assert refused() >= 3
    assert one.waiting() == (1, 0)


def test_a_moment_in_which_it_is_refused_ends_no_worker(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    job = one.job()
    refuse(one.cloud.s3, "s3.GetObject", "ExpiredToken", 400, times=3)
    one.run()
    assert one.ledger_status(job) == "completed"


def test_a_fleet_with_the_lock_switched_off_works_under_a_held_lock(crew: "MakeCrew") -> None:
    one = crew(lock_enabled=False)
    job = one.job()
    one.lock.take("bob", "live-1")
    one.run()
    assert one.ledger_status(job) == "completed"


def test_a_lock_taken_while_draining_keeps_the_instance(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)

    def on_draining() -> None:
        if one.heartbeat_state() == "draining":
            one.lock.take("bob", "live-1")

    one.heart.beat()
    one.before_each_poll(on_draining)
    one.clock.on_sleep = one.stop.request
    one.run()
    assert state_of(mine) == "running"


def test_a_lock_taken_while_the_report_is_written_keeps_the_instance_until_it_is_released(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)
    one.job()

    def on_report(params: "Mapping[str, Any]", **_: object) -> None:
        if params["url_path"].endswith(".html"):
            one.lock.take("bob", "live-1")

    one.cloud.s3.meta.events.register("before-call.s3.PutObject", on_report)
    seen: list[str] = []

    def look() -> None:
        seen.append(state_of(mine))
        if len(seen) == 3:
            one.lock.release("bob", "live-1")

    one.clock.on_sleep = look
    one.run()
    assert seen == ["running"] * 3
    assert state_of(mine) == "stopped"
    assert len(one.reports()) == 1


def test_a_request_to_stop_finishes_the_window_in_hand_and_gives_the_rest_back_at_once(
    crew: "MakeCrew", instance: "Callable[..., str]"
) -> None:
    one = crew(instance_id=instance(owned=True), until_empty=False)
    jobs = [one.job(session=session) for session in ("s1", "s2", "s3", "s4")]
    one.transcriber.during = one.stop.request
    one.run()
    assert sorted(one.ledger_status(job) for job in jobs) == ["completed", "queued", "queued", "queued"]
    assert one.waiting() == (3, 0)
    [report] = one.reports()
    assert (report["status"], report["transcription"]["chunksTranscribed"]) == ("interrupted", 1)


def test_a_request_to_stop_that_finds_the_worker_idle_interrupts_nothing(
    crew: "MakeCrew", instance: "Callable[..., str]", on_log: "OnLog"
) -> None:
    # given: the autoscaler stops the instance because it has been idle for long enough
    one = crew(instance_id=instance(owned=True), until_empty=False)
    one.job()
    on_log(lambda event: one.stop.request() if event["event"] == "empty_poll" else None)
    one.run()
    [report] = one.reports()
    assert (report["status"], report["reason"]) == ("success", None)


def test_when_stopping_is_refused_the_host_is_powered_off(
    crew: "MakeCrew", instance: "Callable[..., str]", refuse: "Refuse", tmp_path: "Path"
) -> None:
    powered_off = tmp_path / "powered-off"
    one = crew(instance_id=instance(owned=True), until_empty=False, power_off_command=f"touch '{powered_off}'")
    refuse(one.cloud.ec2, "ec2.StopInstances", "UnauthorizedOperation", 403)
    one.run()
    assert powered_off.exists()


def test_when_it_cannot_be_stopped_at_all_the_worker_stays_useful(
    crew: "MakeCrew", instance: "Callable[..., str]", refuse: "Refuse"
) -> None:
    one = crew(instance_id=instance(owned=True), until_empty=True)
    refuse(one.cloud.ec2, "ec2.StopInstances", "UnauthorizedOperation", 403)
    one.run()
    assert one.heartbeat_state() == "idle"  # no longer draining: it counts as capacity again


def test_an_instance_that_cannot_be_described_is_not_stopped(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]", refuse: "Refuse"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=True)
    refuse(one.cloud.ec2, "ec2.DescribeInstances", "RequestLimitExceeded", 503, times=1)
    one.run()
    assert state_of(mine) == "running"


def test_a_queue_that_is_away_for_a_while_ends_nothing(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    job = one.job()
    refuse(one.cloud.sqs, "sqs.ReceiveMessage", "ServiceUnavailable", 503, times=5)
    one.run()
    assert one.ledger_status(job) == "completed"


def test_a_queue_that_may_not_be_read_ends_the_process(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew()
    refuse(one.cloud.sqs, "sqs.ReceiveMessage", "AccessDenied", 403)
    with pytest.raises(one.cloud.sqs.exceptions.ClientError, match="AccessDenied"):
        one.run()


def test_a_report_that_cannot_be_written_does_not_keep_the_gpu_running(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]", refuse: "Refuse"
) -> None:
    mine = instance(owned=True)
    one = crew(instance_id=mine, until_empty=False)
    refuse(one.cloud.s3, "s3.PutObject", "AccessDenied", 403)
    one.run()
    assert state_of(mine) == "stopped"


def test_the_report_repeats_the_newest_scan(crew: "MakeCrew") -> None:
    one = crew()
    one.job()
    body = b'{"totalSessions": 9, "totalMissingChunks": 4, "sessionsWithMissingChunks": 2, "more": 1}'
    one.cloud.s3.put_object(Bucket=one.settings.bucket, Key="batch-data/pending-jobs.json", Body=body)
    one.run()
    assert one.reports()[0]["scan"] == {
        "sessionsScanned": 9,
        "totalMissingChunks": 4,
        "sessionsWithMissingChunks": 2,
    }


def test_a_run_in_which_all_jobs_failed_is_reported_so(crew: "MakeCrew") -> None:
    one = crew()
    one.job(audio=b"")
    one.run()
    [report] = one.reports()
    assert (report["status"], report["transcription"]["successRate"]) == ("failed", 0)
    assert report["errors"][0]["reason"] == "audio-empty"
    assert report["sessions"][0]["status"] == "failed"


def test_where_instances_are_kept_without_work_a_worker_stays_for_an_hour_of_empty_polls(
    crew: "MakeCrew", instance: "Callable[..., str]", on_log: "OnLog", monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: an hour that has room for five polls
    monkeypatch.setattr("shared.settings._KEPT_SECONDS", 5)
    one = crew(instance_id=instance(owned=True), until_empty=False, min_instances=1, max_empty_polls=3)
    empty: list[int] = []
    on_log(lambda event: empty.append(event["in_a_row"]) if event["event"] == "empty_poll" else None)
    one.run()
    assert empty == [1, 2, 3, 4, 5]
