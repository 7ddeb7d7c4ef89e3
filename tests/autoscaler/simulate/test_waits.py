"""The tally of waits, against a plain list of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.simulate.world.waits import Waits

STEP = 0.25
RESOLUTION = STEP / 25
ROWS = st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 60)), min_size=1, max_size=30)
SAME = st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 60)), max_size=10)


@given(rows=ROWS, same=SAME, share=st.floats(0.01, 1))
def test_a_quantile_is_that_of_all_single_waits(
    rows: list[tuple[float, int]], same: list[tuple[float, int]], share: float
) -> None:
    waits = Waits(STEP)
    single: list[float] = []
    for first, count in rows:
        waits.add_row(first, count)
        single += [first + place * STEP for place in range(count)]
    for wait, count in same:
        waits.add_same(wait, count)
        single += [wait] * count
    single.sort()

    (found,) = waits.quantiles(share)

    rank = max(1, -(-share * len(single) // 1))
    assert found == pytest.approx(single[int(rank) - 1], abs=RESOLUTION)
    assert waits.count == len(single)
    assert waits.longest == pytest.approx(single[-1])
    assert waits.total == pytest.approx(sum(single))


def test_without_a_job_every_quantile_is_zero() -> None:
    assert Waits(STEP).quantiles(0.5, 0.95) == [0.0, 0.0]
