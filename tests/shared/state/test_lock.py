"""The lock: who holds it, for how long, and what counts as held when nobody can tell."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.clock import iso
from shared.formats.layout import LOCK_KEY
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

MINUTE = 60


@pytest.fixture
def stored(cloud: "Cloud") -> Callable[[], dict[str, Any]]:
    """Reads the lock object as any other program would."""

    def read() -> dict[str, Any]:
        answer = cloud.s3.get_object(Bucket="recordings", Key=LOCK_KEY)
        return dict(json.loads(answer["Body"].read()))

    return read


def put_lock(cloud: "Cloud", body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=raw)


def hold(user: str, session: str, timestamp: datetime) -> dict[str, Any]:
    return {"userId": user, "sessionId": session, "timestamp": iso(timestamp)}


def sessions(state: LockState) -> list[str]:
    return [holder.session_id for holder in state.holders]


def exists(cloud: "Cloud") -> bool:
    return cloud.s3.list_objects_v2(Bucket="recordings", Prefix=LOCK_KEY)["KeyCount"] == 1


# --- taking, refreshing, releasing


def test_a_lock_that_nobody_ever_took_is_free(lock: SessionLock) -> None:
    state = lock.read()

    assert not state.held
    assert state.describe() == "lock is free"


def test_a_taken_lock_is_held_by_the_session_that_took_it(lock: SessionLock) -> None:
    lock.take("u1", "standup")

    state = lock.read()
    assert state.held
    assert sessions(state) == ["standup"]
    assert "live session standup since" in state.describe()


def test_with_two_recorders_holding_it_is_still_held_when_one_releases(
    lock: SessionLock, other_recorder: SessionLock
) -> None:
    lock.take("u1", "standup")
    other_recorder.take("u2", "interview")

    lock.release("u1", "standup")

    assert sessions(lock.read()) == ["interview"]
    assert other_recorder.read().held


def test_when_the_last_holder_releases_the_object_is_gone(cloud: "Cloud", lock: SessionLock) -> None:
    lock.take("u1", "standup")

    lock.release("u1", "standup")

    assert not lock.read().held
    assert not exists(cloud)


def test_the_same_session_id_of_two_users_is_two_holds(lock: SessionLock) -> None:
    lock.take("u1", "standup")
    lock.take("u2", "standup")

    lock.release("u1", "standup")

    assert [holder.user_id for holder in lock.read().holders] == ["u2"]


def test_releasing_what_is_not_held_changes_nothing(cloud: "Cloud", lock: SessionLock) -> None:
    lock.take("u1", "standup")
    before = cloud.s3.head_object(Bucket="recordings", Key=LOCK_KEY)["ETag"]

    lock.release("u9", "another")

    assert cloud.s3.head_object(Bucket="recordings", Key=LOCK_KEY)["ETag"] == before
    assert sessions(lock.read()) == ["standup"]


def test_releasing_a_lock_that_nobody_holds_writes_no_object(cloud: "Cloud", lock: SessionLock) -> None:
    assert not lock.release("u1", "standup").held
    assert not exists(cloud)


def test_the_object_has_the_names_of_the_contract_and_names_the_newest_holder_on_top(
    lock: SessionLock, clock: "FakeClock", stored: Callable[[], dict[str, Any]]
) -> None:
    lock.take("u1", "first")
    clock.advance(5)
    lock.take("u2", "second")

    found = stored()

    assert set(found) == {"locked", "userId", "sessionId", "timestamp", "holders"}
    assert found["locked"] is True
    assert (found["userId"], found["sessionId"], found["timestamp"]) == ("u2", "second", iso(clock.now()))
    assert [set(holder) for holder in found["holders"]] == [{"userId", "sessionId", "timestamp"}] * 2
    assert [holder["sessionId"] for holder in found["holders"]] == ["first", "second"]


def test_several_holders_are_counted_in_the_description(lock: SessionLock) -> None:
    for number in range(3):
        lock.take("u", f"s{number}")

    assert lock.read().describe().endswith("and 2 more")


# --- staleness


@pytest.mark.parametrize(("minutes", "held"), [(29, True), (31, False)])
def test_a_hold_that_was_not_refreshed_for_thirty_minutes_counts_as_gone(
    lock: SessionLock, clock: "FakeClock", minutes: int, held: bool
) -> None:
    lock.take("u1", "standup")

    clock.advance(minutes * MINUTE)

    assert lock.read().held is held


def test_taking_the_lock_again_refreshes_the_hold_and_keeps_it_single(
    cloud: "Cloud", lock: SessionLock, clock: "FakeClock"
) -> None:
    taken = clock.now() - timedelta(minutes=20)
    put_lock(cloud, {"locked": True, **hold("u1", "standup", taken), "holders": [hold("u1", "standup", taken)]})

    lock.take("u1", "standup")
    clock.advance(20 * MINUTE)

    assert sessions(lock.read()) == ["standup"]


def test_a_stale_hold_is_dropped_when_another_session_takes_the_lock(
    cloud: "Cloud", lock: SessionLock, clock: "FakeClock", stored: Callable[[], dict[str, Any]]
) -> None:
    long_ago = clock.now() - timedelta(hours=2)
    put_lock(cloud, {"locked": True, **hold("u1", "crashed", long_ago), "holders": [hold("u1", "crashed", long_ago)]})

    lock.take("u2", "interview")

    assert [holder["sessionId"] for holder in stored()["holders"]] == ["interview"]


def test_a_hold_dated_in_the_future_goes_stale_by_the_time_at_which_s3_stored_it(
    cloud: "Cloud", lock: SessionLock, clock: "FakeClock"
) -> None:
    next_year = clock.now() + timedelta(days=365)
    put_lock(cloud, {"locked": True, **hold("u1", "ahead", next_year), "holders": [hold("u1", "ahead", next_year)]})
    assert lock.read().held

    clock.advance(31 * MINUTE)

    assert not lock.read().held


# --- other forms of the object


def test_the_older_form_with_one_holder_is_read(cloud: "Cloud", lock: SessionLock, clock: "FakeClock") -> None:
    put_lock(cloud, {"locked": True, **hold("u1", "old-recorder", clock.now())})

    assert sessions(lock.read()) == ["old-recorder"]


def test_taking_the_lock_keeps_a_hold_of_the_older_form(cloud: "Cloud", lock: SessionLock, clock: "FakeClock") -> None:
    put_lock(cloud, {"locked": True, **hold("u1", "old-recorder", clock.now() - timedelta(minutes=1))})

    lock.take("u2", "new-recorder")

    assert sessions(lock.read()) == ["old-recorder", "new-recorder"]


def test_a_timestamp_without_a_zone_is_utc(cloud: "Cloud", lock: SessionLock, clock: "FakeClock") -> None:
    written = (clock.now() - timedelta(minutes=29)).replace(tzinfo=None).isoformat()
    put_lock(cloud, {"locked": True, "userId": "u", "sessionId": "s", "timestamp": written})

    assert lock.read().held
    clock.advance(2 * MINUTE)
    assert not lock.read().held


def test_an_object_that_says_it_is_not_locked_is_free_and_can_be_taken(cloud: "Cloud", lock: SessionLock) -> None:
    put_lock(cloud, {"locked": False})
    assert not lock.read().held

    lock.take("u1", "standup")

    assert sessions(lock.read()) == ["standup"]


def test_a_lock_that_says_so_with_an_empty_list_is_held_by_whom_its_older_fields_name(
    cloud: "Cloud", lock: SessionLock, clock: "FakeClock"
) -> None:
    put_lock(cloud, {"locked": True, **hold("u", "old-recorder", clock.now()), "holders": []})

    assert sessions(lock.read()) == ["old-recorder"]


def test_a_lock_that_says_so_and_names_nobody_counts_as_held(cloud: "Cloud", lock: SessionLock) -> None:
    put_lock(cloud, {"locked": True, "holders": []})

    assert lock.read().held
    assert lock.read().problem
