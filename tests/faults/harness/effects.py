"""What a fault does to a call: the effects that rules carry.

An effect acts before the call is carried out, after it, or both. It returns values and asks its `Passage` for the rest:
signals, waits and requests are the proxy's.
"""

import json
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal, Protocol

from tests.faults.harness.answers import blank, refusal, with_body
from tests.faults.harness.call import Call
from tests.faults.harness.wire import Answer

CALLER: Final = "caller"
_DEATH_SECONDS: Final = 5


class NoAnswer(Enum):
    """The ways in which a client gets no answer."""

    CLOSED = "closed"
    RESET = "reset"


Reply = Answer | NoAnswer


class Passage(Protocol):
    """One call on its way through the proxy, as effects see it."""

    @property
    def call(self) -> Call: ...

    def carry_out(self) -> Answer:
        """Send the call to the cloud (again)."""

    def ask(self, operation: str, parameters: Mapping[str, Any]) -> Answer:
        """Make another call of the same JSON service, in the caller's name."""

    def wait(self, seconds: float) -> None:
        """Hold the call for so long."""

    def wait_gone(self, seconds: float) -> bool:
        """Hold it until the client gives up, at most so long; whether it did."""

    def kill(self, actor: str, sig: signal.Signals) -> None:
        """Send a signal to an actor's process."""


class Effect:
    """Does nothing: effects override the way that they change."""

    def inward(self, passage: Passage) -> Reply | None:
        """Act before the call is carried out; a reply ends it there."""
        return None

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        """Act when the call was carried out; returns what the client gets."""
        return answer


@dataclass(frozen=True)
class Delay(Effect):
    """The call takes longer, before it is carried out."""

    seconds: float

    def inward(self, passage: Passage) -> None:
        passage.wait(self.seconds)


@dataclass(frozen=True)
class Fail(Effect):
    """The service refuses, in its own format; the call is not carried out."""

    status: int
    code: str
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def inward(self, passage: Passage) -> Answer:
        return refusal(passage.call, self.status, self.code, self.message or "a fault was injected", self.headers)


SLOW_DOWN: Final = Fail(503, "SlowDown", "Please reduce your request rate.")
INTERNAL: Final = Fail(500, "InternalError")
UNAVAILABLE: Final = Fail(503, "ServiceUnavailable")
THROTTLED: Final = Fail(400, "ThrottlingException", "Rate exceeded")
SQS_THROTTLED: Final = Fail(400, "RequestThrottled")
EC2_THROTTLED: Final = Fail(503, "RequestLimitExceeded")
CONFLICT: Final = Fail(409, "ConditionalRequestConflict")
PRECONDITION: Final = Fail(412, "PreconditionFailed")
EXPIRED_TOKEN: Final = Fail(400, "ExpiredToken", "The provided token has expired.")
SKEWED: Final = Fail(403, "RequestTimeTooSkewed")
DENIED: Final = Fail(403, "AccessDenied")
NO_CAPACITY: Final = Fail(500, "InsufficientInstanceCapacity")


@dataclass(frozen=True)
class Reset(Effect):
    """The connection is reset, before or after the call was carried out."""

    after: bool = False

    def inward(self, passage: Passage) -> Reply | None:
        return None if self.after else NoAnswer.RESET

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        return NoAnswer.RESET


@dataclass(frozen=True)
class Truncate(Effect):
    """The connection closes in the middle of the body; Content-Length is that of the whole."""

    to_bytes: int

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        return replace(answer, body=answer.body[: self.to_bytes], length=len(answer.body))


@dataclass(frozen=True)
class Hang(Effect):
    """No answer comes, for so long or until the client gives up; then the connection closes."""

    seconds: float
    carried_out: bool = False

    def inward(self, passage: Passage) -> Reply | None:
        return None if self.carried_out else self._hang(passage)

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        return self._hang(passage)

    def _hang(self, passage: Passage) -> NoAnswer:
        passage.wait_gone(self.seconds)
        return NoAnswer.CLOSED


@dataclass(frozen=True)
class Twice(Effect):
    """The call is carried out twice; the client gets the first answer, or the last, as after a retry it never saw."""

    answer: Literal["first", "last"] = "first"

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        again = passage.carry_out()
        return answer if self.answer == "first" else again


