"""The lock object: what cannot be read counts as held, and no change loses somebody else's hold."""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from shared.state.lock import SessionLock
from tests.faults.fuzz.fixed import AT, BUCKET, FixedClock
from tests.faults.fuzz.store import OneObject
from tests.faults.fuzz.strategies import anything, json_bytes
from tests.faults.fuzz.target import Target, require

_STALE_AFTER: Final = timedelta(minutes=30)
_CLOCK: Final = FixedClock(AT)
_FRESH: Final = "2026-01-02T03:00:00.000Z"
_OLD: Final = "2026-01-01T00:00:00.000Z"
# What a lenient reader takes for no (pydantic, "Booleans").
_NO: Final = frozenset({"false", "f", "no", "n", "off", "0", "0.0", "-0.0"})
_TOKENS: Final = (
    *(b'"locked":true', b'"locked":false', b'"locked":"no"', b'"holders":[]', b'"holders":null', b"true", b"false"),
    *(b"2027-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"1e300", b"{", b"}", b"]"),
)


def samples() -> list[bytes]:
    """Locks of one, of several and of no holder, in both forms."""
    holder = {"userId": "u", "sessionId": "s", "timestamp": _FRESH}
    other = {"userId": "v", "sessionId": "t", "timestamp": _OLD}
    locks: list[Any] = [
        {"locked": True, **holder},
        {"locked": True, **holder, "holders": [other, holder]},
        {"locked": True, **holder, "holders": [holder] * 50},
        {"locked": True, **other, "holders": [other]},
        {"locked": False},
        {"locked": False, **holder, "holders": [holder]},
    ]
    return [json.dumps(lock).encode() for lock in locks]


def structured() -> SearchStrategy[bytes]:
    """Locks whose parts may be anything, and holders whose times may be any."""
    moments = st.datetimes().map(datetime.isoformat) | st.sampled_from([_FRESH, _OLD]) | anything()
    holder = st.fixed_dictionaries({"userId": st.text(), "sessionId": st.text(), "timestamp": moments})
    lock = st.fixed_dictionaries(
        {"locked": st.booleans() | anything()},
        optional={
            "userId": st.text(),
            "sessionId": st.text(),
            "timestamp": moments,
            "holders": st.lists(holder | anything()),
        },
    )
    return json_bytes(lock | anything())


def check(data: bytes) -> bool:
    """The lock object as it may stand in S3."""
    stored = OneObject(data, AT)
    lock = SessionLock(stored.client, BUCKET, _CLOCK, _STALE_AFTER)
    state = lock.read()
    require(bool(state.describe()), "a look can be told in words")
    if _holds_somebody(data):
        require(state.held, "a holder that is there counts")
    if state.problem is not None:
        require(state.held, "what cannot be read counts as held")
        _is_left_alone(lock, stored, data)
        return False
    require(all(holder.timestamp <= AT for holder in state.holders), "nobody took the lock after it was written")
    if state.held:
        require(json.loads(data)["locked"] is not False, "a lock that says that it is free is held by nobody")
    else:
        require(_says_that_it_is_free(data), "nothing but a lock that says so is free")
    require(not lock.remove_unreadable() and stored.body == data, "what can be read is not removed")
    _keeps_the_others(lock, stored)
    return True


def _is_left_alone(lock: SessionLock, stored: OneObject, data: bytes) -> None:
    for change in (lock.take, lock.release):
        try:
            change("me", "mine")
        except ValueError:
            require(stored.body == data, "what cannot be read is not written over")
        else:
            require(False, "what cannot be read is not changed")
    require(lock.remove_unreadable() and stored.body is None, "a person can remove what nobody can read")


def _keeps_the_others(lock: SessionLock, stored: OneObject) -> None:
    before = {(holder.user_id, holder.session_id) for holder in lock.read().holders}
    taken = lock.take("me", "mine")
    again = lock.read()
    names = {(holder.user_id, holder.session_id) for holder in again.holders}
    require(again.problem is None and names == before | {("me", "mine")}, "who takes the lock joins the others")
    require(len(taken.holders) == len(again.holders), "what was said is what stands")
    left = {(holder.user_id, holder.session_id) for holder in lock.release("me", "mine").holders}
    require(left == before - {("me", "mine")}, "who leaves takes nobody along")
    require(stored.body is None or bool(left), "the last one leaves no object behind")


def _holds_somebody(data: bytes) -> bool:
    """Whether a plain reader finds a fresh holder: by the letter of the format, and by nothing of the product."""
    try:
        lock = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(lock, dict) or lock.get("locked") is not True:
        return False
    holders = lock.get("holders")
    return any(_is_fresh(holder) for holder in (holders if isinstance(holders, list) else [lock]))


def _is_fresh(holder: Any) -> bool:
    if not isinstance(holder, dict) or not all(isinstance(holder.get(name), str) for name in ("userId", "sessionId")):
        return False
    return holder.get("timestamp") == _FRESH


def _says_that_it_is_free(data: bytes) -> bool:
    """Whether the object says that nobody holds it, or names somebody, who is stale then."""
    lock = json.loads(data)
    if not isinstance(lock, dict) or "locked" not in lock:
        return False
    return str(lock["locked"]).lower() in _NO or bool(lock.get("holders")) or "timestamp" in lock


TARGET: Final = Target("lock", samples, structured, check, "json", _TOKENS)
