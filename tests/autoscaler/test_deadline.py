"""A tick ends in its time, whatever hangs: by a clock that every try of a call moves on as long as it may last."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from autoscaler.deadline import TICK_SECONDS, OutOfTimeError, TickDeadline
from autoscaler.tick import Autoscaler
from shared.aws.timeouts import PATIENCE
from shared.errors import AWS_ERRORS, is_retryable

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto

FUNCTION_SECONDS = 50
LONGEST_TRY = max(patience.one_try_seconds for name, patience in PATIENCE.items() if name != "sqs-poll")
SERVICES = ("dynamodb", "ec2", "sqs", "s3", "auto-scaling")

Make = Callable[..., Autoscaler]


@pytest.fixture
def autoscaler(pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch) -> Make:
    """An autoscaler with services that hang, and others whose calls take their time."""
    clock = pool_on_moto.clock
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=clock.advance))

    def make(*, hanging: tuple[str, ...] = (), call_seconds: float = 0.05, **changes: Any) -> Autoscaler:
        boto3.setup_default_session()
        assert boto3.DEFAULT_SESSION is not None

        def send(event_name: str, **_: Any) -> None:
            if event_name.split(".")[1] not in hanging:
                clock.advance(call_seconds)
                return
            clock.advance(LONGEST_TRY)
            raise ReadTimeoutError(endpoint_url="hanging")

        boto3.DEFAULT_SESSION.events.register("before-send", send)
        return Autoscaler.from_settings(pool_on_moto.cloud.settings_with(**changes), clock)

    return make


def send_job(pool: "PoolOnMoto") -> None:
    pool.cloud.sqs.send_message(QueueUrl=pool.cloud.settings.jobs_queue_url, MessageBody="{}")


@pytest.mark.parametrize("hanging", [SERVICES, *((service,) for service in SERVICES)], ids="+".join)
@pytest.mark.parametrize("provider", ["pool", "asg"])
def test_given_services_that_hang_then_the_tick_ends_within_the_functions_time(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, hanging: tuple[str, ...], provider: str
) -> None:
    pool_on_moto.add()
    send_job(pool_on_moto)
    group = {"auto_scaling_group": "fleet"} if provider == "asg" else {}
    ticker, began = autoscaler(hanging=hanging, capacity_provider=provider, **group), pool_on_moto.clock.monotonic()

    result = ticker.tick()

    assert pool_on_moto.clock.monotonic() - began < FUNCTION_SECONDS
    assert not result.outcome.stopped
    assert result.reason


def test_given_that_everything_hangs_then_the_tick_says_what_it_could_not_see_and_starts_nothing(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    pool_on_moto.add()
    send_job(pool_on_moto)

    result = autoscaler(hanging=SERVICES).tick()

    assert len(result.observation.problems) >= 3
    assert result.observation.lock.held
    assert not result.outcome.started


@pytest.mark.parametrize("call_seconds", [3, 7, 11.9])
def test_given_that_every_call_is_answered_slowly_then_the_tick_ends_within_the_functions_time(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, call_seconds: float
) -> None:
    pool_on_moto.add(5)
    send_job(pool_on_moto)
    ticker, began = autoscaler(call_seconds=call_seconds, max_instances=5), pool_on_moto.clock.monotonic()

    ticker.tick()

    assert pool_on_moto.clock.monotonic() - began < FUNCTION_SECONDS


def test_given_a_tick_that_ran_out_of_time_then_the_next_one_has_all_of_its_own(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto)
    hung = autoscaler(hanging=SERVICES)
    hung.tick()

    assert autoscaler().tick().outcome.started == (instance,)


def test_given_the_end_of_a_tick_then_no_call_is_sent_and_outside_of_one_all_are(pool_on_moto: "PoolOnMoto") -> None:
    deadline, s3 = TickDeadline(pool_on_moto.clock), pool_on_moto.cloud.s3
    deadline.hold_to(s3)

    with deadline.running():
        pool_on_moto.clock.advance(TICK_SECONDS - 1)
        s3.list_buckets()
        pool_on_moto.clock.advance(1)
        with pytest.raises(AWS_ERRORS) as raised:
            s3.list_buckets()
    s3.list_buckets()

    assert isinstance(raised.value, OutOfTimeError)
    assert not is_retryable(raised.value)
