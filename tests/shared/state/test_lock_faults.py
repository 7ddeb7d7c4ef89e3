"""The lock when things go wrong: objects that are no lock, S3 away, and recorders that write at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import TransientError
from shared.formats.layout import LOCK_KEY
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.conftest import Faults

WHERE = f"s3://recordings/{LOCK_KEY}"


def sessions(state: LockState) -> list[str]:
    return [holder.session_id for holder in state.holders]


# --- what cannot be read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<html>Forbidden</html>",
        b"[]",
        b"{}",
        b'{"locked": "perhaps"}',
        b'{"locked": true}',
        b'{"locked": true, "holders": [{"userId": "u"}]}',
        b'{"locked": true, "userId": "u", "sessionId": "s", "timestamp": "yesterday"}',
    ],
)
def test_an_object_that_is_not_a_lock_counts_as_held_is_named_and_is_left_alone(
    cloud: "Cloud", lock: SessionLock, body: bytes
) -> None:
    cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=body)

    state = lock.read()

    assert state.held
    assert WHERE in state.describe()
    with pytest.raises(ValueError, match="not a valid lock object"):
        lock.take("u1", "standup")
    assert cloud.s3.get_object(Bucket="recordings", Key=LOCK_KEY)["Body"].read() == body


def test_a_lock_that_may_not_be_read_counts_as_held_and_the_problem_names_the_object_and_the_error(
    cloud: "Cloud", lock: SessionLock, faults: "Faults"
) -> None:
    faults.refuse(cloud.s3, "GetObject", 403, "AccessDenied")

    assert lock.read() == LockState(problem=f"{WHERE} could not be read (AccessDenied)")
    assert lock.read().held


def test_with_s3_away_the_lock_counts_as_held(cloud: "Cloud", lock: SessionLock, faults: "Faults") -> None:
    faults.cut_off(cloud.s3, "GetObject")

    assert lock.read() == LockState(problem=f"{WHERE} could not be read (EndpointConnectionError)")


# --- contention


def test_twenty_recorders_that_take_the_lock_at_once_all_hold_it(cloud: "Cloud", clock: "FakeClock") -> None:
    together = threading.Barrier(20)

    def record(number: int) -> None:
        together.wait(timeout=30)
        SessionLock(cloud.s3, "recordings", clock, timedelta(minutes=30)).take("u", f"s{number}")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(record, range(20)))

    assert sorted(sessions(SessionLock(cloud.s3, "recordings", clock, timedelta(minutes=30)).read())) == sorted(
        f"s{number}" for number in range(20)
    )


def test_a_write_that_s3_calls_a_conflict_is_tried_again(cloud: "Cloud", lock: SessionLock, faults: "Faults") -> None:
    faults.refuse(cloud.s3, "PutObject", 409, "ConditionalRequestConflict", times=3)

    lock.take("u1", "standup")

    assert faults.hits["PutObject"] == 3
    assert sessions(lock.read()) == ["standup"]


@pytest.mark.parametrize("already_there", [False, True])
def test_a_hold_that_appears_between_read_and_write_is_kept(
    cloud: "Cloud", lock: SessionLock, other_recorder: SessionLock, faults: "Faults", already_there: bool
) -> None:
    if already_there:
        other_recorder.take("u0", "earlier")
    faults.race(cloud.s3, "PutObject", lambda: other_recorder.take("u2", "faster"))

    lock.take("u1", "standup")

    assert {"faster", "standup"} <= set(sessions(lock.read()))


def test_a_hold_that_appears_while_the_last_holder_releases_is_kept(
    cloud: "Cloud", lock: SessionLock, other_recorder: SessionLock, faults: "Faults"
) -> None:
    lock.take("u1", "standup")
    faults.race(cloud.s3, "DeleteObject", lambda: other_recorder.take("u2", "just in time"))

    lock.release("u1", "standup")

    assert faults.hits["DeleteObject"] == 1
    assert sessions(lock.read()) == ["just in time"]


def test_a_recorder_that_loses_every_swap_is_told(cloud: "Cloud", lock: SessionLock, faults: "Faults") -> None:
    faults.refuse(cloud.s3, "PutObject", 412, "PreconditionFailed")

    with pytest.raises(TransientError):
        lock.take("u1", "standup")
