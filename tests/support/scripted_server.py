"""A server that gives the answers of a script, one a request, and remembers what it was asked.

It stands in for a service of AWS as a network shows it on a bad day: answers with errors, answers that are cut off,
connections that are reset before or after the service has done its part, and silence. What a service keeps is kept by
another server behind it, where a script says so.
"""

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MOST_SILENT_SECONDS = 20.0
_OF_THE_CONNECTION = {"connection", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        body: as announced by Content-Length.
        passed: the server behind carries it out, and the answer is its own.
        cut_to: send so many bytes of it, then close.
        reset: close the connection by a reset, without an answer.
        silent: say nothing until the server ends.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_to: int | None = None
    reset: bool = False
    silent: bool = False
    passed: bool = False


RESET = Answer(reset=True)
SILENCE = Answer(silent=True)
PASS = Answer(passed=True)
LOST = Answer(passed=True, reset=True)
"""Carried out, and its answer lost on the way."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer:
    """Answers by `script`; its last answer again and again once it has come to its end.

    Args:
        behind: host and port of the server that carries out what is passed on.
    """

    def __init__(self, behind: str = "") -> None:
        self._behind = behind
        self.script: Sequence[Answer] = (Answer(),)
        self.requests: list[Request] = []
        self.connections = 0
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._server = _Listener(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def play(self, *answers: Answer) -> None:
        """Begin another script."""
        self.script, self.requests = answers, []

    def next(self, request: Request) -> Answer:
        """The answer to a request, which is remembered."""
        with self._mutex:
            self.requests.append(request)
            return self.script[min(len(self.requests), len(self.script)) - 1]

    def pass_on(self, request: Request) -> Answer:
        """What the server behind answers."""
        connection = http.client.HTTPConnection(self._behind, timeout=_MOST_SILENT_SECONDS)
        with contextlib.closing(connection):
            # What is about the connection to this server, and not about the request.
            headers = {name: value for name, value in request.headers.items() if name not in {"connection", "expect"}}
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION}
            return Answer(answer.status, answer.read(), kept)

    def connected(self) -> None:
        with self._mutex:
            self.connections += 1

    def be_silent(self) -> None:
        self._closing.wait(_MOST_SILENT_SECONDS)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 makes more clients than that at once wait for a second try of their own.
    request_queue_size = 128

    def __init__(self, scripted: ScriptedServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripted = scripted


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    timeout = _MOST_SILENT_SECONDS

    def setup(self) -> None:
        super().setup()
        self.server.scripted.connected()

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that has timed out hangs up
            super().handle_one_request()

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        answer = self.server.scripted.next(request)
        passed = self.server.scripted.pass_on(request) if answer.passed else answer
        if answer.silent:
            self.server.scripted.be_silent()
        if answer.silent or answer.reset:
            self._hang_up()
        else:
            self._give(passed)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - named by the methods

    def _give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut_to])
        if answer.cut_to is not None:
            self.close_connection = True

    def _hang_up(self) -> None:
        # To linger for no time means a reset instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
