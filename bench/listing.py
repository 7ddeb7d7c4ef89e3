"""S3's ListObjectsV2 over a keyspace: a request's parameters in, its XML answer out. No network, no counting.

The form is that of the S3 API reference, page "ListObjectsV2". Keys of the keyspace hold only characters that
neither XML nor the URL encoding changes, so `encoding-type=url` shows in what is echoed and nowhere else.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import escape

from bench.keyspace import Keyspace

MAX_KEYS = 1000  # S3 never answers with more, whatever is asked
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class BadRequestError(Exception):
    """A parameter that S3 answers with 400 InvalidArgument."""


@dataclass(frozen=True, slots=True)
class _Page:
    """One answer: runs of positions shown as objects, prefixes rolled up, and where the next page starts."""

    runs: tuple[range, ...]
    common_prefixes: tuple[str, ...]
    next_position: int | None

    @property
    def count(self) -> int:
        return sum(map(len, self.runs)) + len(self.common_prefixes)


def answer(keyspace: Keyspace, bucket: str, query: Mapping[str, str]) -> bytes:
    """The XML body for one request.

    Args:
        query: the URL's parameters, decoded; `prefix`, `delimiter`, `start-after`, `continuation-token`, `max-keys`
            and `encoding-type` count.

    Raises:
        BadRequestError: `max-keys` is no number, or the continuation token is none of ours.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = _max_keys(query.get("max-keys", str(MAX_KEYS)))
    start = max(keyspace.first_from(prefix), _start(keyspace, query))
    end = keyspace.end_of(prefix)
    page = _rolled_up(keyspace, start, end, prefix, delimiter, most) if delimiter else _flat(start, end, most)
    return _xml(keyspace, bucket, query, page, most)


def _max_keys(text: str) -> int:
    if not text.isdecimal():
        raise BadRequestError("Provided max-keys not an integer or within integer range")
    return min(int(text), MAX_KEYS)


def _start(keyspace: Keyspace, query: Mapping[str, str]) -> int:
    """Where the listing begins. A continuation token outranks `start-after`, which clients repeat on every page."""
    token = query.get("continuation-token")
    if token is None:
        return keyspace.first_after(query["start-after"]) if query.get("start-after") else 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error):
        raise BadRequestError("The continuation token provided is incorrect") from None


def _flat(start: int, end: int, most: int) -> _Page:
    stop = max(start, min(end, start + most))
    return _Page((range(start, stop),), (), stop if most and stop < end else None)


def _rolled_up(keyspace: Keyspace, start: int, end: int, prefix: str, delimiter: str, most: int) -> _Page:
    """Keys that hold the delimiter after the prefix become one common prefix, which counts as one result."""
    runs: list[range] = []
    prefixes: list[str] = []
    position = start
    while position < end and len(runs) + len(prefixes) < most:
        key = keyspace.key(position)
        cut = key.find(delimiter, len(prefix))
        if cut < 0:
            runs.append(range(position, position + 1))
            position += 1
        else:
            prefixes.append(key[: cut + len(delimiter)])
            position = keyspace.end_of(prefixes[-1])
    return _Page(tuple(runs), tuple(prefixes), position if most and position < end else None)


def _xml(keyspace: Keyspace, bucket: str, query: Mapping[str, str], page: _Page, most: int) -> bytes:
    by_url = query.get("encoding-type") == "url"

    def echoed(name: str) -> str:
        return quote(query[name], safe="/") if by_url else escape(query[name])

    parts = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{_NAMESPACE}"><Name>{bucket}</Name>',
        f"<Prefix>{echoed('prefix')}</Prefix>" if "prefix" in query else "<Prefix></Prefix>",
    ]
    if "start-after" in query:
        parts.append(f"<StartAfter>{echoed('start-after')}</StartAfter>")
    if "continuation-token" in query:
        parts.append(f"<ContinuationToken>{escape(query['continuation-token'])}</ContinuationToken>")
    if page.next_position is not None:
        parts.append(f"<NextContinuationToken>{_token(page.next_position)}</NextContinuationToken>")
    parts.append(f"<KeyCount>{page.count}</KeyCount><MaxKeys>{most}</MaxKeys>")
    if "delimiter" in query:
        parts.append(f"<Delimiter>{echoed('delimiter')}</Delimiter>")
    if by_url:
        parts.append("<EncodingType>url</EncodingType>")
    parts.append(f"<IsTruncated>{str(page.next_position is not None).lower()}</IsTruncated>")
    parts += [
        f"<Contents><Key>{key}</Key><LastModified>{written}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for run in page.runs
        for key, written, etag, size in keyspace.entries(run)
    ]
    parts += [f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in page.common_prefixes]
    parts.append("</ListBucketResult>")
    return "".join(parts).encode()


def _token(position: int) -> str:
    """Opaque to clients, as S3's is; a client that computed one would not get far on the real service."""
    return base64.b64encode(str(position).encode()).decode()
