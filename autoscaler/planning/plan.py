"""Decides when GPUs run: from what was seen, the policy and the time, to actions and a reason.

Pure, and without memory: it reads no clock, calls nothing and logs nothing. Each tick decides anew from what it sees,
so a start that failed or an instance that was still stopping is simply decided on again a minute later. The whole
decision table is docs/autoscaler.md; its rows about starts are in `autoscaler.planning.starting`, about the rest in
`autoscaler.planning.stopping`.
"""

from datetime import datetime

from autoscaler.model import (
    Action,
    Decision,
    History,
    MarkSuspect,
    Observation,
    Plan,
    Policy,
    RebootInstance,
    StopInstance,
)
from autoscaler.planning.fleet import Fleet, backlog_seconds, fleet_of
from autoscaler.planning.starting import StartDecision, desired_instances, judge_start, wanted_idle
from autoscaler.planning.stopping import Endings, endings
from autoscaler.planning.surplus import surplus_of, surplus_stops

__all__ = ["backlog_seconds", "desired_instances", "plan"]

_MAX_CLAUSES = 5


def plan(observation: Observation, history: History, policy: Policy, now: datetime) -> Plan:
    """What to do at `now`, and why.

    Returns:
        Stops, marks and reboots come before starts. The reason is one sentence for people, also when there is nothing
        to do.
    """
    if observation.lock.held:
        return Plan((), f"holding: {observation.lock.describe()}", Decision.HOLDING)
    if observation.queue is None or observation.instances is None:
        return Plan((), f"waiting: {'; '.join(observation.problems)}", Decision.OBSERVATION_FAILED)
    fleet = fleet_of(observation, history, policy, now)
    ends = endings(fleet, observation, policy, wanted_idle(policy, now), now)
    surplus = surplus_of(fleet, observation, history, policy, now)
    ending = [action.instance_id for action in ends.actions if isinstance(action, StopInstance)]
    ends += Endings(surplus_stops(fleet, surplus, ending, policy, now))
    verdict = judge_start(fleet, observation, history, policy, now)
    alarms = (*ends.alarms, *_budget_alarm(fleet, verdict))
    return Plan(
        (*ends.actions, *((verdict.start,) if verdict.start else ())),
        _reason(verdict, ends),
        _decision(verdict, ends),
        alarms,
        in_doubt=verdict.decision is Decision.UNCONFIRMED and observation.sighting is None,
        surplus=surplus,
    )


def _budget_alarm(fleet: Fleet, verdict: StartDecision) -> tuple[str, ...]:
    """Work in hand is not cut off for a budget, so a person is told that it goes on costing."""
    if verdict.decision is not Decision.OVER_BUDGET:
        return ()
    runs = sum(member.runs and member.instance.owned for member in fleet)
    return (f"{verdict.reason}; owned instances that still run: {runs}",)


def _reason(verdict: StartDecision, ends: Endings) -> str:
    if not ends.actions and verdict.decision is Decision.NOTHING_TO_DO:
        return f"nothing to do: {verdict.reason}"
    clauses = [_clause(action) for action in ends.actions[:_MAX_CLAUSES]]
    more = len(ends.actions) - len(clauses)
    return "; ".join((verdict.reason, *clauses, *((f"and {more} more",) if more else ())))


def _decision(verdict: StartDecision, ends: Endings) -> Decision:
    """The one word: what is done goes before what is not, and a stop before a repair."""
    if verdict.start or not ends.actions:
        return verdict.decision
    stops = any(isinstance(action, StopInstance) for action in ends.actions)
    return Decision.STOPPING if stops else Decision.REPAIRING


def _clause(action: Action) -> str:
    if isinstance(action, StopInstance):
        return f"stopping {action.instance_id}: {action.reason}"
    if isinstance(action, RebootInstance):
        return f"rebooting {action.instance_id}: {action.reason}"
    if isinstance(action, MarkSuspect):
        return f"suspecting {action.instance_id}: {action.reason}"
    return action.reason
