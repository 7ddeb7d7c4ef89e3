"""A gate before the embedded cloud, which judges each call by the policies of its caller and notes it.

It stands between the fleet's processes and the emulator as a plain HTTP proxy, so nothing in them is patched and no
call escapes. What the emulator does not check, resources of most services and all conditions, is checked here.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.iam.harness.actions import World, listing_of, requests_of
from tests.iam.harness.evaluator import Request, Statement, allows
from tests.iam.harness.wire import WireCall, read_call, refusal

_CONNECTION_ONLY = {"connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the component whose role it has, and the name of its session."""

    component: str
    session_name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call that came by, with the permissions that it needed and whether it had them."""

    caller: Caller
    service: str
    operation: str
    requests: tuple[Request, ...]
    allowed: bool


@dataclass(slots=True)
class Gate:
    """The gate's books.

    Attributes:
        callers: access key -> its owner. A call with any other key is refused.
        statements: component -> the statements of its role.
        calls: in the order in which they came.
        not_understood: calls that were turned away because nobody here knows what they need.
    """

    world: World
    statements: Mapping[str, Sequence[Statement]]
    callers: dict[str, Caller] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    not_understood: list[str] = field(default_factory=list)
    endpoint: str = ""
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, call: WireCall, requests: Sequence[Request]) -> bool:
        """Whether the call's owner has all these permissions; the call is noted."""
        caller = self.callers.get(call.access_key)
        if caller is None:
            return False
        allowed = all(allows(self.statements[caller.component], request) for request in requests)
        with self._mutex:
            self.calls.append(Call(caller, call.service, call.operation, tuple(requests), allowed))
        return allowed

    def needs(self, call: WireCall) -> list[Request]:
        """The permissions that a call needs, as the world is now."""
        caller = self.callers.get(call.access_key)
        return requests_of(call, caller.session_name if caller else "", self.world)


@contextmanager
def standing(gate: Gate, cloud: str) -> Iterator[None]:
    """Let the gate stand before the emulator at `cloud` for as long as the block lasts; sets its `endpoint`."""
    server = _Server(gate, urlsplit(cloud).netloc)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="gate", daemon=True)
    thread.start()
    gate.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gate: Gate, cloud: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gate = gate
        self.cloud = cloud


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.onward = HTTPConnection(self.server.cloud, timeout=60)

    def finish(self) -> None:
        super().finish()
        self.onward.close()

    def _pass_or_refuse(self) -> None:
        gate = self.server.gate
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            call = read_call(self.command, self.path, dict(self.headers), body)
            needed = gate.needs(call)
        except (KeyError, ValueError) as error:
            gate.not_understood.append(f"{self.command} {self.path}: {error!r}")
            self._answer(501, {}, b"")
            return
        if not gate.judge(call, needed):
            self._answer(*refusal(call))
            return
        answer = self._ask(body)
        content = answer.read()
        if call.service == "s3" and answer.status == 404 and not gate.judge(call, [*needed, listing_of(call)]):
            self._answer(*refusal(call))
            return
        self._answer(answer.status, dict(answer.getheaders()), content)

    def do_GET(self) -> None:
        self._pass_or_refuse()

    def do_HEAD(self) -> None:
        self._pass_or_refuse()

    def do_PUT(self) -> None:
        self._pass_or_refuse()

    def do_POST(self) -> None:
        self._pass_or_refuse()

    def do_DELETE(self) -> None:
        self._pass_or_refuse()

    def _ask(self, body: bytes) -> HTTPResponse:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _CONNECTION_ONLY}
        self.onward.request(self.command, self.path, body, headers)
        return self.onward.getresponse()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {*_CONNECTION_ONLY, "content-length"}:
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    def log_message(self, *_: object) -> None:
        """Say nothing: the gate's books tell more."""
