"""A real HTTP server, in a process of its own, that lists the simulated bucket and counts what it is asked for.

Run as a module it is that process; `listing_server` starts one and makes sure that it ends: it stops when its
stdin closes, which also happens when the process that started it is killed, and after its lifetime in any case.
It knows one operation. Any other is counted and refused, so nothing the measured code does goes unseen.
"""

import argparse
import json
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from bench.children import PROJECT, MeasurementError, environment
from bench.keyspace import Keyspace
from bench.listing import BadRequestError, answer

LIST = "ListObjectsV2"
_COUNTS_PATH = "/_counts"
_LIFETIME_SECONDS = 1800
_STOP_SECONDS = 10


def operation(method: str, target: str) -> str:
    """The S3 operation that a path-style request asks for; method and kind of resource for those that are not LIST."""
    url = urlsplit(target)
    bucket, _, key = url.path.lstrip("/").partition("/")
    if method == "GET" and bucket and not key and dict(parse_qsl(url.query)).get("list-type") == "2":
        return LIST
    return f"{method} {'object' if key else 'bucket' if bucket else 'service'}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # every thread of a scan connects at the same moment

    def __init__(self, keyspace: Keyspace) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keyspace = keyspace
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def counts(self) -> bytes:
        with self._lock:
            return json.dumps({"operations": self._counts, "cpuSeconds": time.process_time()}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body leave as one write. Two small ones would wait for each other (Nagle against delayed
    # acknowledgement, 40 ms a page), and the bench would measure that.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        if self.path == _COUNTS_PATH:
            self._send(HTTPStatus.OK, "application/json", self.server.counts())
            return
        name = operation(self.command, self.path)
        self.server.count(name)
        if name == LIST:
            self._list()
        else:
            self._refuse(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", f"{name} is not simulated")

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _list(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            body = answer(self.server.keyspace, url.path.strip("/"), query)
        except BadRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidArgument", str(error))
            return
        self._send(HTTPStatus.OK, "application/xml", body)

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        # A body that came with the request stays unread, so the connection cannot be used again.
        self.close_connection = True
        body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        self._send(status, "application/xml", body.encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a line for each page would cost more than it tells."""


@dataclass(frozen=True, slots=True)
class ListingServer:
    """A running server, seen from the process that started it."""

    port: int

    @property
    def endpoint(self) -> str:
        """What `AWS_ENDPOINT_URL` takes."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> dict[str, Any]:
        """`{operations: {name: requests}, cpuSeconds}` since the server started; the call itself is not counted."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_STOP_SECONDS)
        try:
            connection.request("GET", _COUNTS_PATH)
            counts: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return counts


@contextmanager
def listing_server(users: int) -> Iterator[ListingServer]:
    """A server over a keyspace of `users`, ready for requests, gone when the block ends."""
    process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
        [sys.executable, "-m", "bench.listing_server", "--users", str(users)],
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.strip().isdecimal():
                raise MeasurementError("the listing server did not start")
            yield ListingServer(int(line))
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _main() -> None:
    parser = argparse.ArgumentParser(description="Lists a simulated bucket; stops when stdin closes.")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--lifetime-seconds", type=float, default=_LIFETIME_SECONDS)
    options = parser.parse_args()
    with _Server(Keyspace(options.users)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        # Readable means closed: nothing is ever sent.
        select.select([sys.stdin], [], [], options.lifetime_seconds)
        server.shutdown()


if __name__ == "__main__":
    _main()
