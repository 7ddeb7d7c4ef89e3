"""Conditional writes: exactly one writer wins, and each of them knows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from shared.aws.storage import put_if_absent, put_if_unchanged
from shared.errors import is_retryable

if TYPE_CHECKING:
    from tests.conftest import Cloud
    from tests.shared.conftest import Faults

KEY = "results/key.json"


def put_absent(cloud: "Cloud", body: bytes) -> bool:
    return put_if_absent(cloud.s3, "recordings", KEY, body, "application/json")


def put_unchanged(cloud: "Cloud", body: bytes, etag: str) -> bool:
    return put_if_unchanged(cloud.s3, "recordings", KEY, body, "application/json", etag)


def store(cloud: "Cloud", body: bytes) -> str:
    return cloud.s3.put_object(Bucket="recordings", Key=KEY, Body=body)["ETag"]


def stored(cloud: "Cloud") -> bytes:
    return cloud.s3.get_object(Bucket="recordings", Key=KEY)["Body"].read()


def test_an_object_that_is_absent_is_written_with_its_content_type(cloud: "Cloud") -> None:
    assert put_absent(cloud, b"new")

    assert stored(cloud) == b"new"
    assert cloud.s3.head_object(Bucket="recordings", Key=KEY)["ContentType"] == "application/json"


def test_an_object_that_is_there_already_stays(cloud: "Cloud") -> None:
    store(cloud, b"first")

    assert not put_absent(cloud, b"second")
    assert stored(cloud) == b"first"


def test_the_version_that_was_read_is_replaced(cloud: "Cloud") -> None:
    etag = store(cloud, b"first")

    assert put_unchanged(cloud, b"second", etag)
    assert stored(cloud) == b"second"


def test_a_version_that_was_changed_meanwhile_stays(cloud: "Cloud") -> None:
    etag = store(cloud, b"first")
    store(cloud, b"changed")

    assert not put_unchanged(cloud, b"second", etag)
    assert stored(cloud) == b"changed"


def test_an_object_that_was_deleted_meanwhile_is_not_brought_back(cloud: "Cloud") -> None:
    etag = store(cloud, b"first")
    cloud.s3.delete_object(Bucket="recordings", Key=KEY)

    assert not put_unchanged(cloud, b"second", etag)
    assert cloud.s3.list_objects_v2(Bucket="recordings")["KeyCount"] == 0


def race(cloud: "Cloud", etag: str | None) -> list[bytes]:
    """Eight writers at once; the bodies of those that were told that they won."""
    together = threading.Barrier(8)

    def write(number: int) -> bytes | None:
        body = f"writer {number}".encode()
        together.wait(timeout=30)
        won = put_absent(cloud, body) if etag is None else put_unchanged(cloud, body, etag)
        return body if won else None

    with ThreadPoolExecutor(8) as pool:
        return [body for body in pool.map(write, range(8)) if body]


def test_of_eight_writers_of_a_new_object_the_one_that_is_told_so_has_won(cloud: "Cloud") -> None:
    assert race(cloud, None) == [stored(cloud)]


def test_of_eight_writers_that_replace_one_version_the_one_that_is_told_so_has_won(cloud: "Cloud") -> None:
    assert race(cloud, store(cloud, b"first")) == [stored(cloud)]


def test_a_conflict_of_two_writes_says_nothing_about_who_won_and_is_raised_as_retryable(
    cloud: "Cloud", faults: "Faults"
) -> None:
    faults.refuse(cloud.s3, "PutObject", 409, "ConditionalRequestConflict")

    with pytest.raises(ClientError) as absent:
        put_absent(cloud, b"new")
    with pytest.raises(ClientError) as unchanged:
        put_unchanged(cloud, b"new", '"etag"')

    assert is_retryable(absent.value)
    assert is_retryable(unchanged.value)
