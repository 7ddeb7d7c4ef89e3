"""The proxy that makes the cloud far away: it delays by service, and otherwise nobody can tell that it is there."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from bench.slow_cloud import SlowCloud, service_of, slow_cloud

DELAY = 0.02


class Upstream(BaseHTTPRequestHandler):
    """Keeps objects in memory, and answers SQS with one message."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(200, b"", {"ETag": '"tag"'})

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self.reply(200, found) if found is not None else self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.reply(200, self.objects[self.path])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(200, b'{"Messages": [{"MessageId": "1", "Body": "job"}]}')

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nobody reads it."""


@pytest.fixture
def upstream() -> Iterator[str]:
    handler = type("Handler", (Upstream,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: str) -> Iterator[SlowCloud]:
    with slow_cloud(upstream, {"s3": DELAY}) as running:
        yield running


def client(service: Any, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )


def test_an_object_comes_through_as_it_is_in_both_directions(proxy: SlowCloud) -> None:
    s3 = client("s3", proxy.endpoint)
    body = bytes(range(256)) * 400

    s3.put_object(Bucket="recordings", Key="users/ä b/chunk-001.webm", Body=body)

    assert s3.get_object(Bucket="recordings", Key="users/ä b/chunk-001.webm")["Body"].read() == body
    assert s3.head_object(Bucket="recordings", Key="users/ä b/chunk-001.webm")["ContentLength"] == len(body)


def test_an_error_of_the_cloud_stays_that_error(proxy: SlowCloud) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        client("s3", proxy.endpoint).get_object(Bucket="recordings", Key="absent")


def test_each_service_is_delayed_by_its_own_delay(proxy: SlowCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("bench.slow_cloud.time.sleep", waits.append)

    client("sqs", proxy.endpoint).receive_message(QueueUrl=f"{proxy.endpoint}/1/jobs")
    client("s3", proxy.endpoint).put_object(Bucket="recordings", Key="a", Body=b"")

    assert waits == [0, DELAY]


def test_calls_are_counted_by_service_and_the_first_look_at_the_queue_is_noted(proxy: SlowCloud) -> None:
    s3, sqs = client("s3", proxy.endpoint), client("sqs", proxy.endpoint)
    s3.put_object(Bucket="recordings", Key="a", Body=b"")
    seen = [proxy.first_receive]

    before = time.time()
    for _ in range(2):
        sqs.receive_message(QueueUrl=f"{proxy.endpoint}/1/jobs")
        seen.append(proxy.first_receive)

    assert proxy.calls() == {"s3": 1, "sqs": 2}
    nothing_yet, first, still = seen
    assert nothing_yet is None
    assert first is not None
    assert before <= first <= time.time()
    assert still == first


def test_a_cloud_that_is_away_is_a_bad_gateway_and_no_silence() -> None:
    with slow_cloud("http://127.0.0.1:9", {}) as proxy, pytest.raises(ClientError, match="502"):
        client("s3", proxy.endpoint).head_object(Bucket="recordings", Key="a")


def test_the_proxy_is_gone_when_its_block_ends(upstream: str) -> None:
    with slow_cloud(upstream, {}) as proxy:
        endpoint = proxy.endpoint

    with pytest.raises(EndpointConnectionError):
        client("s3", endpoint).head_object(Bucket="recordings", Key="a")


@pytest.mark.parametrize(
    ("authorization", "service"),
    [
        ("AWS4-HMAC-SHA256 Credential=key/20260304/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0", "s3"),
        ("AWS4-HMAC-SHA256 Credential=key/20260304/us-east-1/sqs/aws4_request,SignedHeaders=host", "sqs"),
        ("", ""),
        ("Bearer token", ""),
        ("AWS4-HMAC-SHA256 Credential=odd", ""),
    ],
)
def test_the_service_is_that_of_the_credential_scope(authorization: str, service: str) -> None:
    assert service_of(authorization) == service
