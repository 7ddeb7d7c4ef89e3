"""A worker receives no jobs while AWS fails them."""

import itertools
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, EndpointConnectionError

from consumer.jobs.breaker import ReceiveBreaker
from tests.conftest import FakeClock

if TYPE_CHECKING:
    from tests.consumer.conftest import MakeCrew, Refuse


def back() -> None:
    """S3 answers."""


def away() -> None:
    raise EndpointConnectionError(endpoint_url="https://s3")


def denied() -> None:
    raise ClientError({"Error": {"Code": "AccessDenied"}}, "HeadObject")


def test_while_all_is_well_there_is_all_the_room(clock: FakeClock) -> None:
    breaker = ReceiveBreaker(clock)
    assert breaker.room(10, idle=False) == 10
    assert breaker.room(0, idle=True) == 0


def test_after_an_outage_nothing_is_taken_for_a_while_and_then_one_job_to_see(clock: FakeClock) -> None:
    breaker = ReceiveBreaker(clock)
    breaker.failed(back)
    assert breaker.room(10, idle=True) == 0
    clock.advance(5)
    assert breaker.room(10, idle=False) == 0, "what is in hand may tell"
    assert breaker.room(10, idle=True) == 1
    breaker.worked()
    assert breaker.room(10, idle=False) == 10


def test_as_long_as_the_service_is_away_no_job_is_risked_and_it_is_asked_every_few_seconds(clock: FakeClock) -> None:
    breaker, asked = ReceiveBreaker(clock), []

    def ask() -> None:
        asked.append(clock.monotonic())
        away()

    breaker.failed(ask)
    for _ in range(600):
        clock.advance(1)
        assert breaker.room(10, idle=True) == 0
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert set(pauses) == {5}


def test_a_trial_that_fails_lengthens_the_pause(clock: FakeClock) -> None:
    breaker = ReceiveBreaker(clock)
    breaker.failed(back)
    clock.advance(5)
    breaker.failed(back)
    clock.advance(5)
    assert breaker.room(10, idle=True) == 0
    clock.advance(5)
    assert breaker.room(10, idle=True) == 1


def test_jobs_that_were_in_hand_when_it_began_do_not_lengthen_the_pause(clock: FakeClock) -> None:
    breaker = ReceiveBreaker(clock)
    for _ in range(5):
        breaker.failed(back)
    clock.advance(5)
    assert breaker.room(10, idle=True) == 1


def test_an_answer_that_is_no_outage_is_an_answer(clock: FakeClock) -> None:
    breaker = ReceiveBreaker(clock)
    breaker.failed(denied)
    clock.advance(5)
    assert breaker.room(10, idle=True) == 1


def test_in_a_long_outage_a_worker_receives_each_job_once_and_gives_none_up(crew: "MakeCrew", refuse: "Refuse") -> None:
    # given: S3 gives no audio for a quarter of an hour, in a fleet whose jobs may fail once
    one = crew(lock_enabled=False, max_receives=1, retry_backoff_seconds=0)
    jobs = [one.job(session=session) for session in ("s1", "s2", "s3")]
    began = one.clock.monotonic()
    polls: list[float] = []
    one.before_each_poll(lambda: polls.append(one.clock.monotonic() - began))
    failing = refuse(one.cloud.s3, "s3.GetObject", "ServiceUnavailable", 503, times=12)
    # when
    one.run()
    # then
    assert failing() == 12, "four tries of each of the three jobs"
    assert one.dead_letters() == []
    assert [one.ledger_status(job) for job in jobs] == ["completed"] * 3
