"""What each client tries again by itself, how often and for how long: real clients, scripted answers."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ReadTimeoutError

from shared.aws.retrying import Retrier
from shared.aws.timeouts import PATIENCE, ClientTimeouts, Name
from shared.errors import AWS_ERRORS, error_code, is_retryable
from tests.autoscaler.world.bad_days import CALLS, THROTTLED, TOLD, WHOLE, error
from tests.fixtures.scripted_server import RESET, SILENCE, Answer

if TYPE_CHECKING:
    from tests.conftest import FakeClock
    from tests.shared.conftest import BadDay

every_client = pytest.mark.parametrize("name", list(PATIENCE))


def failure(name: Name, kind: str) -> Answer:
    match kind:
        case "internal error":
            return error(name, 500, "InternalError")
        case "throttled":
            return error(name, *THROTTLED[name])
        case "a proxy's page":
            return Answer(502, b"<html><body>Bad gateway</body></html>")
        case "cut off":
            return Answer(body=WHOLE[name], cut_to=len(WHOLE[name]) // 2)
        case _:
            return RESET


FAILURES = ["internal error", "throttled", "a proxy's page", "cut off", "reset"]


@every_client
@pytest.mark.parametrize("kind", FAILURES)
def test_what_may_pass_is_tried_as_often_as_was_chosen_and_then_raised_as_retryable(
    bad_day: "BadDay", name: Name, kind: str
) -> None:
    client = bad_day.client(name)
    bad_day.server.play(failure(name, kind))

    with pytest.raises(AWS_ERRORS) as raised:
        CALLS[name](client)

    assert bad_day.tries == PATIENCE[name].attempts
    assert is_retryable(raised.value)
    silent = PATIENCE[name].attempts * PATIENCE[name].one_try_seconds
    assert sum(bad_day.waits) <= PATIENCE[name].worst_seconds - silent


@every_client
@pytest.mark.parametrize("kind", FAILURES)
def test_one_bad_answer_is_not_seen_by_who_made_the_call(bad_day: "BadDay", name: Name, kind: str) -> None:
    client = bad_day.client(name)
    bad_day.server.play(failure(name, kind), Answer(body=WHOLE[name]))

    answer = CALLS[name](client)

    assert TOLD[name](answer)
    assert (bad_day.tries, answer["ResponseMetadata"]["RetryAttempts"]) == (2, 1)


@every_client
def test_silence_ends_by_the_read_time_out_of_each_try(
    bad_day: "BadDay", name: Name, patience: dict[Name, ClientTimeouts]
) -> None:
    patience[name] = replace(patience[name], read_seconds=0.05)
    client = bad_day.client(name)
    bad_day.server.play(SILENCE)

    with pytest.raises(ReadTimeoutError) as raised:
        CALLS[name](client)

    assert bad_day.tries == PATIENCE[name].attempts
    assert is_retryable(raised.value)


@every_client
def test_a_service_that_asks_for_a_longer_wait_gets_it_within_the_stated_bound(bad_day: "BadDay", name: Name) -> None:
    client = bad_day.client(name)
    asks = replace(error(name, 503, "ServiceUnavailable"), headers={"x-amz-retry-after": "60000"})
    bad_day.server.play(asks)

    with pytest.raises(AWS_ERRORS):
        CALLS[name](client)

    assert len(bad_day.waits) == PATIENCE[name].attempts - 1
    assert all(wait > 1 for wait in bad_day.waits)
    silent = PATIENCE[name].attempts * PATIENCE[name].one_try_seconds
    assert sum(bad_day.waits) <= PATIENCE[name].worst_seconds - silent


@pytest.mark.parametrize(
    ("name", "status", "code", "retryable"),
    [
        ("s3", 412, "PreconditionFailed", False),
        ("s3", 409, "ConditionalRequestConflict", True),  # by the loop that knows what was written
        ("s3", 400, "ExpiredToken", False),
        ("s3", 403, "RequestTimeTooSkewed", False),
        ("s3", 403, "AccessDenied", False),
        ("s3", 404, "NoSuchBucket", False),
        ("sqs", 400, "ExpiredTokenException", False),
        ("sqs", 400, "ReceiptHandleIsInvalid", False),
        ("sqs-poll", 403, "InvalidSignatureException", False),
        ("dynamodb", 400, "ConditionalCheckFailedException", False),
        ("dynamodb", 400, "ValidationException", False),
        ("ec2", 400, "IncorrectInstanceState", False),
        ("ec2", 500, "InsufficientInstanceCapacity", True),
        ("autoscaling", 400, "ScalingActivityInProgress", False),
    ],
)
def test_an_answer_that_says_no_is_heard_at_once_unless_its_status_is_a_servers_fault(
    bad_day: "BadDay", name: Name, status: int, code: str, retryable: bool
) -> None:
    client = bad_day.client(name)
    bad_day.server.play(error(name, status, code))

    with pytest.raises(AWS_ERRORS) as raised:
        CALLS[name](client)

    assert bad_day.tries == (PATIENCE[name].attempts if status >= 500 else 1)
    assert (error_code(raised.value), is_retryable(raised.value)) == (code, retryable)


@every_client
@pytest.mark.parametrize("mode", ["legacy", "adaptive"])
def test_the_environment_changes_neither_attempts_nor_time_outs(
    bad_day: "BadDay", name: Name, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": mode,
        "AWS_DEFAULTS_MODE": "mobile",
    }.items():
        monkeypatch.setenv(variable, value)
    client = bad_day.client(name)
    bad_day.server.play(error(name, 500, "InternalError"))

    with pytest.raises(AWS_ERRORS):
        CALLS[name](client)

    assert bad_day.tries == PATIENCE[name].attempts
    chosen = vars(client.meta.config)
    assert (chosen["connect_timeout"], chosen["read_timeout"], chosen["retries"]["mode"]) == (
        PATIENCE[name].connect_seconds,
        PATIENCE[name].read_seconds,
        "standard",
    )


def test_a_long_outage_uses_up_boto3s_tries_and_then_the_loop_above_waits_without_haste(
    bad_day: "BadDay", clock: "FakeClock"
) -> None:
    # given: an outage that has emptied the client's quota of further tries (500 tokens, 14 for each)
    s3 = bad_day.client("s3")
    bad_day.server.play(error("s3", 500, "InternalError"))
    for _ in range(40):
        with pytest.raises(AWS_ERRORS):
            CALLS["s3"](s3)
    bad_day.server.play(error("s3", 500, "InternalError"))

    # when: a worker makes a call
    began = clock.monotonic()
    with pytest.raises(AWS_ERRORS):
        Retrier(4, clock)(CALLS["s3"], s3)

    # then: it is tried by the worker's loop alone, no faster than that loop means to
    assert bad_day.tries == 4
    assert clock.monotonic() - began >= 1 + 2 + 4

    # and: the first answer after the outage counts, empty quota or not
    bad_day.server.play(Answer(body=WHOLE["s3"]))
    assert TOLD["s3"](CALLS["s3"](s3))


def test_more_threads_than_usual_share_a_client_and_none_throws_a_connection_away(
    bad_day: "BadDay", caplog: pytest.LogCaptureFixture
) -> None:
    s3, threads = bad_day.client("s3"), 64
    bad_day.server.play(Answer(body=b"audio"))
    together = threading.Barrier(threads)

    def read(_: int) -> bytes:
        together.wait(timeout=30)
        body: bytes = s3.get_object(Bucket="recordings", Key="chunk")["Body"].read()
        return body

    with caplog.at_level(logging.WARNING, "urllib3"), ThreadPoolExecutor(threads) as pool:
        first = set(pool.map(read, range(threads)))
        opened = bad_day.server.connections
        second = set(pool.map(read, range(threads)))

    assert first == second == {b"audio"}
    assert opened <= threads
    assert bad_day.server.connections <= threads
    assert not caplog.records


def test_a_bucket_in_another_region_is_asked_there_with_one_try_more(bad_day: "BadDay") -> None:
    s3 = bad_day.client("s3")
    moved = error("s3", 301, "PermanentRedirect")
    bad_day.server.play(replace(moved, headers={"x-amz-bucket-region": "eu-west-1"}), Answer(body=b"audio"))

    assert s3.get_object(Bucket="recordings", Key="chunk")["Body"].read() == b"audio"
    signed_for = [request.headers["authorization"].split("/")[2] for request in bad_day.server.requests]
    assert signed_for == ["us-east-1", "eu-west-1"]
