"""Stands between a worker and the cloud and adds a delay to each call, by service, as a cloud that is far away would.

An HTTP proxy of the plainest kind: it waits, then hands the request on as it came and the answer back. It also notes
how many calls each service got and when a job was first asked for.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 60
# Of one connection only (RFC 9110, section 7.6.1): each side of the proxy has its own.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"})
_RECEIVE = "AmazonSQS.ReceiveMessage"


def service_of(authorization: str) -> str:
    """The service that a request is signed for, such as `s3`; empty when it is not signed.

    The credential scope of Signature Version 4 is `key/date/region/service/aws4_request`.
    """
    _, _, scope = authorization.partition("Credential=")
    parts = scope.partition(",")[0].split("/")
    return parts[3] if len(parts) == 5 else ""


class SlowCloud(ThreadingHTTPServer):
    """A running proxy. Make it with `slow_cloud`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, delays: Mapping[str, float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self._delays = delays
        self._calls: Counter[str] = Counter()
        self._first_receive: float | None = None
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """What `AWS_ENDPOINT_URL` takes."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def first_receive(self) -> float | None:
        """When a message was first asked for, in seconds since the epoch; `None` when none was yet."""
        with self._lock:
            return self._first_receive

    def calls(self) -> Counter[str]:
        """How many calls each service got."""
        with self._lock:
            return self._calls.copy()

    def delay(self, authorization: str, target: str) -> None:
        """Count a call and wait as long as its service takes longer than it does here."""
        service = service_of(authorization)
        with self._lock:
            self._calls[service] += 1
            if self._first_receive is None and target == _RECEIVE:
                self._first_receive = time.time()
        time.sleep(self._delays.get(service, 0))


class _Handler(BaseHTTPRequestHandler):
    server: SlowCloud
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave as one write, else Nagle's algorithm would add a delay of its own
    disable_nagle_algorithm = True
    _upstream: HTTPConnection | None = None

    def _serve(self) -> None:
        self.server.delay(self.headers.get("Authorization", ""), self.headers.get("X-Amz-Target", ""))
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._hand_on(body)
        except (OSError, HTTPException):
            # As a load balancer does when what is behind it is away; the client's retries are part of what is measured.
            self._upstream = None
            self.close_connection = True
            self.send_error(HTTPStatus.BAD_GATEWAY)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

    def _hand_on(self, body: bytes) -> None:
        if self._upstream is None:
            upstream = self.server.upstream
            self._upstream = HTTPConnection(upstream.hostname or "", upstream.port, timeout=_TIMEOUT_SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        self._upstream.request(self.command, self.path, body, headers)
        answer = self._upstream.getresponse()
        content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        # The answer to HEAD tells the length of what it does not bring.
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    def finish(self) -> None:
        super().finish()
        if self._upstream is not None:
            self._upstream.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing: what went wrong is an answer, and all else is noise."""


@contextmanager
def slow_cloud(upstream: str, delays: Mapping[str, float]) -> Iterator[SlowCloud]:
    """A proxy in front of `upstream` for as long as the block lasts; `delays` are seconds by service."""
    with SlowCloud(upstream, delays) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), name="slow-cloud", daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
