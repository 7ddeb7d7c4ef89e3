"""Which jobs in hand share the next window: full windows and those that someone waits for first, and none twice."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.jobs.stages import Message, PreparedJob
from consumer.media.decode import SAMPLE_RATE, DecodedAudio
from consumer.windows.plan import Chunk, Limits, Window, plan
from consumer.windows.selection import ChunkRef, QueuedJob, WindowSelector
from shared.formats.layout import session_path
from shared.formats.messages import chunk_job

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHOOSER = WindowSelector(Limits(window=30, context=10, least_context=2), chunk_seconds=5)
FULL = 5  # chunks of five seconds in a core that leaves room for context
_receipts = count()


def waiting(
    chunk: str | int,
    *,
    session: str = "s",
    seconds: float = 5.0,
    receive_count: int = 1,
    priority: bool = False,
    alone: bool = False,
    **more: Any,
) -> QueuedJob:
    spelled = chunk if isinstance(chunk, str) else f"{chunk:03d}"
    key = f"{session_path('u', session)}/chunk-{spelled}.webm"
    job = chunk_job(bucket="recordings", audio_key=key, audio_size=1, enqueued_at=AT).model_copy(update=more)
    message = Message("queue", key, f"receipt-{next(_receipts)}", job.to_json(), receive_count, 0.0)
    audio = DecodedAudio(np.zeros(round(seconds * SAMPLE_RATE), np.float32), seconds, None)
    return QueuedJob(PreparedJob(message, job, None, audio), priority, alone)


def chunks(jobs: Iterable[QueuedJob]) -> list[str]:
    return [each.prepared.job.chunk for each in jobs]


def names(jobs: Iterable[QueuedJob]) -> list[tuple[str, str]]:
    return [(each.prepared.job.session_id, each.prepared.job.chunk) for each in jobs]


def window_of(jobs: Sequence[QueuedJob], beside: Sequence[int] = ()) -> Window:
    """The window that is made of jobs, with chunks `beside` them there."""
    gaps = [Chunk(each.prepared.number, each.prepared.audio.seconds, True) for each in jobs]
    return CHOOSER.window([*gaps, *(Chunk(number, 5.0, False) for number in beside)])


# --- when a window is worth having


def test_jobs_that_do_not_fill_a_window_wait_for_more_until_no_more_are_coming() -> None:
    few = [waiting(number) for number in range(1, FULL)]
    assert CHOOSER.jobs(few, [], settled=False) == []
    assert CHOOSER.jobs(few, [], settled=True) == few


def test_jobs_that_fill_a_window_wait_for_nothing() -> None:
    enough = [waiting(number) for number in range(1, FULL + 1)]
    assert CHOOSER.jobs(enough, [], settled=False) == enough


def test_jobs_that_are_too_far_apart_do_not_fill_a_window_together() -> None:
    assert CHOOSER.jobs([waiting(number) for number in (1, 2, 11, 12, 21, 22)], [], settled=False) == []


def test_one_chunk_as_long_as_a_window_fills_it() -> None:
    long = [waiting(1, seconds=600)]
    assert CHOOSER.jobs(long, [], settled=False) == long


def test_nothing_is_chosen_of_nothing() -> None:
    assert CHOOSER.jobs([], [], settled=True) == []


def test_while_more_are_coming_the_session_that_fills_a_window_goes_before_one_that_came_first() -> None:
    early = [waiting(number, session="early") for number in (1, 2)]
    full = [waiting(number, session="full") for number in range(1, FULL + 1)]
    assert CHOOSER.jobs([*early, *full], [], settled=False) == full
    # When they are not, the one that came first has waited longest.
    assert CHOOSER.jobs([*early, *full], [], settled=True) == early


def test_of_two_sessions_the_one_that_someone_waits_for_goes_first() -> None:
    normal = [waiting(number, session="normal") for number in range(1, FULL + 1)]
    urgent = [waiting(number, session="urgent", priority=True) for number in range(1, FULL + 1)]
    for settled in (False, True):
        assert CHOOSER.jobs([*normal, *urgent], [], settled=settled) == urgent


def test_a_job_that_someone_waits_for_takes_along_those_of_its_session() -> None:
    other = waiting(1, session="other")
    first, urgent, last = waiting(1), waiting(2, priority=True), waiting(3)
    chosen = CHOOSER.jobs([other, first, urgent, last], [], settled=True)
    assert sorted(names(chosen)) == [("s", "001"), ("s", "002"), ("s", "003")]


def test_of_several_windows_a_full_one_is_made_first() -> None:
    jobs = [waiting(number) for number in (1, 2, *range(11, 11 + FULL), 21)]
    assert window_of(jobs).gaps == tuple(range(11, 11 + FULL))
    assert window_of(jobs[:2]).gaps == (1, 2)


@pytest.mark.parametrize("at_a_time", [1, 10, 36])
def test_a_long_session_takes_as_few_windows_as_if_it_had_been_planned_at_once(at_a_time: int) -> None:
    numbers = range(1, 101)
    planned = plan([Chunk(number, 5.0, True) for number in numbers], CHOOSER.limits)
    coming, hand, windows = [waiting(number) for number in numbers], list[QueuedJob](), 0
    while coming or hand:
        hand, coming = hand + coming[:at_a_time], coming[at_a_time:]
        while chosen := CHOOSER.jobs(hand, [], settled=not coming):
            beside = CHOOSER.neighbours(chosen) & set(numbers)
            gaps = window_of(chosen, sorted(beside)).gaps
            hand = [each for each in hand if each.prepared.number not in gaps]
            windows += 1
    assert windows == len(planned)


# --- what never shares a window


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"session": "s"}, {"session": "t"}),
        ({"model": None}, {"model": "base.en"}),
        ({"model": "small.en"}, {"model": "base.en"}),
        ({"language": None}, {"language": "de"}),
        ({"language": "fr"}, {"language": "de"}),
        ({"alone": False}, {"alone": True}),
        ({"alone": True}, {"alone": True}),
        ({"receive_count": 1}, {"receive_count": 3}),
        ({"receive_count": 3}, {"receive_count": 4}),
    ],
)
def test_jobs_that_differ_in_this_are_never_chosen_together(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = waiting(1, **one), waiting(2, **other)
    assert CHOOSER.jobs([first, second], [], settled=True) == [first]
    assert CHOOSER.jobs([second, first], [], settled=True) == [second]


def test_a_job_that_came_back_once_shares_a_window_and_one_that_came_back_twice_does_not() -> None:
    again, thrice = waiting(2, receive_count=2), waiting(3, receive_count=3)
    fresh = waiting(1)
    assert CHOOSER.jobs([fresh, again, thrice], [], settled=True) == [fresh, again]
    assert CHOOSER.jobs([thrice, fresh, again], [], settled=True) == [thrice]


def test_of_two_jobs_with_one_number_the_second_waits_for_the_next_window() -> None:
    padded, plain, next_one = waiting("001"), waiting("1"), waiting("002")
    assert CHOOSER.jobs([padded, plain, next_one], [], settled=True) == [padded, next_one]
    assert CHOOSER.jobs([plain], [], settled=True) == [plain]


# --- neighbours


def test_neighbours_are_the_chunks_within_ten_seconds_that_are_no_gaps_themselves() -> None:
    assert CHOOSER.neighbours([waiting(5)]) == {3, 4, 6, 7}
    assert CHOOSER.neighbours([waiting(5), waiting(6), waiting(9)]) == {3, 4, 7, 8, 10, 11}


def test_what_stands_between_two_gaps_that_fit_into_one_window_is_a_neighbour_too() -> None:
    assert {2, 3, 4, 5} <= CHOOSER.neighbours([waiting(1), waiting(6)])


def test_shorter_chunks_reach_farther_but_never_more_than_ten_chunks() -> None:
    for chunk_seconds, reach in ((20, 1), (10, 1), (4, 3), (2, 5), (1, 10), (0.1, 10)):
        chooser = WindowSelector(CHOOSER.limits, chunk_seconds)
        assert chooser.neighbours([waiting(50)]) == set(range(50 - reach, 51 + reach)) - {50}


@pytest.mark.parametrize("how", [{"alone": True}, {"receive_count": 3}])
def test_a_job_that_goes_alone_has_no_neighbours_either(how: dict[str, Any]) -> None:
    assert CHOOSER.neighbours([waiting(5, **how)]) == set()


# --- whatever waits

waiting_lists = st.lists(
    st.builds(
        waiting,
        st.integers(0, 40).map(lambda number: f"{number:03d}") | st.integers(0, 40).map(str),
        session=st.sampled_from("st"),
        seconds=st.sampled_from([0.7, 4.9, 5.0, 5.1, 31.0]),
        receive_count=st.integers(1, 4),
        priority=st.booleans(),
        alone=st.booleans(),
        model=st.sampled_from([None, "base.en"]),
    ),
    max_size=30,
)


@given(waiting_lists, st.sets(st.integers(0, 42)))
def test_when_no_more_are_coming_window_after_window_does_each_job_exactly_once(
    jobs: list[QueuedJob], stored: set[int]
) -> None:
    left, done = list(jobs), []
    while left:
        chosen = CHOOSER.jobs(left, [], settled=True)
        gaps = {each.prepared.number for each in chosen}
        window = window_of(chosen, sorted(CHOOSER.neighbours(chosen) & stored - gaps))
        made = [each for each in chosen if each.prepared.number in window.gaps]
        assert made
        assert len({each.group for each in made}) == 1
        assert not any(each.is_alone for each in made) or len(made) == 1
        done += made
        left = [each for each in left if each not in made]
    receipts = Counter(each.prepared.message.receipt_handle for each in done)
    assert receipts == Counter(each.prepared.message.receipt_handle for each in jobs)


@given(waiting_lists)
def test_while_more_are_coming_what_is_chosen_fills_a_window(jobs: list[QueuedJob]) -> None:
    chosen = CHOOSER.jobs(jobs, [], settled=False)
    assert not chosen or CHOOSER.is_full(window_of(chosen))


# --- jobs that are being prepared


@pytest.mark.parametrize("preparing", [2, 3, 1])
def test_a_full_window_waits_for_a_gap_within_its_core_or_right_in_front_of_it(preparing: int) -> None:
    ready = [waiting(number) for number in (2, 3, 4, 5, 6, 7) if number != preparing][:FULL]
    coming = [ChunkRef(session_path("u", "s"), preparing)]
    assert CHOOSER.jobs(ready, [], settled=True) == ready
    assert CHOOSER.jobs(ready, coming, settled=True) == []


def test_a_full_window_does_not_wait_for_gaps_behind_it_or_of_other_sessions() -> None:
    ready = [waiting(number) for number in range(1, FULL + 1)]
    coming = [ChunkRef(session_path("u", "s"), FULL + 1), ChunkRef(session_path("u", "other"), 3)]
    assert CHOOSER.jobs(ready, coming, settled=True) == ready


def test_one_session_does_not_wait_for_the_jobs_of_another() -> None:
    ready = [waiting(1)]
    assert CHOOSER.jobs(ready, [ChunkRef(session_path("u", "other"), 2)], settled=True) == ready
