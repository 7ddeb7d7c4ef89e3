"""Every parser of what comes from outside: some inputs of each kind, and all that once failed.

`make faults` gives them many times as many.
"""

from pathlib import Path

import pytest

from tests.faults.fuzz.catalogue import TARGETS
from tests.faults.fuzz.judge import failure_of
from tests.faults.fuzz.regressions import FOLDER, kept
from tests.faults.fuzz.run import fuzz_all, named

_INPUTS = 1_500
_SEED = 20_260_102
_NAMES = [target.name for target in TARGETS]


@pytest.mark.parametrize("name", _NAMES)
def test_no_input_gets_anything_but_a_result_that_holds_or_a_documented_refusal(name: str) -> None:
    (outcome,) = fuzz_all(_INPUTS, _SEED, targets=[named(name)])

    assert [(failure.said, failure.cause.where, failure.data) for failure in outcome.failures] == []
    assert outcome.accepted > 0
    assert outcome.refused > 0


@pytest.mark.parametrize("path", [pytest.param(p, id=f"{n}-{p.stem}") for n in _NAMES for p in kept(n)])
def test_what_failed_once_does_not_fail_again(path: Path) -> None:
    assert failure_of(named(path.parent.name), path.read_bytes()) is None


def test_all_that_is_kept_belongs_to_a_target() -> None:
    assert {folder.name for folder in FOLDER.iterdir()} <= set(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_the_samples_that_mutations_begin_with_do_not_fail(name: str) -> None:
    target = named(name)

    assert [failure_of(target, sample) for sample in target.samples()] == [None] * len(target.samples())
    assert any(target.check(sample) for sample in target.samples())
