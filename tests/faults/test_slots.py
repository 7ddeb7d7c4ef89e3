"""Faults side by side, with real processes: one that takes its slot down or never ends breaks no other."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.harness.fleet import Fleet
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.harness.slots import Runner

pytestmark = pytest.mark.e2e


def crash(fleet: Fleet) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def complain(fleet: Fleet) -> None:
    raise Broken("the moon is not made of cheese")


def hang(fleet: Fleet) -> None:
    time.sleep(600)


FAULTS = {
    "crash": Fault("crash", "test", "The slot's process dies.", crash),
    "complain": Fault("complain", "test", "The script sees something.", complain),
    "hang": Fault("hang", "test", "The script never ends.", hang, bounds_seconds=-138),
}


def find(name: str) -> Fault:
    return FAULTS[name]


@pytest.fixture
def told() -> list[Outcome]:
    return []


@pytest.fixture
def runner(tmp_path: Path, told: list[Outcome]) -> Runner:
    return Runner(find, 7, tmp_path, slots=1, limit_seconds=60, on_outcome=told.append)


def test_a_slot_that_dies_breaks_its_own_fault_alone(runner: Runner, told: list[Outcome], tmp_path: Path) -> None:
    crashed, complained = runner.run([FAULTS["crash"], FAULTS["complain"]])
    assert crashed.broken == ("the harness: its process has ended",)
    assert complained.broken[0] == "the script: the moon is not made of cheese"
    assert complained.seed == 7
    assert [outcome.name for outcome in told] == ["crash", "complain"]
    assert "the moon" in (tmp_path / "complain" / "verdict.txt").read_text()


def test_a_fault_that_never_ends_is_given_up(runner: Runner) -> None:
    began = time.monotonic()
    (hung,) = runner.run([FAULTS["hang"]])
    assert hung.broken == ("the harness: it did not come back in time",)
    assert time.monotonic() - began < 60


def test_what_is_left_when_the_time_is_over_is_broken_too(tmp_path: Path, told: list[Outcome]) -> None:
    late = Runner(find, 7, tmp_path, slots=1, limit_seconds=0, on_outcome=told.append)
    (outcome,) = late.run([FAULTS["complain"]])
    assert outcome.broken == ("not run: the time for all faults was over",)
