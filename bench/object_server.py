"""A small S3 that keeps its connections open, as S3 does: what finalising a session asks of it, and no more.

The embedded cloud's server closes each connection after one answer, and the thousands of new ones would be measured
instead of the code. Objects live in memory; LIST, GET, HEAD and conditional PUT are all it knows.
"""

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE: Final = 1000
_STORED: Final = "2026-01-01T00:00:00.000Z"
_STORED_HTTP: Final = "Thu, 01 Jan 2026 00:00:00 GMT"
_KEPT: Final = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class Stored:
    """One object; `kept` are the headers that come back with it."""

    body: bytes
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class ObjectServer(ThreadingHTTPServer):
    """Serves `objects` (by key) of whatever bucket is named, on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, objects: dict[str, Stored]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = objects
        self._listing: list[tuple[str, str]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, key: str, stored: Stored) -> None:
        """Keep an object."""
        self.objects[key] = stored
        self._listing = None

    def page(self, prefix: str, after: str) -> str:
        """The page of a listing that begins behind the key `after`."""
        if self._listing is None:
            self._listing = [(key, _entry(key, stored)) for key, stored in sorted(self.objects.items())]
        keys = self._listing
        begin = max(bisect_left(keys, (prefix, "")), bisect_right(keys, (after, "\U0010ffff")) if after else 0)
        found = [entry for entry in keys[begin : begin + _PAGE] if entry[0].startswith(prefix)]
        more = begin + _PAGE < len(keys) and len(found) == _PAGE
        token = f"<NextContinuationToken>{escape(found[-1][0])}</NextContinuationToken>" if more else ""
        entries = "".join(entry for _, entry in found)
        count = f"<KeyCount>{len(found)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
        return f"<ListBucketResult>{count}{token}{entries}</ListBucketResult>"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ObjectServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            page = self.server.page(query["prefix"][0], query.get("continuation-token", [""])[0])
            self._answer(200, page.encode(), {"Content-Type": "application/xml"})
        else:
            self._object()

    def do_HEAD(self) -> None:
        self._object()

    def do_PUT(self) -> None:
        body = self._body()
        now = self.server.objects.get(self._key())
        wanted, absent = self.headers["If-Match"], self.headers["If-None-Match"]
        if (wanted and (now is None or now.etag != wanted)) or (absent and now is not None):
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", {})
            return
        kept = {name: value for name, value in self.headers.items() if name.lower().startswith(_KEPT)}
        stored = Stored(body, kept)
        self.server.put(self._key(), stored)
        self._answer(200, b"", {"ETag": stored.etag})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        """Say nothing: a line for each request would be most of the work."""

    def _object(self) -> None:
        stored = self.server.objects.get(self._key())
        if stored is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
            return
        self._answer(200, stored.body, {"ETag": stored.etag, "Last-Modified": _STORED_HTTP, **stored.kept})

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _body(self) -> bytes:
        """The body; boto3 sends it in chunks that carry a checksum (Signature Version 4, "chunked upload")."""
        if self.headers["Expect"]:
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" not in (self.headers["Content-Encoding"] or ""):
            return body
        parts, at = [], 0
        while size := int(body[at : (end := body.index(b"\r\n", at))].partition(b";")[0], 16):
            parts.append(body[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        return b"".join(parts)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "x-amz-request-id": "bench", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(key: str, stored: Stored) -> str:
    fields = f"<Key>{escape(key)}</Key><LastModified>{_STORED}</LastModified>"
    return f"<Contents>{fields}<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.body)}</Size></Contents>"
