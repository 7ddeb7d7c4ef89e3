"""Looks for a real message, where counts alone ask for a start; on moto's server."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.model import Decision, ProbeResult
from autoscaler.probe import QueueProbe
from autoscaler.tick import Autoscaler
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto, Refuse


class Queues:
    """Both job queues, whose counts can be made to lie, and the receives that were asked for."""

    def __init__(self, pool: "PoolOnMoto") -> None:
        self._sqs = pool.cloud.sqs
        settings = pool.cloud.settings
        self.urls = (settings.priority_queue_url, settings.jobs_queue_url)
        self.ghosts = 0
        self.receives: list[dict[str, Any]] = []
        events = self._sqs.meta.events
        events.register("after-call.sqs.GetQueueAttributes", self._lie)
        events.register("before-parameter-build.sqs.ReceiveMessage", self._note)

    def send(self, queue: int = 1) -> None:
        self._sqs.send_message(QueueUrl=self.urls[queue], MessageBody="{}")

    def receive_count(self, queue: int = 1) -> int:
        """How often the one message there has been received, this time included."""
        answer = self._sqs.receive_message(QueueUrl=self.urls[queue], AttributeNames=["ApproximateReceiveCount"])
        (message,) = answer["Messages"]
        return int(message["Attributes"]["ApproximateReceiveCount"])

    def look(self) -> tuple[ProbeResult, tuple[str, ...]]:
        return QueueProbe(self._sqs, self.urls).look()

    def _lie(self, parsed: dict[str, Any], **_: Any) -> None:
        if self.ghosts and "Attributes" in parsed:
            parsed["Attributes"]["ApproximateNumberOfMessages"] = str(self.ghosts)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.receives.append(dict(params))
        params["WaitTimeSeconds"] = 0  # the server would wait for real


@pytest.fixture
def queues(pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch) -> Queues:
    made = Queues(pool_on_moto)
    monkeypatch.setattr("autoscaler.tick.sqs_client", lambda: pool_on_moto.cloud.sqs)
    return made


@pytest.fixture
def ticking(pool_on_moto: "PoolOnMoto") -> Callable[..., Autoscaler]:
    def make(*, dry_run: bool = False, **changes: Any) -> Autoscaler:
        settings = pool_on_moto.cloud.settings_with(**changes)
        return Autoscaler.from_settings(settings, pool_on_moto.clock, dry_run=dry_run)

    return make


Make = Callable[..., Autoscaler]


def a_run_without_work(pool: "PoolOnMoto") -> str:
    """An instance that the autoscaler started ten minutes ago, that found nothing and is stopped."""
    instance = pool.add_owned(minutes_ago=8)
    pool.beat(instance, "draining", idle_minutes=7)
    pool.clock.advance(120)
    pool.cloud.ec2.stop_instances(InstanceIds=[instance])
    return instance


# --- the look itself


@pytest.mark.parametrize("queue", [0, 1])
def test_given_a_message_on_either_queue_then_it_is_seen_and_stays_visible_with_one_more_receive(
    queues: Queues, queue: int
) -> None:
    queues.send(queue)
    assert queues.look() == (ProbeResult.MESSAGE, ())
    assert queues.receive_count(queue) == 2


def test_given_counts_of_messages_that_are_not_there_then_none_is_seen_on_any_of_sqs_servers(queues: Queues) -> None:
    queues.ghosts = 500
    assert queues.look() == (ProbeResult.NOTHING, ())
    assert [asked["QueueUrl"] for asked in queues.receives] == list(queues.urls)
    for asked in queues.receives:
        assert asked["WaitTimeSeconds"] > 0  # 0 asks some of the servers only
        assert (asked["VisibilityTimeout"], asked["MaxNumberOfMessages"]) == (0, 1)


def test_given_a_message_on_one_queue_then_no_time_goes_into_the_one_that_shows_nothing(queues: Queues) -> None:
    queues.send(1)
    queues.look()
    assert [asked["QueueUrl"] for asked in queues.receives] == [queues.urls[1]]


@pytest.mark.parametrize("operation", ["ReceiveMessage", "GetQueueAttributes"])
def test_given_queues_that_cannot_be_asked_then_the_look_says_so_for_each(
    queues: Queues, pool_on_moto: "PoolOnMoto", refuse: "Refuse", operation: str
) -> None:
    queues.send(0)
    queues.send(1)
    refuse(pool_on_moto.cloud.sqs, operation, "AccessDenied", status=403)
    sighting, problems = queues.look()
    assert sighting is ProbeResult.REFUSED
    assert [problem.split(" (")[0] for problem in problems] == [
        "could not look for a message on the queue jobs-priority",
        "could not look for a message on the queue jobs",
    ]


def test_given_one_queue_that_cannot_be_asked_and_a_message_on_the_other_then_it_is_seen(
    queues: Queues, pool_on_moto: "PoolOnMoto", refuse: "Refuse"
) -> None:
    queues.send(0)
    queues.send(1)
    refuse(pool_on_moto.cloud.sqs, "ReceiveMessage", "AccessDenied", status=403, when="jobs-priority")
    assert queues.look() == (ProbeResult.MESSAGE, ())


# --- in a tick


def test_given_a_run_without_work_and_a_real_message_then_a_look_finds_it_and_the_instance_starts(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make
) -> None:
    instance = a_run_without_work(pool_on_moto)
    ticking().tick()
    queues.send()
    result = ticking().tick()
    assert result.document()["sighting"] == "message"
    assert result.outcome.started == (instance,)
    assert queues.receive_count() == 2


def test_given_counts_that_lie_for_hours_then_the_fleet_starts_once_an_hour(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make
) -> None:
    (instance,) = pool_on_moto.add()
    queues.ghosts, starts, minutes = 500, [], []
    ticker = ticking()
    for minute in range(0, 150, 5):
        result = ticker.tick()
        starts += list(result.outcome.started)
        minutes += [minute] if result.outcome.started else []
        if result.outcome.started:
            pool_on_moto.clock.advance(100)
            pool_on_moto.beat(instance, "draining", idle_minutes=1)
            pool_on_moto.cloud.ec2.stop_instances(InstanceIds=[instance])
        pool_on_moto.clock.advance(300)
    assert starts == [instance] * 3
    assert all(later - earlier >= 58 for earlier, later in pairwise(minutes))
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_counts_that_lie_about_more_than_one_instance_can_do_then_none_is_started(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make
) -> None:
    pool_on_moto.add(3)
    queues.ghosts = 100_000
    result = ticking(max_instances=3).tick()
    assert (result.outcome.started, result.decision) == ((), Decision.UNCONFIRMED)
    assert result.reason.startswith("doubting: counts alone ask for 3 instances, and a look found no message; ")


def test_given_a_run_without_work_and_queues_that_cannot_be_asked_then_work_does_not_wait_and_the_tick_says_so(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make, refuse: "Refuse"
) -> None:
    instance = a_run_without_work(pool_on_moto)
    queues.send()
    refuse(pool_on_moto.cloud.sqs, "ReceiveMessage", "AccessDenied", status=403)
    result = ticking().tick()
    assert result.outcome.started == (instance,)
    (problem,) = result.observation.problems
    assert problem.startswith("could not look for a message on the queue jobs (")


def test_given_a_dry_run_then_it_receives_nothing_and_says_that_a_tick_would(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make
) -> None:
    a_run_without_work(pool_on_moto)
    queues.send()
    result = ticking(dry_run=True).tick()
    assert result.decision is Decision.UNCONFIRMED
    assert "so a tick would look for a message" in result.reason
    assert queues.receive_count() == 1


def test_given_a_live_session_that_begins_while_the_tick_looks_then_no_message_is_received(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run_without_work(pool_on_moto)
    queues.send()
    ticker = ticking(start_confirm_reads=2)
    look_again = ticker._parts.observer.look_again

    def a_session_begins(seen: Any) -> Any:
        cloud = pool_on_moto.cloud
        SessionLock(cloud.s3, cloud.settings.bucket, pool_on_moto.clock, timedelta(minutes=30)).take("u", "talk-7")
        return look_again(seen)

    monkeypatch.setattr(ticker._parts.observer, "look_again", a_session_begins)
    result = ticker.tick()
    assert (result.decision, queues.receives) == (Decision.HOLDING, [])


def test_given_a_start_that_aws_refuses_after_a_look_then_the_next_tick_does_not_look_again(
    queues: Queues, pool_on_moto: "PoolOnMoto", ticking: Make, refuse: "Refuse", monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run_without_work(pool_on_moto)
    queues.send()
    refuse(
        pool_on_moto.cloud.ec2, "StartInstances", "IncorrectInstanceState", status=400
    )  # boto3 would sleep before a retry
    monkeypatch.setattr("autoscaler.tick.ec2_client", lambda: pool_on_moto.cloud.ec2)
    ticker = ticking()
    for _ in range(4):
        assert ticker.tick().decision is Decision.STARTING
        pool_on_moto.clock.advance(60)
    assert queues.receive_count() == 2
