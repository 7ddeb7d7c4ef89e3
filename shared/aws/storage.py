"""Conditional writes to S3: of several writers of one key exactly one wins, and each knows whether it did.

The answer to a write can get lost on the way, and whoever tries again then is told that the write lost: against itself.
So a writer that S3 refuses looks at what stands. Bodies that several writers have in common need `metadata` that tells
one write from another.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.errors import AWS_ERRORS, is_missing, is_precondition_failed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def put_if_absent(
    s3: "S3Client",
    bucket: str,
    key: str,
    body: bytes,
    content_type: str,
    metadata: Mapping[str, str] | None = None,
) -> bool:
    """Write a new object; returns False, changing nothing, when there is another one already.

    Args:
        metadata: names and values (US-ASCII) that S3 keeps with the object and gives back with HEAD.

    Raises what boto3 raises otherwise, 409 ConditionalRequestConflict included: that one is retryable.
    """
    try:
        s3.put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*", Metadata=metadata or {}
        )
    except AWS_ERRORS as error:
        if is_precondition_failed(error):
            return _stands(s3, bucket, key, body, metadata or {})
        raise
    return True


def put_if_unchanged(
    s3: "S3Client",
    bucket: str,
    key: str,
    body: bytes,
    content_type: str,
    etag: str,
    metadata: Mapping[str, str] | None = None,
) -> bool:
    """Replace the version `etag` of an object; returns False, changing nothing, when it was changed or deleted.

    `metadata` is as for `put_if_absent`; that of the version replaced is gone.
    """
    try:
        s3.put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type, IfMatch=etag, Metadata=metadata or {}
        )
    except AWS_ERRORS as error:
        if is_precondition_failed(error):
            return _stands(s3, bucket, key, body, metadata or {})
        if is_missing(error):
            return False
        raise
    return True


def _stands(s3: "S3Client", bucket: str, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
    """Whether what is at `key` is what was to be written. Raises what boto3 raises."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except AWS_ERRORS as error:
        if is_missing(error):
            return False
        raise
    if answer["ContentLength"] != len(body) or answer["Metadata"] != metadata:
        answer["Body"].close()
        return False
    return answer["Body"].read() == body


def read_if_there(s3: "S3Client", bucket: str, key: str, most_bytes: int | None = None) -> bytes | None:
    """The object's bytes, or as many; `None` when there is no such object. Raises what boto3 raises."""
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read(most_bytes)
    except AWS_ERRORS as error:
        if is_missing(error):
            return None
        raise
