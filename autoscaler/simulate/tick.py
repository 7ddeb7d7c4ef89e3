"""A simulated tick: looks at the simulated world, lets the strategy decide, acts. The order is `autoscaler.tick`'s.

It decides nothing. What the real tick reads from AWS is made of the simulated parts; the record between ticks is real.
"""

from collections.abc import Sequence
from dataclasses import replace

from autoscaler.model import (
    Action,
    MarkSuspect,
    Observation,
    Outcome,
    Plan,
    RebootInstance,
    StartInstance,
    StopInstance,
)
from autoscaler.record import NO_CAPACITY, TickRecord
from autoscaler.simulate.fleet import Fleet
from autoscaler.simulate.jobs import Counts
from autoscaler.simulate.strategies import Strategy
from autoscaler.simulate.surroundings import Surroundings

_LOOKS_APART_SECONDS = 3.0


class Ticker:
    """Ticks for one strategy.

    Attributes:
        blocked: how often EC2 refused a start.
    """

    def __init__(self, strategy: Strategy, fleet: Fleet, counts: Counts, around: Surroundings) -> None:
        self._strategy = strategy
        self._fleet = fleet
        self._counts = counts
        self._around = around
        self._record = TickRecord()
        self._acts_until = 0.0
        self.blocked = 0

    def tick(self) -> None:
        """Look, decide, look again before a start, and act."""
        now = self._around.agenda.moment
        if self._around.agenda.now < self._acts_until:  # reserved concurrency 1, and the record between ticks
            return
        observation = self._observe()
        record = self._record.after(observation, now)
        decided = self._decide(record.recalled(observation, now))
        looks = self._strategy.looks - 1
        if looks and _starts(decided):
            again = tuple(self._counts.read(in_seconds=(look + 1) * _LOOKS_APART_SECONDS) for look in range(looks))
            observation = replace(observation, confirmations=again)
            record = self._record.after(observation, now)
            decided = self._decide(record.recalled(observation, now))
        self._record = record
        delay = looks * _LOOKS_APART_SECONDS
        self._acts_until = self._around.agenda.now + delay + (1 if decided.actions else 0)
        for action in decided.actions:
            self._perform(action, delay)

    def _observe(self) -> Observation:
        return Observation(
            queue=self._counts.read(),
            lock=self._around.live.state(),
            instances=self._fleet.instances(),
            heartbeats=self._fleet.heartbeats(),
        )

    def _decide(self, observation: Observation) -> Plan:
        return self._strategy.decide(observation, self._around.agenda.moment)

    def _perform(self, action: Action, delay: float) -> None:
        match action:
            case StartInstance():
                self._around.agenda.after(delay, lambda: self._start(action))
            case StopInstance():
                self._fleet.stop(action.instance_id, "autoscaler")
            case MarkSuspect():
                self._fleet.mark(action.instance_id)
            case RebootInstance():
                self._fleet.reboot(action.instance_id)

    def _start(self, action: StartInstance) -> None:
        if self._around.live.held:  # seen right before acting
            return
        self._try(action.candidates, action.count, Outcome())

    def _try(self, candidates: Sequence[str], count: int, outcome: Outcome) -> None:
        """One candidate after the other: each call takes time."""
        if not candidates or len(outcome.started) >= count:
            fleet = self._around.settings.fleet_name
            instances, now = self._fleet.instances(), self._around.agenda.moment
            self._record = self._record.with_zones(instances, outcome, fleet, now)
            return
        candidate, *others = candidates
        if self._fleet.start(candidate):
            outcome += Outcome(started=(candidate,))
        else:
            self.blocked += 1
            outcome += Outcome(blocked={candidate: NO_CAPACITY})
        seconds = self._around.conditions.call_seconds
        self._acts_until = self._around.agenda.now + seconds
        self._around.agenda.after(seconds, lambda: self._try(others, count, outcome))


def _starts(decided: Plan) -> bool:
    return any(isinstance(action, StartInstance) for action in decided.actions)
