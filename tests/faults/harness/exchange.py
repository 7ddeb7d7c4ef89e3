"""One call on its way through the fault proxy: effects strike it, the cloud carries it out, the client is answered."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.faults.harness.answers import refusal
from tests.faults.harness.call import MODEL, Call
from tests.faults.harness.effects import Effect, NoAnswer, Reply
from tests.faults.harness.journal import Entry
from tests.faults.harness.wire import Answer, Connection, GoneError, Request, connect

_CLOUD_SECONDS: Final = 60
_GRAIN_SECONDS: Final = 0.25
_ITEM_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
_QUEUE_WRITES: Final = frozenset({"SendMessage", "SendMessageBatch", "DeleteMessage", "DeleteMessageBatch"})


class Cloud:
    """One client connection's way to the cloud, kept open for as long as the cloud keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: Connection | None = None

    def answer(self, request: Request) -> Answer:
        """Have a request carried out, once.

        Raises:
            GoneError: the cloud is away.
        """
        # A connection that the cloud has closed is noticed before it is used: to send again after a failure could
        # carry the call out twice, and only `Twice` may do that.
        if self._connection is not None and self._connection.wait_gone(0):
            self.close()
        connection = self._connection or connect(*self._address, timeout=_CLOUD_SECONDS)
        self._connection = connection
        keeps = False
        try:
            connection.send_request(request)
            answer, keeps = connection.read_answer(request.method)
        finally:
            if not keeps:
                self.close()
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@dataclass(frozen=True, slots=True)
class Means:
    """What an exchange may use of the proxy that it goes through.

    Attributes:
        hold: waits so many seconds, or until the proxy closes; whether it closed.
        kill: sends a signal to an actor's process.
        turn: is held while a write is carried out that the emulator would mix up with another.
    """

    hold: Callable[[float], bool]
    kill: Callable[[str, signal.Signals], None]
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Exchange:
    """One call from request to answer; what effects see as their `Passage`.

    Attributes:
        struck: the effects that struck so far.
        statuses: of each time that the call reached the cloud.
        etag: S3's, of the last time.
    """

    call: Call
    request: Request
    client: Connection
    cloud: Cloud
    means: Means
    struck: list[Effect] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    etag: str = ""

    def run(self, effects: Iterator[Effect], note: Callable[[Entry], None]) -> bool:
        """Answer the call as effects would have it; one that ends the call leaves those behind it unasked for.

        Args:
            note: keeps what came of the call. It is called before the client can know, so that a script which goes on
                with the answer finds the call in the journal.

        Returns:
            Whether the client's connection can be used again.
        """
        began = time.monotonic()
        reply = self._reply(effects)
        whole = isinstance(reply, Answer) and (reply.length is None or self.request.method == "HEAD")
        note(
            Entry(
                call=self.call,
                status=reply.status if isinstance(reply, Answer) and whole else 0,
                carried_out=tuple(self.statuses),
                began=began,
                ended=time.monotonic(),
                faults=tuple(type(effect).__name__ for effect in self.struck),
                etag=self.etag,
                size=len(self.request.body),
            )
        )
        if isinstance(reply, Answer):
            self.client.send_answer(reply)
        elif reply is NoAnswer.RESET:
            self.client.reset()
        return whole

    def carry_out(self) -> Answer:
        if self.call.service == MODEL:
            answer = Answer(200, {"content-type": "text/plain"}, b"ok")
        elif _takes_turns(self.call):
            with self.means.turn:
                answer = self.cloud.answer(self.request)
        else:
            answer = self.cloud.answer(self.request)
        self.statuses.append(answer.status)
        self.etag = answer.headers.get("etag", "").strip('"')
        return answer

    def ask(self, operation: str, parameters: Mapping[str, Any]) -> Answer:
        # The caller's own signature is good enough: the embedded cloud reads from it only which service is meant.
        prefix = self.request.headers["x-amz-target"].rpartition(".")[0]
        headers = {**self.request.headers, "x-amz-target": f"{prefix}.{operation}"}
        return self.cloud.answer(replace(self.request, headers=headers, body=json.dumps(parameters).encode()))

    def wait(self, seconds: float) -> None:
        self.means.hold(seconds)

    def wait_gone(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.client.wait_gone(min(left, _GRAIN_SECONDS)):
                return True
            if self.means.hold(0):
                return False
        return False

    def kill(self, actor: str, sig: signal.Signals) -> None:
        self.means.kill(actor, sig)

    def _reply(self, effects: Iterator[Effect]) -> Reply:
        for effect in effects:
            self.struck.append(effect)
            if (early := effect.inward(self)) is not None:
                return early
        lost: NoAnswer | None = None
        try:
            answer = self.carry_out()
            for effect in self.struck:  # all of them, even when one has lost the answer: each counts as injected
                reply = effect.outward(self, answer)
                if isinstance(reply, Answer):
                    answer = reply
                else:
                    lost = lost or reply
        except GoneError:
            # As a load balancer says when what is behind it is away.
            return refusal(self.call, 502, "BadGateway", "the embedded cloud is away")
        return lost or answer


def _takes_turns(call: Call) -> bool:
    """Whether it is a write that AWS makes in one step and the emulator in two, in threads.

    Of two writes with a condition at the same moment both could find it true. Of two messages deleted from a queue at
    the same moment one could stay, and one that is sent meanwhile could be gone: a queue's list is copied and replaced.
    """
    if call.service == "dynamodb":
        return call.operation in _ITEM_WRITES
    if call.service == "sqs":
        return call.operation in _QUEUE_WRITES
    return bool(call.conditions)
