"""What tests of all parts share: a real HTTP server that stands in for AWS, and a clock that is moved by hand.

Type-checked tests name these types with `if TYPE_CHECKING: from tests.conftest import Cloud, FakeClock`; at run time
they come in as fixtures only. Helpers of one part stay in that part's folder.
"""

import functools
import gc
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import hypothesis
import pytest
import structlog
from botocore.loaders import Loader
from moto.server import ThreadedMotoServer

import shared.aws.clients
from shared.aws.clients import dynamodb_client, ec2_client, s3_client, sqs_client
from shared.aws.timeouts import PATIENCE
from shared.formats.layout import session_path, transcript_key
from shared.setting_groups import ENV_PREFIX
from shared.settings import Settings
from tests.fixtures.fleet_resources import (
    ACCOUNT,
    empty_cloud,
    keep_few_images,
    know_the_services,
    lay_out_bucket,
    lay_out_queue,
    lay_out_table,
    write_in_one_step,
)
from tests.fixtures.quick_clients import QuickClients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

# The same examples each time, and no verdict by the clock: both would make a test depend on the machine and the day.
hypothesis.settings.register_profile("deterministic", derandomize=True, deadline=None)
hypothesis.settings.load_profile("deterministic")


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: the garbage collector need not look through it again and again.

    Nor need it look as often as in a program that is short of memory: botocore, moto and Hypothesis make so many
    objects that it took a sixth of the suite's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process sets the log's level; the next test must not inherit it."""
    yield
    structlog.reset_defaults()


Client = TypeVar("Client")

REGION = "us-east-1"
BUCKET = "recordings"
TABLE = "ledger"


class FakeClock:
    """A clock that stands still until a test moves it, or until code under test sleeps; safe to share by threads.

    It starts at the real time of day, because moto stamps objects, messages and instances with the real time, and
    code under test compares the two. A test that needs something to be old advances this clock.
    """

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._monotonic = 1000.0
        self._moving = threading.Lock()

    def now(self) -> datetime:
        with self._moving:
            return self._now

    def monotonic(self) -> float:
        with self._moving:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._moving:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds


@dataclass(frozen=True)
class Cloud:
    """The fleet's resources, empty and fresh, on a server in this process; a client is made when a test asks for it.

    Attributes:
        endpoint: URL of the server.
        settings: point at the resources below; waits are short, so that no test lasts.
    """

    endpoint: str
    settings: Settings

    @functools.cached_property
    def s3(self) -> "S3Client":
        return self._client(s3_client)

    @functools.cached_property
    def sqs(self) -> "SQSClient":
        return self._client(sqs_client)

    @functools.cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self._client(dynamodb_client)

    @functools.cached_property
    def ec2(self) -> "EC2Client":
        return self._client(ec2_client)

    def _client(self, make: Callable[[], Client]) -> Client:
        """As at the test's beginning, whatever the test has since done to the variables, the session or the patience.

        A test may have led the code under test to a server that misbehaves; this cloud is where it looks what came of
        it.
        """
        with pytest.MonkeyPatch.context() as beginning:
            for name, value in _aws_environment(self.endpoint).items():
                beginning.setenv(name, value)
            beginning.setattr(boto3, "DEFAULT_SESSION", None)
            beginning.setattr(shared.aws.clients, "PATIENCE", PATIENCE)
            return make()

    def settings_with(self, **changes: Any) -> Settings:
        """The settings with some fields changed, and checked like any others."""
        return Settings(**{**self.settings.model_dump(), **changes})

    def environment(self) -> dict[str, str]:
        """The variables with which another process finds this cloud and reads the same settings."""
        fields = self.settings.model_dump(mode="json", exclude_none=True)
        ours = {(ENV_PREFIX + name).upper(): str(value) for name, value in fields.items()}
        return ours | {name: os.environ[name] for name in _aws_environment(self.endpoint)}

    def put_audio(self, user: str, session: str, chunk: str, ext: str = "webm", body: bytes = b"audio") -> str:
        """Store a chunk's audio; returns its key."""
        return self._put(f"{session_path(user, session)}/chunk-{chunk}.{ext}", body)

    def put_transcript(self, user: str, session: str, chunk: str, content: Mapping[str, Any] | None = None) -> str:
        """Store a chunk's transcript, by default a live one of silence; returns its key."""
        body = json.dumps({"segments": []} if content is None else content).encode()
        return self._put(transcript_key(session_path(user, session), chunk), body)

    def _put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=self.settings.bucket, Key=key, Body=body)
        return key


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """URL of moto's server: one for each test process, on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request would bury what a test logs
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_few_images(monkeypatch)
        know_the_services(monkeypatch)
        write_in_one_step(monkeypatch)
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def service_models() -> Loader:
    """botocore's descriptions of the services, parsed once: they are most of what a new client costs."""
    return Loader()


@pytest.fixture(scope="session")
def quick_clients(service_models: Loader) -> QuickClients:
    """The same descriptions, and what botocore derives from them."""
    return QuickClients(service_models)


@pytest.fixture
def cloud(moto_endpoint: str, quick_clients: QuickClients, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty cloud with the fleet's bucket, queues and table; this process's AWS variables point at it."""
    for name in os.environ:
        if name.startswith(("AWS_", ENV_PREFIX)):
            monkeypatch.delenv(name)
    for name, value in _aws_environment(moto_endpoint).items():
        monkeypatch.setenv(name, value)
    # boto3 keeps the first session of a process, with the profile that it found then.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    quick_clients.install(monkeypatch)
    empty_cloud()
    lay_out_bucket(BUCKET, REGION)
    lay_out_table(TABLE, REGION, hash_key="sessionPath", range_key="chunk")
    return Cloud(moto_endpoint, _settings(moto_endpoint))


def _aws_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        # A developer's profile must not reach the tests, nor the tests a developer's account.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


def _settings(endpoint: str) -> Settings:
    """Lay out the queues; the settings that name them, with no wait that a test would notice."""
    dead_letters = lay_out_queue(endpoint, REGION, "dead-letter")
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letter"
    attributes = {
        "VisibilityTimeout": "30",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5}),
    }
    return Settings(
        bucket=BUCKET,
        jobs_queue_url=lay_out_queue(endpoint, REGION, "jobs", **attributes),
        priority_queue_url=lay_out_queue(endpoint, REGION, "jobs-priority", **attributes),
        dead_letter_queue_url=dead_letters,
        table_name=TABLE,
        long_poll_seconds=0,
        visibility_timeout_seconds=30,
        retry_backoff_seconds=0,
        lock_poll_seconds=0.1,
        heartbeat_seconds=1,
        start_confirm_reads=1,
        model="tiny.en",
        device="cpu",
    )
