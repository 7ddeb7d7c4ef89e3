"""The simulated bucket against boto3: what a scan may do on S3 it may do here, and is counted."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from bench.keyspace import Keyspace
from bench.listing_server import LIST, ListingServer, listing_server, operation

USERS = 4
KEYSPACE = Keyspace(USERS)
KEYS = [KEYSPACE.key(position) for position in range(len(KEYSPACE))]


@pytest.fixture(scope="module")
def server() -> Iterator[ListingServer]:
    with listing_server(USERS) as running:
        yield running


@pytest.fixture(scope="module")
def s3(server: ListingServer) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(retries={"total_max_attempts": 1}),
    )


def listed(s3: S3Client, *, prefix: str, start_after: str = "") -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="recordings", Prefix=prefix, StartAfter=start_after)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def test_a_paginator_over_all_users_sees_every_key_once_and_in_order(s3: S3Client) -> None:
    assert listed(s3, prefix="users/") == KEYS


def test_a_paginator_over_one_user_sees_that_users_keys_only(s3: S3Client) -> None:
    prefix = "users/user-0001/"

    assert listed(s3, prefix=prefix) == [key for key in KEYS if key.startswith(prefix)]


@pytest.mark.parametrize("prefix", ["users/user-00010", "zebra/", "a"])
def test_a_prefix_that_nothing_has_lists_nothing(s3: S3Client, prefix: str) -> None:
    answer = s3.list_objects_v2(Bucket="recordings", Prefix=prefix)

    assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)


def test_a_delimiter_rolls_users_up_into_common_prefixes_page_after_page(s3: S3Client) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="recordings", Prefix="users/", Delimiter="/", PaginationConfig={"PageSize": 3}
    )

    prefixes = [[common["Prefix"] for common in page.get("CommonPrefixes", [])] for page in pages]

    assert prefixes == [["users/user-0000/", "users/user-0001/", "users/user-0002/"], ["users/user-0003/"]]


def test_start_after_a_key_begins_with_the_next_one_on_every_page(s3: S3Client) -> None:
    assert listed(s3, prefix="users/", start_after=KEYS[1234]) == KEYS[1235:]


def test_a_page_holds_no_more_than_a_thousand_keys_whatever_is_asked(s3: S3Client) -> None:
    answer = s3.list_objects_v2(Bucket="recordings", MaxKeys=5000)

    assert (answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"]) == (1000, 1000, True)


def test_a_listing_that_ends_on_a_full_page_is_not_truncated(s3: S3Client) -> None:
    session = KEYS[0].rpartition("/")[0] + "/"

    answer = s3.list_objects_v2(Bucket="recordings", Prefix=session, MaxKeys=200)

    assert (answer["KeyCount"], answer["IsTruncated"]) == (200, False)


def test_no_keys_asked_for_is_an_empty_last_page(s3: S3Client) -> None:
    answer = s3.list_objects_v2(Bucket="recordings", MaxKeys=0)

    assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)


def test_an_object_is_described_as_the_keyspace_says(s3: S3Client) -> None:
    (entry,) = KEYSPACE.entries(range(1))

    (item,) = s3.list_objects_v2(Bucket="recordings", MaxKeys=1)["Contents"]

    assert (item["Key"], item["Size"], item["ETag"]) == (entry.key, entry.size, f'"{entry.etag}"')
    assert f"{item['LastModified']:%Y-%m-%dT%H:%M:%S}.000Z" == entry.last_modified


@pytest.mark.parametrize("token", ["not base64!", "YWJj"])
def test_a_token_that_the_server_never_gave_is_refused(s3: S3Client, token: str) -> None:
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.list_objects_v2(Bucket="recordings", ContinuationToken=token)


def test_each_operation_is_counted_and_all_but_list_are_refused(server: ListingServer, s3: S3Client) -> None:
    before = server.counts()["operations"]

    s3.list_objects_v2(Bucket="recordings", MaxKeys=1)
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.get_object(Bucket="recordings", Key=KEYS[0])
    with pytest.raises(ClientError, match="501"):
        s3.head_object(Bucket="recordings", Key=KEYS[0])
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.put_object(Bucket="recordings", Key=KEYS[0], Body=b"audio")

    after = server.counts()["operations"]
    grown = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    assert grown == {LIST: 1, "GET object": 1, "HEAD object": 1, "PUT object": 1}


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/recordings?list-type=2&prefix=users%2F", LIST),
        ("GET", "/recordings/?list-type=2", LIST),
        ("GET", "/recordings?prefix=users%2F", "GET bucket"),
        ("GET", "/recordings/users/a?list-type=2", "GET object"),
        ("HEAD", "/recordings", "HEAD bucket"),
        ("GET", "/", "GET service"),
    ],
)
def test_only_the_second_version_of_list_on_a_bucket_counts_as_list(method: str, target: str, expected: str) -> None:
    assert operation(method, target) == expected


def test_the_server_is_gone_when_its_block_ends() -> None:
    with listing_server(USERS) as running:
        assert running.counts()["operations"] == {}

    with pytest.raises(ConnectionRefusedError):
        running.counts()
