"""One object of S3 in memory, with conditional writes: a hundred thousand inputs are no matter for a server.

The product's own tests read and write the same objects through moto; here only what they hold is of interest.
"""

import io
from collections.abc import Mapping
from datetime import datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class OneObject:
    """What boto3's client does for one key, whatever it is called."""

    def __init__(self, body: bytes | None, written: datetime) -> None:
        self.body = body
        self.written = written

    @property
    def client(self) -> "S3Client":
        """This as the client that the product takes it for."""
        return cast("S3Client", self)

    def get_object(self, **_asked: Any) -> dict[str, Any]:
        if self.body is None:
            raise _refused("NoSuchKey", 404, "GetObject")
        return {
            "Body": io.BytesIO(self.body),
            "ETag": self._etag(),
            "LastModified": self.written,
            "ContentType": "application/json",
            "Metadata": {},
        }

    def put_object(self, **asked: Any) -> dict[str, Any]:
        self._require("PutObject", asked.get("IfMatch"), asked.get("IfNoneMatch"))
        self.body = asked["Body"]
        return {"ETag": self._etag()}

    def delete_object(self, **asked: Any) -> Mapping[str, Any]:
        self._require("DeleteObject", asked.get("IfMatch"), None)
        self.body = None
        return {}

    def _require(self, operation: str, matching: str | None, none_matching: str | None) -> None:
        if (none_matching and self.body is not None) or (matching and matching != self._etag()):
            raise _refused("PreconditionFailed", 412, operation)

    def _etag(self) -> str:
        return f'"{md5(self.body, usedforsecurity=False).hexdigest()}"' if self.body is not None else ""


def _refused(code: str, status: int, operation: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)