@dataclass(frozen=True)
class Kill(Effect):
    """A process gets a signal, before the call is carried out or after.

    A caller that the signal leaves no choice gets no answer, and with `before` its call is not carried out. Any other
    signal, and another actor's death, only happen at that moment: the call goes on.
    """

    actor: str = CALLER
    before: bool = True
    sig: signal.Signals = signal.SIGKILL

    def inward(self, passage: Passage) -> Reply | None:
        return self._strike(passage) if self.before else None

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        return answer if self.before else self._strike(passage) or answer

    def _strike(self, passage: Passage) -> NoAnswer | None:
        passage.kill(passage.call.actor if self.actor == CALLER else self.actor, self.sig)
        if self.actor not in (CALLER, passage.call.actor) or self.sig is not signal.SIGKILL:
            return None
        # The kernel closes a dead process's sockets: until then it could still act on a closed connection.
        passage.wait_gone(_DEATH_SECONDS)
        return NoAnswer.CLOSED


@dataclass(frozen=True)
class Rewrite(Effect):
    """The client gets another answer than the cloud gave; answers.py has functions for it."""

    function: Callable[[Answer], Answer]

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        return self.function(answer)


@dataclass(frozen=True)
class Swallow(Effect):
    """The call is answered as done, and is not; without an answer given, by an empty success of the service."""

    answer: Answer | None = None

    def inward(self, passage: Passage) -> Answer:
        return self.answer or blank(passage.call)


@dataclass(frozen=True)
class Then(Effect):
    """Something else happens at that moment, in the harness; then the call goes on."""

    action: Callable[[Call], object]
    after: bool = False

    def inward(self, passage: Passage) -> None:
        if not self.after:
            self.action(passage.call)

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        if self.after:
            self.action(passage.call)
        return answer


@dataclass(frozen=True)
class Order(Effect):
    """Tells the scripted transcriber, when a window begins, what to do; hearing.py says what each word means."""

    what: Literal["ok", "hang", "crash", "memory", "broken", "window"]

    def inward(self, passage: Passage) -> Answer:
        return Answer(200, {"content-type": "text/plain"}, self.what.encode())


class DeliverTwice(Effect):
    """Whatever a receive gave out is visible again at once, so that another worker gets it too."""

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        messages = json.loads(answer.body).get("Messages", ()) if answer.status == 200 else ()
        if messages:
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                for number, message in enumerate(messages)
            ]
            parameters = {"QueueUrl": passage.call.body["QueueUrl"], "Entries": entries}
            passage.ask("ChangeMessageVisibilityBatch", parameters)
        return answer


@dataclass(frozen=True)
class StaleReceipt(Effect):
    """Receipt handles have gone stale: a standard queue ignores a delete by one, and refuses to extend its lease."""

    code: str = "InvalidParameterValue"
    message: str = "Value for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."

    def inward(self, passage: Passage) -> Answer:
        call, body = passage.call, passage.call.body
        if call.operation == "ChangeMessageVisibility":
            return refusal(call, 400, self.code, self.message)
        ids = [entry["Id"] for entry in body.get("Entries", ())]
        refused = {"SenderFault": True, "Code": self.code, "Message": self.message}
        if call.operation == "ChangeMessageVisibilityBatch":
            content = {"Successful": [], "Failed": [{"Id": each, **refused} for each in ids]}
        elif call.operation == "DeleteMessageBatch":
            content = {"Successful": [{"Id": each} for each in ids], "Failed": []}
        else:
            content = {}
        return with_body(blank(call), json.dumps(content).encode())


class Reorder(Effect):
    """Holds a call until another that the rule strikes has been carried out, or for so long."""

    def __init__(self, seconds: float = 0.5) -> None:
        self._seconds = seconds
        self._passing = threading.Condition()
        self._passed = 0
        self._held = 0

    def inward(self, passage: Passage) -> None:
        with self._passing:
            if self._held:  # this one is to overtake
                return
            self._held += 1
            before = self._passed
            self._passing.wait_for(lambda: self._passed > before, self._seconds)
            self._held -= 1

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        with self._passing:
            self._passed += 1
            self._passing.notify_all()
        return answer
