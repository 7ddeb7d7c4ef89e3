"""Helpers of the simulator's tests: settings without a cloud, and one call that simulates."""

from collections.abc import Callable
from typing import Any

import pytest

from autoscaler.policy import Policy
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.simulation import Run, simulate
from autoscaler.simulate.strategies import Ours, Strategy
from autoscaler.simulate.workload import Trace
from autoscaler.simulate.world.conditions import STEADY, Conditions
from shared.settings import Settings

MakeSettings = Callable[..., Settings]
Simulate = Callable[..., SimulationResult]


@pytest.fixture
def settings_with() -> MakeSettings:
    """Settings without a cloud, the defaults but for what is given."""

    def make(**changes: Any) -> Settings:
        cloud = dict.fromkeys(("bucket", "jobs_queue_url", "priority_queue_url", "dead_letter_queue_url"), "none")
        return Settings.model_validate({**cloud, "table_name": "none", **changes})

    return make


@pytest.fixture
def simulated(settings_with: MakeSettings) -> Simulate:
    """Simulate a trace: the plan with the settings that are given, or another strategy."""

    def run(
        trace: Trace,
        conditions: Conditions = STEADY,
        *,
        strategy: Strategy | None = None,
        seed: int = 1,
        pool: int | None = None,
        **changes: Any,
    ) -> SimulationResult:
        settings = settings_with(**changes)
        decides = strategy or Ours("ours", Policy.from_settings(settings))
        return simulate(Run(trace, decides, settings, conditions, seed, pool or settings.max_instances + 2))

    return run
