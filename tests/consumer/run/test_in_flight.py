"""How many messages a worker may hold: as many as it can work on within half a lease, and never more than the most."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.run.in_flight import InFlight
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

LEASE_SECONDS = 120


def in_hand(most: int = 36, lease_seconds: int = LEASE_SECONDS) -> InFlight:
    settings = Settings(
        bucket="recordings",
        jobs_queue_url="jobs",
        priority_queue_url="jobs-priority",
        dead_letter_queue_url="dead-letter",
        table_name="ledger",
        max_jobs_in_hand=most,
        visibility_timeout_seconds=lease_seconds,
    )
    return InFlight(settings)


def test_half_of_the_limit_is_taken_before_the_pace_is_known() -> None:
    assert in_hand(36).room() == 18
    assert in_hand(1).room() == 1


def test_what_is_in_hand_takes_room_until_it_ends() -> None:
    hand = in_hand(20)
    hand.add(7)
    assert (hand.count, hand.room()) == (7, 3)
    hand.remove(5)
    assert (hand.count, hand.room()) == (2, 8)
    hand.add(50)
    assert hand.room() == 0


@pytest.mark.parametrize(
    ("seconds_per_job", "room"),
    [(0.0, 36), (0.1, 36), (1.6, 36), (2.0, 30), (10.0, 6), (59.0, 1), (61.0, 1), (1000.0, 1)],
)
def test_no_more_is_taken_than_half_a_lease_allows_but_always_one(seconds_per_job: float, room: int) -> None:
    hand = in_hand(36)
    hand.worked(seconds_per_job * 4, 4)
    assert hand.room() == room


def test_the_pace_follows_the_newest_windows_without_jumping() -> None:
    hand = in_hand(1000)
    hand.worked(1, 1)
    assert hand.room() == 60
    hand.worked(6, 1)
    assert 60 / 6 < hand.room() < 60
    for _ in range(30):
        hand.worked(6, 1)
    assert hand.room() == pytest.approx(10, abs=1)


@given(
    most=st.integers(1, 1000),
    lease=st.integers(2, 43_200),
    windows=st.lists(st.tuples(st.floats(0, 3600), st.integers(1, 10)), min_size=1, max_size=20),
)
def test_at_whatever_pace_what_is_in_hand_could_be_done_within_half_a_lease(
    most: int, lease: int, windows: "Sequence[tuple[float, int]]"
) -> None:
    hand = in_hand(most, lease)
    for seconds, jobs in windows:
        hand.worked(seconds, jobs)
    room = hand.room()
    fastest = min(seconds / jobs for seconds, jobs in windows)
    assert 1 <= room <= most
    assert room == 1 or room * fastest <= lease / 2
    hand.add(room)
    assert hand.room() == 0
