"""A worker that dies before it has finished a session leaves a message behind, from which another one finishes it."""

from typing import TYPE_CHECKING

from consumer.publish import read_if_there
from shared.layout import session_path

if TYPE_CHECKING:
    from tests.consumer.conftest import Crew, MakeCrew, Refuse

WHOLE = f"{session_path('alice', 's1')}/transcription.json"


def is_finished(one: "Crew") -> bool:
    return read_if_there(one.cloud.s3, one.settings.bucket, WHOLE) is not None


def test_of_a_sessions_jobs_one_message_stays_until_the_session_was_looked_at(crew: "MakeCrew") -> None:
    one = crew()
    for chunk in ("001", "002", "003"):
        one.job(chunk)

    one.work(and_finish=False)

    assert one.waiting() == (0, 1)


def test_each_session_has_a_reminder_of_its_own(crew: "MakeCrew") -> None:
    one = crew()
    one.job("001", session="s1")
    one.job("001", session="s2")

    one.work(and_finish=False)

    assert one.waiting() == (0, 2)


def test_the_kept_message_is_leased_for_as_long_as_the_worker_lives(crew: "MakeCrew") -> None:
    one = crew(visibility_timeout_seconds=30, job_deadline_seconds=60)
    one.job("001")
    one.work(and_finish=False)
    (kept,) = one.worker.reminders.take_all()

    for _ in range(10):
        one.clock.advance(20)
        one.leases.extend_all()

    one.leases.check(kept)
    assert not one.hung, "nobody works on it, so it does not hang"


def test_what_a_dead_worker_has_left_unfinished_is_finished_by_the_next_one(crew: "MakeCrew") -> None:
    dead = crew(scan_min_age_seconds=0)
    for chunk in ("001", "002"):
        dead.job(chunk)
    dead.work(and_finish=False)
    dead.worker.queue.set_visibility(dead.worker.reminders.take_all(), 0)  # its lease has run out
    assert not is_finished(dead)

    heir = crew(scan_min_age_seconds=0)
    heir.runner.run()

    assert is_finished(heir)
    assert heir.waiting() == (0, 0)
    assert heir.transcriber.calls == 0
    assert [report["transcription"]["chunksSkipped"] for report in heir.reports()] == [1]


def test_a_session_that_s3_does_not_let_be_finished_is_passed_on_at_the_end_of_the_run(
    crew: "MakeCrew", refuse: "Refuse"
) -> None:
    one = crew(scan_min_age_seconds=0)
    one.job("001")
    failed = refuse(one.cloud.s3, "s3.ListObjectsV2", "SlowDown", 503)

    one.runner.run()

    assert failed() > 0
    assert one.waiting() == (1, 0)


def test_the_same_message_delivered_once_more_is_kept_once(crew: "MakeCrew") -> None:
    one = crew()
    one.job("001")
    one.work(and_finish=False)
    kept = one.worker.reminders.of(session_path("alice", "s1"))
    assert kept is not None
    one.worker.queue.set_visibility([kept], 0)

    one.work(and_finish=False)

    again = one.worker.reminders.of(session_path("alice", "s1"))
    assert again is not None
    assert (again.message_id, again.receipt != kept.receipt) == (kept.message_id, True)
    assert one.waiting() == (0, 1)


def test_a_look_that_began_before_the_last_job_ended_settles_nothing(crew: "MakeCrew") -> None:
    one = crew()
    path = session_path("alice", "s1")
    one.job("001")
    one.work(and_finish=False)
    before = one.worker.reminders.of(path)
    one.job("002")
    one.work(and_finish=False)

    one.worker.reminders.settle(path, before)
    assert one.waiting() == (0, 1)

    one.worker.reminders.settle(path, one.worker.reminders.of(path))
    assert one.waiting() == (0, 0)
