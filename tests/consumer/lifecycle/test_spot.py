"""A spot notice: seen where EC2 gives one, and a request to stop in the time that is left."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from consumer.host.imds import MetadataService, SpotNotice
from consumer.lifecycle.spot import SpotWatch, watching
from consumer.lifecycle.stop_request import StopRequest
from deploy.local.metadata_service import metadata_service
from shared.clock import iso

if TYPE_CHECKING:
    from tests.conftest import FakeClock

ACTION = "/latest/meta-data/spot/instance-action"
LIFE_CYCLE = "/latest/meta-data/instance-life-cycle"


@pytest.fixture
def published() -> dict[str, str]:
    """What the metadata service has at further paths."""
    return {}


@pytest.fixture
def service(published: dict[str, str]) -> Iterator[MetadataService]:
    with metadata_service("i-1", "g4dn.xlarge", "us-east-1", published) as endpoint:
        yield MetadataService(endpoint)


@pytest.fixture
def stop(clock: "FakeClock") -> StopRequest:
    return StopRequest(clock, drain_seconds=50)


def notice(clock: "FakeClock", seconds: float, action: str = "terminate") -> str:
    return f'{{"action": "{action}", "time": "{iso(clock.now() + timedelta(seconds=seconds))}"}}'


def test_the_form_that_ec2_documents_is_understood(service: MetadataService, published: dict[str, str]) -> None:
    assert service.spot_notice() is None
    published[ACTION] = '{"action": "stop", "time": "2017-09-18T08:22:00Z"}'
    found = service.spot_notice()
    assert isinstance(found, SpotNotice)
    assert (found.action, iso(found.at)) == ("stop", "2017-09-18T08:22:00.000Z")


@pytest.mark.parametrize("text", ["{}", "<html>", '{"action": "stop", "time": "soon"}'])
def test_what_is_no_notice_stops_nothing(
    service: MetadataService, published: dict[str, str], stop: StopRequest, clock: "FakeClock", text: str
) -> None:
    published[ACTION] = text
    SpotWatch(service, stop, clock).look()
    assert not stop.requested


@pytest.mark.parametrize(("left", "for_the_job"), [(120, 50), (60, 30), (20, 0), (-5, 0)])
def test_the_job_in_hand_gets_what_the_end_leaves_it(
    service: MetadataService,
    published: dict[str, str],
    stop: StopRequest,
    clock: "FakeClock",
    left: float,
    for_the_job: float,
) -> None:
    published[ACTION] = notice(clock, left)
    SpotWatch(service, stop, clock).look()
    assert stop.reason.startswith("spot notice: EC2 takes the instance back at ")
    clock.advance(max(0, for_the_job - 0.1))
    assert stop.must_abort() == (for_the_job == 0)
    clock.advance(0.2)
    assert stop.must_abort()


def test_a_notice_that_stands_is_heeded_once_so_that_the_drain_time_does_not_begin_anew(
    service: MetadataService, published: dict[str, str], stop: StopRequest, clock: "FakeClock"
) -> None:
    published[ACTION] = notice(clock, 120)
    watch = SpotWatch(service, stop, clock)
    watch.look()
    clock.advance(49)
    watch.look()
    assert not stop.must_abort()
    clock.advance(1)
    assert stop.must_abort()


def test_a_notice_gives_no_more_time_than_a_request_before_it(
    service: MetadataService, published: dict[str, str], stop: StopRequest, clock: "FakeClock"
) -> None:
    stop.request()
    clock.advance(45)
    published[ACTION] = notice(clock, 120)
    SpotWatch(service, stop, clock).look()
    clock.advance(5)
    assert stop.must_abort()


def test_only_a_spot_instance_is_watched(
    service: MetadataService,
    published: dict[str, str],
    stop: StopRequest,
    clock: "FakeClock",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given: no time between two looks, and each of them told of
    monkeypatch.setattr("consumer.lifecycle.spot._POLL_INTERVAL_SECONDS", 0.001)
    looked = threading.Event()
    monkeypatch.setattr(SpotWatch, "look", lambda _: looked.set())
    for life_cycle, watched in (("on-demand", False), ("spot", True)):
        published[LIFE_CYCLE] = life_cycle
        with watching(service, stop, clock):
            threads = {thread.name for thread in threading.enumerate()}
            assert ("spot" in threads) == watched
            assert not watched or looked.wait(10)
    with watching(None, stop, clock):
        assert "spot" not in {thread.name for thread in threading.enumerate()}


def test_a_token_that_has_run_out_is_replaced(published: dict[str, str]) -> None:
    with metadata_service("i-1", "g4dn.xlarge", "us-east-1", published) as endpoint:
        service = MetadataService(endpoint)
        service._token = "run out"
        assert service.identity() is not None


def test_a_service_that_is_away_for_a_moment_stops_nothing(stop: StopRequest, clock: "FakeClock") -> None:
    with metadata_service("i-1", "g4dn.xlarge", "us-east-1") as endpoint:
        watch = SpotWatch(MetadataService(endpoint), stop, clock)
    watch.look()
    assert not stop.requested
