"""The rules that always hold, under any order of messages, ticks, crashes, lock changes, refusals and wrong counts.

A sequence ends with the end of all faults: from there on waiting work must be done, and owned instances must stop,
within a bound.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from autoscaler.model import Decision
from tests.autoscaler.world.observer import Blindness
from tests.autoscaler.world.state_machine import FleetMachine

GHOSTS = Blindness(ghosts=500)
WRONG_COUNTS = [GHOSTS, GHOSTS, Blindness(ghosts=1), Blindness(), Blindness(queue=True), Blindness(instances=True)]


class FleetWithoutWork(FleetMachine):
    """The same without a single message: whatever the counts show is not there."""

    def messages_arrive(self, count: int) -> None:
        """None ever does."""

    @rule(blind=st.sampled_from(WRONG_COUNTS))
    def the_autoscaler_sees_badly(self, blind: Blindness) -> None:
        self.watched.blind = blind

    @invariant()
    def wrong_counts_alone_start_one_instance_an_hour_at_most(self) -> None:
        launches = sorted(launched for _, launched in self.runs)
        assert all(later - earlier >= timedelta(minutes=59) for earlier, later in pairwise(launches)), self.runs


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Tens of thousands of ticks write no log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def run(machine: type[FleetMachine], sequences: int) -> None:
    machine.reached.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=sequences, stateful_step_count=50, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.usefixtures("_quiet")
def test_the_rules_hold_and_work_is_done_whatever_happens_in_whatever_order() -> None:
    run(FleetMachine, 1000)
    # Sequences that never come to a start, a stop, a repair or a held lock would show nothing.
    interesting = {
        Decision.STARTING,
        Decision.STOPPING,
        Decision.REPAIRING,
        Decision.HOLDING,
        Decision.OBSERVATION_FAILED,
    }
    interesting |= {Decision.UNCONFIRMED, Decision.SUPERSEDED}
    assert min(FleetMachine.reached[decision] for decision in interesting) >= 100, FleetMachine.reached


@pytest.mark.usefixtures("_quiet")
def test_wrong_counts_alone_start_no_more_than_one_instance_an_hour_whatever_else_happens() -> None:
    run(FleetWithoutWork, 300)
    assert min(FleetMachine.reached[decision] for decision in (Decision.STARTING, Decision.UNCONFIRMED)) >= 100
