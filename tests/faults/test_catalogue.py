"""The matrix as a whole."""

import re

import pytest

from tests.faults.catalogue import all_faults, chosen, find, unique
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.scenario import Fault


def script(fleet: Fleet) -> None:
    """Breaks nothing; these tests run none."""


def fault(name: str, group: str = "kills") -> Fault:
    return Fault(name, group, "Nothing happens.", script)


def test_the_run_without_faults_comes_first() -> None:
    assert all_faults()[0].name == "none"


def test_every_fault_can_be_replayed_by_its_name() -> None:
    for each in all_faults():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each.name), each.name
        assert find(each.name) == each


def test_every_fault_is_explained_in_one_sentence() -> None:
    for each in all_faults():
        assert each.what[0].isupper(), each.name
        assert each.what.endswith("."), each.name


def test_two_faults_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one fault is called kill-twice"):
        unique([fault("kill-twice"), fault("other"), fault("kill-twice")])


def test_faults_are_chosen_by_name_pattern_or_group() -> None:
    faults = [fault("kill-one"), fault("kill-two"), fault("slow", group="cloud")]
    assert [each.name for each in chosen(faults, ["kill-*"])] == ["kill-one", "kill-two"]
    assert [each.name for each in chosen(faults, ["cloud", "kill-two"])] == ["kill-two", "slow"]
    assert chosen(faults, []) == tuple(faults)


def test_a_pattern_that_fits_no_fault_is_a_mistake() -> None:
    with pytest.raises(LookupError, match="no fault is called kil"):
        chosen([fault("kill-one")], ["kill-*", "kil"])
