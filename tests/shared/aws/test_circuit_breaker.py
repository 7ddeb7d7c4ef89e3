"""A service that does not answer in time is left alone for a while, and its callers do not wait for it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError, ReadTimeoutError

from shared.aws.circuit_breaker import CircuitBreaker, CircuitOpenError
from shared.aws.timeouts import ClientTimeouts, Name
from shared.formats.messages import ChunkJob
from shared.state.ledger import Ledger
from tests.fixtures.scripted_server import PASS, SILENCE

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.conftest import BadDay

MakeJob = Callable[..., ChunkJob]


def call(rest: CircuitBreaker, error: BotoCoreError | None = None) -> None:
    with rest.watching():
        if error:
            raise error


@pytest.fixture
def rest(clock: "FakeClock") -> CircuitBreaker:
    return CircuitBreaker(15, clock)


def time_out(rest: CircuitBreaker) -> None:
    with pytest.raises(ReadTimeoutError):
        call(rest, ReadTimeoutError(endpoint_url="x"))


def test_after_a_time_out_no_call_is_made_until_the_rest_is_over(rest: CircuitBreaker, clock: "FakeClock") -> None:
    time_out(rest)
    clock.advance(14.9)
    with pytest.raises(CircuitOpenError):
        call(rest)
    clock.advance(0.1)
    call(rest)
    call(rest)


def test_an_error_that_comes_at_once_is_no_reason_to_rest(rest: CircuitBreaker) -> None:
    with suppress(EndpointConnectionError):
        call(rest, EndpointConnectionError(endpoint_url="x"))
    call(rest)


def test_after_a_rest_one_call_tries_and_the_others_rest_on(rest: CircuitBreaker, clock: "FakeClock") -> None:
    time_out(rest)
    clock.advance(15)
    with rest.watching(), pytest.raises(CircuitOpenError):
        call(rest)
    call(rest)


def test_a_try_that_times_out_too_begins_another_rest(rest: CircuitBreaker, clock: "FakeClock") -> None:
    time_out(rest)
    clock.advance(15)
    time_out(rest)
    with pytest.raises(CircuitOpenError):
        call(rest)


def test_a_ledger_that_swallows_calls_costs_one_call_its_time_and_the_next_jobs_none(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock", make_job: MakeJob, patience: dict[Name, ClientTimeouts]
) -> None:
    patience["dynamodb"] = replace(patience["dynamodb"], read_seconds=0.05)
    ledger = Ledger(bad_day.client("dynamodb"), cloud.settings, clock)
    bad_day.server.play(SILENCE)

    assert ledger.processing(make_job("001"), "i-1", 1)
    tries = bad_day.tries
    for number in range(2, 30):
        assert ledger.processing(make_job(f"{number:03}"), "i-1", 1)
        ledger.finished(make_job(f"{number:03}"), "completed")
    assert bad_day.tries == tries == patience["dynamodb"].attempts

    bad_day.server.play(PASS)
    clock.advance(15)
    ledger.finished(make_job("001"), "completed")
    assert ledger.session_jobs(make_job().session_path)["001"]["status"] == "completed"


def test_what_a_person_asks_for_is_tried_even_while_the_table_rests(
    bad_day: "BadDay", cloud: "Cloud", clock: "FakeClock", make_job: MakeJob, patience: dict[Name, ClientTimeouts]
) -> None:
    patience["dynamodb"] = replace(patience["dynamodb"], read_seconds=0.05)
    ledger = Ledger(bad_day.client("dynamodb"), cloud.settings, clock)
    bad_day.server.play(SILENCE)
    ledger.claim(make_job())
    bad_day.server.play(PASS)

    assert ledger.cancel(make_job().session_path, "001", 100)
    assert ledger.requeue(make_job())
