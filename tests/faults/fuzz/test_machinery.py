"""The fuzzing itself: it notices what it is there for, says it briefly, and does the same again."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import strategies as st

from tests.faults.fuzz.budget import TooMuchWorkError, allowed_calls, bounded
from tests.faults.fuzz.judge import Tally, failure_of
from tests.faults.fuzz.mutation import LONGEST, mutated
from tests.faults.fuzz.regressions import kept, save
from tests.faults.fuzz.run import fuzz_all, named
from tests.faults.fuzz.shrink import shrunk
from tests.faults.fuzz.target import Kind, Target, Violation, require

SAMPLES = [b'{"a": [1, "x"], "b": {"c": null}}', b"key/of/something.json"]


def target(check: Callable[[bytes], bool]) -> Target:
    return Target("made-up", lambda: SAMPLES, st.binary, check, "bytes")


def refuses_bombs(data: bytes) -> bool:
    require(b"bomb" not in data, "no bomb passes")
    if b"crash" in data:
        raise KeyError("crash")
    return data.startswith(b"ok")


# --- what an input comes to


def test_inputs_are_counted_by_what_they_come_to() -> None:
    tally = Tally(target(refuses_bombs))

    for data in (b"ok", b"ok 2", b"no", b"a bomb", b"another bomb", b"crash"):
        tally.take(data)

    assert (tally.accepted, tally.refused, tally.inputs) == (2, 1, 6)
    found = {(failure.cause.error, failure.inputs, failure.data) for failure in tally.failures.values()}
    assert found == {("Violation", 2, b"bomb"), ("KeyError", 1, b"crash")}


def test_an_input_that_does_not_fail_has_no_cause() -> None:
    assert failure_of(target(refuses_bombs), b"ok") is None
    assert failure_of(target(refuses_bombs), b"bomb") is not None


def test_a_failing_input_is_made_as_small_as_it_can_be() -> None:
    assert shrunk(b"x" * 100 + b"b" + b"y" * 50 + b"m" + b"z", lambda data: b"b" in data and b"m" in data, 600) == b"bm"


def test_making_an_input_smaller_has_an_end() -> None:
    asked: list[bytes] = []

    def fails(data: bytes) -> bool:
        asked.append(data)
        return False

    shrunk(b"x" * 1000, fails, 20)

    assert len(asked) == 20


# --- too much work


def quadratic(data: bytes) -> bool:
    return sum(len(bytes([one, other])) for one in data for other in data) > 0


def endless(_data: bytes) -> bool:
    while True:
        len(b"")


def test_work_that_grows_with_the_square_of_the_input_is_too_much() -> None:
    with pytest.raises(TooMuchWorkError):
        bounded(quadratic, b"x" * 3000)


def test_what_never_ends_is_ended() -> None:
    with pytest.raises(TooMuchWorkError):
        bounded(endless, b"x")


def test_work_in_proportion_to_a_long_input_is_not_too_much() -> None:
    assert bounded(lambda data: sum(len(bytes([each])) for each in data) == len(data), b"x" * 200_000)
    assert allowed_calls(200_000) > 400_000


# --- inputs


@pytest.mark.parametrize("kind", ["bytes", "text", "json"])
def test_mutations_are_the_same_for_the_same_random_numbers_and_differ_for_others(kind: Kind) -> None:
    first = [mutated(Random(number), SAMPLES, kind, [b"token"]) for number in range(200)]
    again = [mutated(Random(number), SAMPLES, kind, [b"token"]) for number in range(200)]

    assert first == again
    assert len(set(first)) > 150
    assert max(map(len, first)) <= LONGEST


def test_a_run_is_the_same_for_the_same_seed_however_many_work_at_it() -> None:
    one = fuzz_all(300, 7, targets=[named("key"), named("lock")])
    two = fuzz_all(300, 7, processes=2, targets=[named("key"), named("lock")])

    assert [(each.target, each.inputs, each.accepted) for each in one] == [
        (each.target, each.inputs, each.accepted) for each in two
    ]
    assert [each.inputs for each in one] == [300, 300]
    assert one[0].accepted != fuzz_all(300, 8, targets=[named("key")])[0].accepted


# --- what is kept


def test_what_failed_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = save("made-up", b"\x00\xff", tmp_path)

    assert save("made-up", b"\x00\xff", tmp_path) == path
    assert [each.read_bytes() for each in kept("made-up", tmp_path)] == [b"\x00\xff"]
    assert list(kept("another", tmp_path)) == []


def test_a_promise_that_does_not_hold_is_a_violation() -> None:
    require(True, "it holds")
    with pytest.raises(Violation, match="it does not"):
        require(False, "it does not")
