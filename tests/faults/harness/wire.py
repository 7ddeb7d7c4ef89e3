"""HTTP/1.1 on bare sockets, as far as AWS's clients and moto's server use it.

The fault proxy does with a connection what no HTTP library lets it do: cut a body short, reset, stay silent. It also
carries ten thousand jobs, so heads are split and handed on, not parsed. Nothing here knows of faults or of AWS.
"""

import contextlib
import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Final

_READ: Final = 65536
_LONGEST_HEAD: Final = 65536
_CONNECT_SECONDS: Final = 5
# Of one connection only (RFC 9110, section 7.6.1), or settled anew on each side of a proxy.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "content-length", "expect"}
)
_NO_BODY: Final = (204, 304)


class GoneError(Exception):
    """The other side closed the connection or spoke no HTTP."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers in lower case, those of the connection left out."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of headers in lower case, those of the connection left out.

    Attributes:
        length: what Content-Length says when that is not the body's own length: of an answer to HEAD, or of a body
            that was cut.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    length: int | None = None


class Connection:
    """A socket with what was read ahead from it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ahead = bytearray()

    def read_request(self) -> Request:
        """The next request.

        Raises:
            GoneError: there is none, or not a whole one.
        """
        (method, path, _), headers = self._head()
        if "100-continue" in headers.get("expect", "").lower():
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, path, _of_message(headers), self._body(headers, until_close=False))

    def read_answer(self, method: str) -> tuple[Answer, bool]:
        """The answer to a request of `method`, and whether another request can follow.

        Raises:
            GoneError: there is none, or not a whole one.
        """
        (version, status, _), headers = self._head()
        while status.startswith("1"):
            (version, status, _), headers = self._head()
        code = int(status)
        keeps = headers.get("connection", "keep-alive" if version == "HTTP/1.1" else "close").lower() != "close"
        if method == "HEAD" or code in _NO_BODY:
            length = int(headers["content-length"]) if "content-length" in headers else None
            return Answer(code, _of_message(headers), b"", length), keeps
        measured = "content-length" in headers or "transfer-encoding" in headers
        return Answer(code, _of_message(headers), self._body(headers, until_close=True)), keeps and measured

    def send_request(self, request: Request) -> None:
        """Send a request whole.

        Raises:
            GoneError: the other side is away.
        """
        head = [f"{request.method} {request.path} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.body or request.method in {"PUT", "POST"}:
            head.append(f"content-length: {len(request.body)}")
        self.send("\r\n".join([*head, "\r\n"]).encode("latin-1") + request.body)

    def send_answer(self, answer: Answer) -> None:
        """Send an answer; one write for head and body, else Nagle's algorithm would add a delay of its own.

        Raises:
            GoneError: the other side is away.
        """
        head = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        if answer.status not in _NO_BODY:
            head.append(f"content-length: {len(answer.body) if answer.length is None else answer.length}")
        self.send("\r\n".join([*head, "\r\n"]).encode("latin-1") + answer.body)

    def send(self, data: bytes) -> None:
        """Send bytes as they are.

        Raises:
            GoneError: the other side is away.
        """
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise GoneError from error

    def wait_gone(self, seconds: float) -> bool:
        """Wait at most `seconds` for the other side to close; whether it did (or sent more, which no client does)."""
        poll = select.poll()  # select() knows no descriptor above 1023
        try:
            poll.register(self._socket, select.POLLIN)
        except (OSError, ValueError):
            return True  # closed on this side
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Close in order; a read or write in another thread ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def reset(self) -> None:
        """Close with a TCP reset: with no time to linger, the kernel sends RST in place of FIN."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _head(self) -> tuple[tuple[str, str, str], dict[str, str]]:
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > _LONGEST_HEAD:
                raise GoneError
            self._more()
        first, *lines = self._take(end + 4)[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        one, _, rest = first.partition(" ")
        two, _, three = rest.partition(" ")
        return (one, two, three), {name.lower(): value.strip() for name, _, value in pairs}

    def _body(self, headers: Mapping[str, str], *, until_close: bool) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        if until_close:
            with contextlib.suppress(GoneError):
                while True:
                    self._more()
            return self._take(len(self._ahead))
        return b""

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._line().partition(b";")[0], 16):
            parts.append(self._exactly(size))
            self._line()
        while self._line():
            pass  # trailers: those that AWS's clients send lie inside the body, which has a framing of its own
        return b"".join(parts)

    def _line(self) -> bytes:
        while (end := self._ahead.find(b"\r\n")) < 0:
            self._more()
        return self._take(end + 2)[:-2]

    def _exactly(self, count: int) -> bytes:
        while len(self._ahead) < count:
            self._more()
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._ahead[:count])
        del self._ahead[:count]
        return taken

    def _more(self) -> None:
        try:
            read = self._socket.recv(_READ)
        except OSError as error:
            raise GoneError from error
        if not read:
            raise GoneError
        self._ahead += read


def connect(host: str, port: int, timeout: float) -> Connection:
    """A new connection, whose reads take at most `timeout` seconds each.

    Raises:
        GoneError: nobody listens there.
    """
    try:
        sock = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise GoneError from error
    sock.settimeout(timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(sock)


def _of_message(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
