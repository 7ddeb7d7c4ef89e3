"""Helpers of the autoscaler's tests: values for the plan, and instances of the pool on the simulated cloud."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from shared.clock import iso
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.instances import FLEET_TAG, STARTED_AT_TAG
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock


@dataclass(frozen=True)
class PoolOnMoto:
    """The pool of the cloud's fleet, and what a test does to it."""

    cloud: "Cloud"
    clock: "FakeClock"

    def add(self, count: int = 1, *, stopped: bool = True, tags: Mapping[str, str] | None = None) -> list[str]:
        """New instances with the fleet's tag; their ids, sorted."""
        every_tag = {FLEET_TAG: self.cloud.settings.fleet_name, **(tags or {})}
        answer = self.cloud.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in every_tag.items()],
                }
            ],
        )
        ids = sorted(instance["InstanceId"] for instance in answer["Instances"])
        if stopped:
            self.cloud.ec2.stop_instances(InstanceIds=ids)
        return ids

    def add_owned(self, *, minutes_ago: float, tags: Mapping[str, str] | None = None) -> str:
        """A running instance that the autoscaler started; moto's launch time is now, so only the tag tells its age."""
        (instance_id,) = self.add(stopped=False, tags=tags)
        # The clock moves on instead of the tag moving back: a launch time beyond the tag would be someone else's.
        self.mark(instance_id, self.clock.now())
        self.clock.advance(minutes_ago * 60)
        return instance_id

    def mark(self, instance_id: str, moment: datetime) -> None:
        """Tag the instance as started by the autoscaler at `moment`."""
        self.cloud.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": STARTED_AT_TAG, "Value": iso(moment)}])

    def beat(self, instance_id: str, state: WorkerState, *, idle_minutes: float | None = None) -> None:
        """A heartbeat of now, from a worker that had work `idle_minutes` ago."""
        now = self.clock.now()
        idle_since = None if idle_minutes is None else now - timedelta(minutes=idle_minutes)
        heartbeat = Heartbeat(instance_id=instance_id, state=state, beat_at=now, idle_since=idle_since)
        Ledger(self.cloud.dynamodb, self.cloud.settings, self.clock).beat(heartbeat)

    def states(self) -> dict[str, str]:
        """Instance id -> its state, as EC2 tells it."""
        return {instance["InstanceId"]: instance["State"]["Name"] for instance in self._described()}

    def tags(self, instance_id: str) -> dict[str, str]:
        described = next(found for found in self._described() if found["InstanceId"] == instance_id)
        return {tag["Key"]: tag["Value"] for tag in described["Tags"]}

    def _described(self) -> list[Any]:
        pages = self.cloud.ec2.get_paginator("describe_instances").paginate()
        return [found for page in pages for reservation in page["Reservations"] for found in reservation["Instances"]]


@pytest.fixture
def pool_on_moto(cloud: "Cloud", clock: "FakeClock") -> PoolOnMoto:
    return PoolOnMoto(cloud, clock)


Refuse = Callable[..., None]


@pytest.fixture
def refuse() -> Iterator[Refuse]:
    """Make a client's calls of one operation fail with an AWS error code, as long as `when` says so of the request.

    The refusal goes through botocore's own parsing of an error answer, so code under test sees what AWS sends.
    """
    undo: list[Callable[[], None]] = []

    def make(client: Any, operation: str, code: str, *, status: int = 400, when: str = "") -> None:
        service = client.meta.service_model.service_name
        event = f"before-send.{service}.{operation}"
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"

        def answer(request: Any, **_: Any) -> AWSResponse | None:
            sent = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
            return _answer(request.url, status, body) if when in sent else None

        client.meta.events.register(event, answer)
        undo.append(lambda: client.meta.events.unregister(event, answer))

    yield make
    for step in undo:
        step()


def _answer(url: str, status: int, body: str) -> AWSResponse:
    class _Raw:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield body.encode()

    return AWSResponse(url, status, HTTPHeaders(), _Raw())
