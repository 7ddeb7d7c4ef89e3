"""The lock: says that live sessions hold the GPU, so that batch work keeps still.

One S3 object, changed only by compare-and-swap on its ETag, so two recorders never lose each other's hold. Whatever
cannot be read counts as held: disturbing a live session is worse than waiting.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError, field_serializer, field_validator
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from shared.clock import Clock, iso
from shared.errors import (
    AWS_ERRORS,
    TransientError,
    cause_of,
    is_caller_refused,
    is_missing,
    is_precondition_failed,
    is_retryable,
)
from shared.formats.layout import LOCK_KEY
from shared.formats.wire import WireModel

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Fifty recorders can contend for the object; each round lets at least one of them through.
_SWAP_ATTEMPTS = 60


class Holder(WireModel):
    """A live session that holds the lock; `timestamp` is when it took or last refreshed it."""

    user_id: str
    session_id: str
    timestamp: datetime

    @field_validator("timestamp")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        return value if value.tzinfo else value.replace(tzinfo=UTC)

    @field_serializer("timestamp")
    def _as_text(self, value: datetime) -> str:
        return iso(value)

    def is_session(self, user_id: str, session_id: str) -> bool:
        """Whether this is that session's hold."""
        return (self.user_id, self.session_id) == (user_id, session_id)


class _LockObject(BaseModel):
    """The object's two readings: with holders, or the older form whose top-level fields are the one holder.

    Without a single holder in the list it is read as the older form: a lock that names nobody is never written, and
    one that says it is locked must not count as free.
    """

    locked: bool
    holders: tuple[Holder, ...] | None = None


_Change = Callable[[tuple[Holder, ...]], tuple[Holder, ...]]


@dataclass(frozen=True, slots=True)
class LockState:
    """What one look at the lock saw.

    Attributes:
        holders: live sessions that hold it, oldest first; stale ones are left out.
        problem: why the lock could not be read; it counts as held then.
        caller_refused: the problem is with who asked, and no waiting helps.
    """

    holders: tuple[Holder, ...] = ()
    problem: str | None = None
    caller_refused: bool = False

    @property
    def held(self) -> bool:
        return bool(self.holders) or self.problem is not None

    def describe(self) -> str:
        """One clause for logs and people: who holds it since when, or why it counts as held."""
        if self.problem:
            return f"lock counts as held: {self.problem}"
        if not self.holders:
            return "lock is free"
        first = self.holders[0]
        others = f" and {len(self.holders) - 1} more" if len(self.holders) > 1 else ""
        return f"live session {first.session_id} since {first.timestamp.astimezone(UTC):%H:%M}{others}"


class SessionLock:
    """The lock object in one bucket.

    Args:
        stale_after: a hold that was not refreshed for longer than this counts as gone.
    """

    def __init__(self, s3: "S3Client", bucket: str, clock: Clock, stale_after: timedelta) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._clock = clock
        self._stale_after = stale_after

    def read(self) -> LockState:
        """One look at the lock; never raises, because what cannot be read counts as held."""
        where = f"s3://{self._bucket}/{LOCK_KEY}"
        try:
            holders, _ = self._load()
        except AWS_ERRORS as error:
            problem = f"{where} could not be read ({cause_of(error)})"
            return LockState(problem=problem, caller_refused=is_caller_refused(error))
        except ValueError:
            return LockState(problem=f"{where} is not a valid lock object")
        return LockState(holders=holders)

    def take(self, user_id: str, session_id: str) -> LockState:
        """Hold the lock for a live session, or refresh its hold.

        Raises:
            ValueError: the object is there but not a lock; it is left as it is.
            TransientError: other recorders kept winning the swap.
        """
        mine = Holder(user_id=user_id, session_id=session_id, timestamp=self._clock.now())
        return self._swap(lambda holders: (*_without(holders, user_id, session_id), mine))

    def release(self, user_id: str, session_id: str) -> LockState:
        """Give up one session's hold; other sessions' holds stay. Releasing what is not held changes nothing.

        Raises:
            ValueError, TransientError: as for `take`.
        """
        return self._swap(lambda holders: _without(holders, user_id, session_id))

    def remove_unreadable(self) -> bool:
        """Delete a lock object that no reader understands, which would count as held for ever.

        Returns:
            False, changing nothing, when the object can be read, is gone, or was changed meanwhile.
        """
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=LOCK_KEY)
            _parse(answer["Body"].read())
        except ValueError:
            etag = answer["ETag"]
        except AWS_ERRORS as error:
            if is_missing(error):
                return False
            raise
        else:
            return False
        try:
            self._s3.delete_object(Bucket=self._bucket, Key=LOCK_KEY, IfMatch=etag)
        except AWS_ERRORS as error:
            if is_precondition_failed(error) or is_missing(error):
                return False
            raise
        return True

    def _swap(self, change: _Change) -> LockState:
        retrying = Retrying(
            retry=retry_if_exception(is_retryable),
            stop=stop_after_attempt(_SWAP_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(self._swap_once, change)

    def _swap_once(self, change: _Change) -> LockState:
        before, etag = self._load()
        after = tuple(sorted(change(before), key=lambda holder: holder.timestamp))
        if after == before:
            return LockState(holders=after)
        try:
            if etag is None:
                self._s3.put_object(Bucket=self._bucket, Key=LOCK_KEY, Body=_body(after), IfNoneMatch="*")
            elif after:
                self._s3.put_object(Bucket=self._bucket, Key=LOCK_KEY, Body=_body(after), IfMatch=etag)
            else:
                self._s3.delete_object(Bucket=self._bucket, Key=LOCK_KEY, IfMatch=etag)
        except AWS_ERRORS as error:
            if is_precondition_failed(error) or is_missing(error):
                raise TransientError("another recorder changed the lock at the same time") from error
            raise
        return LockState(holders=after)

    def _load(self) -> tuple[tuple[Holder, ...], str | None]:
        """The holders that are not stale, oldest first, and the object's ETag (`None`: there is no object)."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=LOCK_KEY)
        except AWS_ERRORS as error:
            if is_missing(error):
                return (), None
            raise
        # A recorder whose clock runs ahead cannot have written later than S3 says that it did; without this cap,
        # a hold dated next year would never go stale.
        written = answer["LastModified"]
        oldest = self._clock.now() - self._stale_after
        holders = (
            holder.model_copy(update={"timestamp": min(holder.timestamp, written)})
            for holder in _parse(answer["Body"].read())
        )
        fresh = sorted((h for h in holders if h.timestamp >= oldest), key=lambda holder: holder.timestamp)
        return tuple(fresh), answer["ETag"]


def _parse(body: bytes) -> tuple[Holder, ...]:
    try:
        lock = _LockObject.model_validate_json(body)
        if not lock.locked:
            return ()
        if not lock.holders:
            return (Holder.model_validate_json(body),)
    except ValidationError:
        raise ValueError("not a valid lock object") from None
    return lock.holders


def _body(holders: tuple[Holder, ...]) -> bytes:
    """The object for `holders`, which are sorted: the newest is named at the top level for older readers."""
    newest = holders[-1].model_dump(by_alias=True)
    lock = {"locked": True, **newest, "holders": [holder.model_dump(by_alias=True) for holder in holders]}
    return json.dumps(lock).encode()


def _without(holders: tuple[Holder, ...], user_id: str, session_id: str) -> tuple[Holder, ...]:
    return tuple(holder for holder in holders if not holder.is_session(user_id, session_id))
