"""Helpers of the tests of shared/: answers that moto never gives, such as 409 and a service that is away."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError

from shared.aws import clients
from shared.aws.clients import s3_client
from shared.aws.timeouts import PATIENCE, ClientTimeouts, Name
from shared.formats.messages import ChunkJob, chunk_job
from shared.state.lock import SessionLock
from tests.fixtures.scripted_server import PASS, ScriptedServer

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from tests.conftest import Cloud, FakeClock

_Injected = tuple[AWSResponse, dict[str, Any]]


@dataclass
class Faults:
    """Faults of AWS, put in where a client would send its request; botocore's own retries do not see them.

    Attributes:
        hits: how often each operation met a fault.
    """

    hits: dict[str, int] = field(default_factory=dict)

    def refuse(self, client: "BaseClient", operation: str, status: int, code: str, times: int = 1_000_000) -> None:
        """Answer the next `times` calls of `operation` with an error."""

        def answer() -> _Injected:
            error = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            return AWSResponse("", status, HTTPHeaders(), None), error

        self._inject(client, operation, times, answer)

    def cut_off(self, client: "BaseClient", operation: str) -> None:
        """Let `operation` find no server."""

        def fail() -> None:
            raise EndpointConnectionError(endpoint_url="injected")

        self._inject(client, operation, 1_000_000, fail)

    def race(self, client: "BaseClient", operation: str, other: Callable[[], object]) -> None:
        """Let `other` happen right before the next call of `operation` reaches AWS."""

        def overtake() -> None:
            other()

        self._inject(client, operation, 1, overtake)

    def answer(self, client: "BaseClient", operation: str, answer: dict[str, Any], times: int = 1) -> None:
        """Answer the next `times` calls of `operation` with `answer`."""
        parsed = {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}
        self._inject(client, operation, times, lambda: (AWSResponse("", 200, HTTPHeaders(), None), parsed))

    def _inject(self, client: "BaseClient", operation: str, times: int, action: Callable[[], _Injected | None]) -> None:
        left = times

        def handler(**_: Any) -> Any:
            nonlocal left
            if not left:
                return None
            left -= 1
            self.hits[operation] = self.hits.get(operation, 0) + 1
            return action()

        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"before-call.{service}.{operation}", handler)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def make_job(clock: "FakeClock") -> Callable[..., ChunkJob]:
    """Makes the job of a gap of session `s` of user `u`."""

    def make(chunk: str = "001", *, size: int = 100) -> ChunkJob:
        return chunk_job(
            bucket="recordings",
            audio_key=f"users/u/audio/sessions/s/chunk-{chunk}.webm",
            audio_size=size,
            enqueued_at=clock.now(),
        )

    return make


@pytest.fixture
def lock(cloud: "Cloud", clock: "FakeClock") -> SessionLock:
    return SessionLock(cloud.s3, "recordings", clock, timedelta(minutes=30))


@pytest.fixture
def other_recorder(cloud: "Cloud", clock: "FakeClock") -> SessionLock:
    """The same lock through a client of its own, so that faults of the first one do not reach it."""
    return SessionLock(s3_client(), "recordings", clock, timedelta(minutes=30))


@dataclass(frozen=True)
class BadDay:
    """A service that does what a script says, real clients of it, and what they waited between their tries.

    Attributes:
        waits: seconds between tries that boto3 wanted to wait; nobody does.
    """

    server: ScriptedServer
    waits: list[float]
    _make: Callable[[Name], Any]

    def client(self, name: Name) -> Any:
        """A new client as the fleet makes it."""
        return self._make(name)

    @property
    def tries(self) -> int:
        """Requests since the script began."""
        return len(self.server.requests)


@pytest.fixture
def bad_day(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> Iterator[BadDay]:
    """Behind the script is the test cloud; until a script is played all goes through to it."""
    makers: dict[Name, Callable[[], Any]] = {
        "s3": clients.s3_client,
        "sqs": clients.sqs_client,
        "sqs-poll": clients.polling_sqs_client,
        "dynamodb": clients.dynamodb_client,
        "ec2": clients.ec2_client,
        "autoscaling": clients.autoscaling_client,
        "sns": clients.sns_client,
    }
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with ScriptedServer(cloud.endpoint.removeprefix("http://")).running() as server:
        server.play(PASS)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield BadDay(server, waits, lambda name: makers[name]())


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> dict[Name, ClientTimeouts]:
    """The clients' patience, for a test to change."""
    changed = dict(PATIENCE)
    monkeypatch.setattr(clients, "PATIENCE", changed)
    return changed
