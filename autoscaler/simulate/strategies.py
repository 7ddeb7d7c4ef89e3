"""Who decides when instances start: the real plan, or the timers that it is compared with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from autoscaler.model import Observation, Plan, StartInstance
from autoscaler.plan import plan
from autoscaler.policy import Policy
from autoscaler.simulate.rules import Bounds
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

    @property
    def looks(self) -> int:
        """How many looks at the queue it wants to have agreed before a start."""

    def decide(self, observation: Observation, now: datetime) -> Plan:
        """What to do now."""

    def bounds(self, settings: Settings) -> Bounds:
        """What it can be held to."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The autoscaler's own plan, every minute."""

    name: str
    policy: Policy
    interval_seconds: float = TICK_SECONDS

    @property
    def looks(self) -> int:
        return self.policy.confirm_reads

    def decide(self, observation: Observation, now: datetime) -> Plan:
        return plan(observation, self.policy, now)

    def bounds(self, settings: Settings) -> Bounds:
        # An idle worker stops by itself or is stopped, whichever is later. A silent one is suspected, its host is
        # rebooted, then given up. Work waits until it is old enough, then for that and for another one to come up.
        polls = (settings.max_empty_polls + 1) * settings.long_poll_seconds
        given_up = settings.boot_limit_seconds + 2 * settings.silent_limit_seconds + 3 * TICK_SECONDS
        gathering = settings.start_max_wait_seconds if settings.start_min_jobs > 1 else 0
        patience = max(gathering, settings.start_doubt_seconds)
        return Bounds(
            max_instances=settings.max_instances,
            idle_seconds=max(settings.idle_limit_seconds, polls) + 2 * TICK_SECONDS,
            dead_seconds=given_up,
            unworked_seconds=patience + given_up + settings.boot_limit_seconds + 2 * TICK_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Timer:
    """Starts every instance it may when anything waits, the lock is free and none runs; workers stop by themselves."""

    name: str
    interval_seconds: float
    instances: int = 1
    looks: int = 1

    def decide(self, observation: Observation, now: datetime) -> Plan:  # noqa: ARG002 - a timer knows no more
        instances = observation.instances or ()
        runs = any(instance.state in {"pending", "running"} for instance in instances)
        if observation.lock.held or runs or not (observation.queue and observation.queue.visible):
            return Plan((), "not now")
        stopped = tuple(instance.id for instance in instances if instance.state == "stopped")
        return Plan((StartInstance(stopped, self.instances, "jobs wait"),) if stopped else (), "jobs wait")

    def bounds(self, settings: Settings) -> Bounds:
        return Bounds(settings.max_instances, None, None, None)
