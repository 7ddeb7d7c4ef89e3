"""A dead letter as people and filters see it. Pure: nothing is received or moved here.

Workers write message attributes with the reason (docs/how-it-works.md); a message that SQS moved by itself, after too
many receives, has none, and names its queue in a system attribute.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from producer.operator.sessions.find import FoundSession, parse_session
from shared.clock import iso

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

MOVED_BY_SQS: Final = "received-too-often"
UNKNOWN: Final = "unknown"
# Longer ones are no count and no time; Python refuses to read those of more than 4,300 digits.
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue.

    Attributes:
        receipt: of the receive that found it.
        reason: the worker's, or `received-too-often` for one that SQS moved, or `unknown`.
        source_queue: the name of the queue that it came from; empty when nothing says.
        failed_at: when it got here.
        user_id, session_id, chunk: what its body says, if it says so; empty otherwise.
    """

    message_id: str
    receipt: str
    body: str
    reason: str
    detail: str
    source_queue: str
    worker_id: str
    receives: int
    failed_at: datetime
    user_id: str
    session_id: str
    chunk: str

    @property
    def session(self) -> str:
        return f"{self.user_id}/{self.session_id}" if self.session_id else "-"

    def document(self) -> dict[str, Any]:
        """It as JSON, without its body."""
        return {
            "messageId": self.message_id,
            "reason": self.reason,
            "detail": self.detail,
            "userId": self.user_id,
            "sessionId": self.session_id,
            "chunk": self.chunk,
            "sourceQueue": self.source_queue,
            "workerId": self.worker_id,
            "receives": self.receives,
            "failedAt": iso(self.failed_at),
        }


def read_letter(raw: "MessageTypeDef") -> DeadLetter:
    """A message as received with all its attributes."""
    said = {name: value.get("StringValue", "") for name, value in raw.get("MessageAttributes", {}).items()}
    system: dict[str, str] = {str(name): value for name, value in raw.get("Attributes", {}).items()}
    source_arn = system.get("DeadLetterQueueSourceArn", "")
    body = _object(raw["Body"])
    return DeadLetter(
        message_id=raw["MessageId"],
        receipt=raw["ReceiptHandle"],
        body=raw["Body"],
        reason=said.get("reason") or (MOVED_BY_SQS if source_arn else UNKNOWN),
        detail=said.get("detail", ""),
        source_queue=said.get("sourceQueue") or source_arn.rpartition(":")[2],
        worker_id=said.get("workerId", ""),
        receives=_number(said.get("receives", "")),
        failed_at=datetime.fromtimestamp(_number(system.get("SentTimestamp", "")) / 1000, UTC),
        user_id=_text(body, "userId"),
        session_id=_text(body, "sessionId"),
        chunk=_text(body, "chunk"),
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; absent parts leave none out.

    Attributes:
        session: an id, or a session with its user.
        older_than, newer_than: since it got to the dead-letter queue.
    """

    session: FoundSession | str | None = None
    reason: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def takes(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether `letter` is meant."""
        age = now - letter.failed_at
        return (
            (self.reason is None or letter.reason == self.reason)
            and self._is_session(letter)
            and (self.older_than is None or age > self.older_than)
            and (self.newer_than is None or age < self.newer_than)
        )

    def _is_session(self, letter: DeadLetter) -> bool:
        match self.session:
            case None:
                return True
            case FoundSession(user_id, session_id):
                return (letter.user_id, letter.session_id) == (user_id, session_id)
            case session_id:
                return letter.session_id == session_id


def filter_of(session: str | None, reason: str | None, older_than: str | None, newer_than: str | None) -> Filter:
    """The filter of a command's options.

    Raises:
        ValueError: a duration is none, such as `90m`, `12h` or `3d`.
        SessionUnknownError: the session is none.
    """
    return Filter(
        session=parse_session(session) if session else None,
        reason=reason,
        older_than=_duration(older_than) if older_than else None,
        newer_than=_duration(newer_than) if newer_than else None,
    )


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write it as in 90m, 12h or 3d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _object(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _text(body: dict[str, Any], name: str) -> str:
    """A text of the body. JSON can spell half a surrogate pair, which no terminal could show."""
    value = body.get(name)
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0
