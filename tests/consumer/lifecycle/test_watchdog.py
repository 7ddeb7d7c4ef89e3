"""Signs of life come from progress: a worker that hangs alive must fall silent, one that works or waits must not."""

from typing import TYPE_CHECKING

import pytest

from consumer.lifecycle.watchdog import Watchdog, WorkerProgress
from consumer.model.transcriber import Speech, Transcription

if TYPE_CHECKING:
    from tests.consumer.conftest import Crew, MakeCrew


def progress_of(one: "Crew") -> WorkerProgress:
    return WorkerProgress(one.heart, one.leases, one.settings, one.clock)


def begin_a_job(one: "Crew") -> None:
    one.job()
    messages = one.queue.receive(1, wait=False)
    one.leases.hold(messages)
    one.leases.begin(messages[0])


def test_a_loop_that_no_longer_turns_is_a_problem_and_one_that_turns_again_is_none(crew: "MakeCrew") -> None:
    one = crew(lock_poll_seconds=10)
    progress = progress_of(one)
    one.clock.advance(190)
    assert progress.problem() is None
    one.clock.advance(1)
    assert progress.problem() == "the loop has not turned for 191 s"
    one.heart.tick()
    assert progress.problem() is None


def test_a_loop_that_waits_for_the_lock_with_long_pauses_does_not_hang(crew: "MakeCrew") -> None:
    one = crew(lock_poll_seconds=300)
    one.clock.advance(301)
    assert progress_of(one).problem() is None


def test_a_job_that_outlived_its_deadline_is_a_problem_though_the_loop_turns(crew: "MakeCrew") -> None:
    # given: the keeper of the leases, which should have ended the process by now, hangs as well
    one = crew(job_deadline_seconds=600, visibility_timeout_seconds=30)
    progress = progress_of(one)
    begin_a_job(one)
    one.clock.advance(730)
    one.heart.tick()
    assert progress.problem() is None
    one.clock.advance(1)
    assert progress.problem() == "a job has been at work for 731 s"


def test_a_job_that_waits_for_the_model_has_no_age(crew: "MakeCrew") -> None:
    one = crew()
    one.job()
    messages = one.queue.receive(1, wait=False)
    one.leases.hold(messages)
    one.leases.begin(messages[0])
    one.leases.pause(messages[0])
    one.clock.advance(5000)
    one.heart.tick()
    assert progress_of(one).problem() is None


def test_progress_is_seen_while_the_keeper_of_the_leases_hangs_in_a_call(crew: "MakeCrew") -> None:
    # given: a call to SQS that does not return, under the keeper's lock
    one = crew()
    progress = progress_of(one)
    begin_a_job(one)
    seen: list[str | None] = []
    one.cloud.sqs.meta.events.register(
        "before-call.sqs.ChangeMessageVisibilityBatch", lambda **_: seen.append(progress.problem())
    )
    one.leases.extend_all()
    assert seen == [None]


def test_an_idle_worker_shows_progress_at_every_poll(crew: "MakeCrew") -> None:
    one = crew(max_empty_polls=5)
    progress = progress_of(one)
    seen = []

    def a_slow_poll() -> None:
        one.clock.advance(150)
        seen.append(progress.problem())

    one.before_each_poll(a_slow_poll)
    one.run()
    assert seen == [None] * 6  # five empty polls and the last one before the end


def test_a_worker_that_waits_for_a_live_session_shows_progress(crew: "MakeCrew") -> None:
    one = crew(lock_poll_seconds=60)
    progress = progress_of(one)
    one.lock.take("bob", "live")
    seen: list[str | None] = []

    def while_it_waits() -> None:
        seen.append(progress.problem())
        if len(seen) == 2000:
            one.lock.release("bob", "live")

    one.clock.on_sleep = while_it_waits
    one.run()
    assert len(seen) >= 2000  # of half a second each: a quarter of an hour
    assert set(seen) == {None}


def test_a_worker_whose_model_hangs_falls_silent(crew: "MakeCrew") -> None:
    one = crew(job_deadline_seconds=60, visibility_timeout_seconds=30)
    progress = progress_of(one)
    signs: list[bool] = []
    watchdog = Watchdog(progress.problem, [lambda: signs.append(True)], None)
    counts = []

    def hang(speech: Speech) -> Transcription:
        for _ in range(12):
            one.clock.advance(30)
            one.heart.tick()  # the loop itself goes on
            watchdog.look()
            counts.append(len(signs))
        raise AssertionError("ended by the test")

    one.transcriber.heard = hang
    one.job()
    one.work()
    # signs for the deadline, a turn of the keeper and its slack (190 s), and none after that
    assert counts == [1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]


def test_signs_go_to_everyone_who_watches_and_come_back_with_progress() -> None:
    problems = iter([None, "stuck", "stuck", None])
    first: list[str] = []
    second: list[str] = []
    watchdog = Watchdog(lambda: next(problems), [lambda: first.append("."), lambda: second.append(".")], None)
    counts = []
    for _ in range(4):
        watchdog.look()
        counts.append((len(first), len(second)))
    assert counts == [(1, 1), (1, 1), (1, 1), (2, 2)]


def test_a_watched_worker_gives_its_first_sign_at_once() -> None:
    signs: list[str] = []
    with Watchdog(lambda: None, [lambda: signs.append(".")], 3600).running():
        assert signs == ["."]


def test_an_unwatched_worker_gives_no_signs() -> None:
    def never() -> None:
        pytest.fail("nobody watches")

    with Watchdog(lambda: None, [never], None).running():
        pass
