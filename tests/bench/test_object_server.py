"""The bench's small S3 does what S3 does, as far as boto3 can tell."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bench.object_server import ObjectServer, Stored
from shared.aws.clients import s3_client
from shared.aws.storage import put_if_absent, put_if_unchanged

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def s3(cloud: object, monkeypatch: pytest.MonkeyPatch) -> "Iterator[S3Client]":
    server = ObjectServer({f"a/{n:04d}": Stored(b"x" * (n % 7)) for n in range(2500)} | {"b/1": Stored(b"other")})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    yield s3_client()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_listing_has_every_key_below_its_prefix_in_order(s3: "S3Client") -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="a/")

    assert [item["Key"] for page in pages for item in page["Contents"]] == [f"a/{n:04d}" for n in range(2500)]


def test_of_conditional_writes_one_wins_and_what_it_keeps_comes_back(s3: "S3Client") -> None:
    assert put_if_absent(s3, "bucket", "c/1", b"first", "text/plain", {"inputs": "1"})
    assert not put_if_absent(s3, "bucket", "c/1", b"second", "text/plain")
    head = s3.head_object(Bucket="bucket", Key="c/1")
    assert head["Metadata"] == {"inputs": "1"}
    assert put_if_unchanged(s3, "bucket", "c/1", b"third", "text/plain", head["ETag"])
    assert not put_if_unchanged(s3, "bucket", "c/1", b"fourth", "text/plain", head["ETag"])
    assert s3.get_object(Bucket="bucket", Key="c/1")["Body"].read() == b"third"


def test_what_is_not_there_is_answered_as_s3_does(s3: "S3Client") -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="nothing")
