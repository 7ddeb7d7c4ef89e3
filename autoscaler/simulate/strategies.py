"""Who decides when instances start: the real autoscaler, or the timers that it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from autoscaler.policy import Policy
from autoscaler.simulate.world.rules import Bounds
from autoscaler.tick import Autoscaler, TickParts
from shared.clock import Clock
from shared.settings import Settings

TICK_SECONDS = 60.0


class Strategy(Protocol):
    """Decides every `interval_seconds`, from what it sees."""

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def interval_seconds(self) -> float:
        """From one decision to the next."""

    def ticking(self, parts: TickParts, clock: Clock) -> Callable[[], object]:
        """What to call at each tick: it looks and acts through `parts`."""

    def bounds(self, settings: Settings) -> Bounds:
        """What it can be held to."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The autoscaler itself, every minute."""

    name: str
    policy: Policy
    interval_seconds: float = TICK_SECONDS

    def ticking(self, parts: TickParts, clock: Clock) -> Callable[[], object]:
        return Autoscaler(parts, self.policy, "simulated", clock).unlogged_tick

    def bounds(self, settings: Settings) -> Bounds:
        # An idle worker stops by itself or is stopped, whichever is later. A silent one is suspected, its host is
        # rebooted, then given up. Work waits until it is old enough, then for that and for another one to come up.
        polls = (settings.empty_polls_before_end + 2) * settings.long_poll_seconds
        given_up = settings.boot_limit_seconds + 2 * settings.silent_limit_seconds + 3 * TICK_SECONDS
        gathering = settings.start_max_wait_seconds if settings.start_min_jobs > 1 else 0
        return Bounds(
            max_instances=settings.max_instances,
            idle_seconds=max(settings.idle_limit_seconds, polls) + 2 * TICK_SECONDS,
            dead_seconds=given_up,
            unworked_seconds=gathering + given_up + settings.boot_limit_seconds + 2 * TICK_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Timer:
    """Starts every instance it may when anything waits, the lock is free and none runs; workers stop by themselves."""

    name: str
    interval_seconds: float
    instances: int = 1

    def ticking(self, parts: TickParts, clock: Clock) -> Callable[[], object]:
        def tick() -> None:
            seen = parts.observer.observe()
            instances = seen.instances or ()
            runs = any(instance.state in {"pending", "running"} for instance in instances)
            if seen.lock.held or runs or not (seen.queue and seen.queue.visible):
                return
            stopped = tuple(instance.id for instance in instances if instance.state == "stopped")
            parts.provider.start(stopped, self.instances, clock.now())

        return tick

    def bounds(self, settings: Settings) -> Bounds:
        return Bounds(settings.max_instances, None, None, None)
