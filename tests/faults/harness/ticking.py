"""What scripts about instances share: ticks until something is so, and what ticks came to."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from deploy.local.cloud import EmbeddedCloudError
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.hosts import Hosts
from tests.faults.harness.processes import HarnessProcess
from tests.faults.harness.scenario import Broken
from tests.faults.harness.stillness import until

PATIENCE_SECONDS: Final = 90.0
_PAUSE_SECONDS: Final = 0.3


def tick_until(fleet: Fleet, happened: Callable[[], object], what: str) -> None:
    """Tick until something is so; a tick that fails is followed by the next, as with Lambda."""

    def tick_and_look() -> object:
        with contextlib.suppress(EmbeddedCloudError):
            fleet.tick()
        time.sleep(_PAUSE_SECONDS)
        return happened()

    until(tick_and_look, what, PATIENCE_SECONDS)


def is_stopped(hosts: Hosts) -> Callable[[], bool]:
    """Tells whether no instance runs."""
    return lambda: set(hosts.states().values()) <= {"stopped", "terminated"}


def ticked(process: HarnessProcess, *decisions: str) -> list[dict[str, Any]]:
    """What ticks at another time of day came to, when they are over; with `decisions`, these are what they must be."""
    if process.wait(PATIENCE_SECONDS):
        raise Broken(f"{process.actor} failed: {process.log()[-300:]}")
    ticks = process.events("tick")
    came_to = [str(tick["decision"]) for tick in ticks]
    if decisions and came_to != list(decisions):
        raise Broken(f"the ticks came to {came_to} and not to {list(decisions)}: {[tick['reason'] for tick in ticks]}")
    return ticks
