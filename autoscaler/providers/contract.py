"""What a source of instances must do for the autoscaler; one suite of tests holds every provider to it.

The plan knows instances only. A provider says what the instances that were found are to it, names what could be started
(instances in state "stopped", real or places in a group), and reports each one's fate instead of raising, so that one
instance never hides what happened to the others.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from autoscaler.model import ActionOutcome, Instance

ALREADY_STARTED = "AlreadyStarted"
"""Our own code in `ActionOutcome.blocked`: someone else started the instance between our look and our call."""
HELD = "Held"
"""Our own code in `ActionOutcome.blocked`: a person put the hold tag on the instance between our look and our call."""
NOT_RUNNING = "NotRunning"
"""Our own code in `ActionOutcome.blocked`: the instance to stop did not run any more."""


@dataclass(frozen=True, slots=True)
class ProviderView:
    """What a provider makes of the instances that were found.

    Attributes:
        instances: with what could be started; `None` when the provider could not read its part.
        problems: one line for each thing that a person should know of.
    """

    instances: tuple[Instance, ...] | None
    problems: tuple[str, ...] = ()


class CapacityProvider(Protocol):
    """Starts and stops instances; never raises for what AWS refuses."""

    def see(self, found: tuple[Instance, ...]) -> ProviderView:
        """The provider's view of the instances that carry the fleet's tag."""

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> ActionOutcome:
        """Have up to `count` of the `candidates` run, in their order; one that runs already counts.

        Started ones are owned when they are seen next; one that someone else started stays theirs. A candidate that
        cannot start now is `blocked`, and the next one is tried; a refusal that needs a person is `failed` and ends it.
        """

    def stop(self, instance_id: str) -> ActionOutcome:
        """Stop one instance that runs; one that does not, or is between two states, is `blocked` and left alone."""

    def hold_back(self) -> ActionOutcome:
        """Take back starts that were asked for and have not begun, because a live session holds the lock now."""
