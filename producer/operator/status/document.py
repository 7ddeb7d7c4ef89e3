"""The status as JSON. Its names are an interface: scripts read them. `null` is what is not there or not known."""

from typing import Any

from producer.operator.status.forecast import is_silent, outlook
from producer.operator.status.model import FleetInstance, Overview, Unread
from shared.aws.sqs import QueueDepth
from shared.clock import iso
from shared.formats.wire import WireModel
from shared.settings import Settings


def document(seen: Overview, settings: Settings) -> dict[str, Any]:
    """One look as JSON-able values; `problems` names each part that could not be read, and why."""
    ahead = outlook(seen, settings)
    return {
        "observedAt": iso(seen.observed_at),
        "fleet": settings.fleet_name,
        "queues": {
            "priority": _depth(seen.priority),
            "jobs": _depth(seen.jobs),
            "deadLetters": _depth(seen.dead_letters),
        },
        "oldestWaitsSeconds": _rounded(ahead.oldest_waits_seconds),
        "backlogSeconds": _rounded(ahead.backlog_seconds),
        "workersAtWork": ahead.working,
        "estimatedSecondsLeft": _rounded(ahead.seconds_left),
        "lock": {
            "enabled": settings.lock_enabled,
            "held": seen.lock.held,
            "holders": [holder.model_dump(by_alias=True) for holder in seen.lock.holders],
        },
        "instances": None
        if isinstance(seen.instances, Unread)
        else [_instance(each, seen, settings) for each in seen.instances],
        "lastScan": _model(seen.scan),
        "schedule": _schedule(seen),
        "nextScan": None if ahead.next_scan is None else iso(ahead.next_scan),
        "lastReport": _last_report(seen),
        "lastDecision": _model(seen.tick),
        "failures": _failures(seen),
        "problems": seen.problems(),
    }


def _depth(depth: QueueDepth | Unread) -> dict[str, int] | None:
    if isinstance(depth, Unread):
        return None
    return {"visible": depth.visible, "inFlight": depth.in_flight, "delayed": depth.delayed}


def _instance(each: FleetInstance, seen: Overview, settings: Settings) -> dict[str, Any]:
    instance, beat = each.instance, each.heartbeat
    return {
        "id": instance.id,
        "state": instance.state,
        "availabilityZone": instance.availability_zone,
        "owned": instance.owned,
        "runStart": iso(instance.run_start),
        "silent": is_silent(each, seen.observed_at, settings),
        "worker": None if beat is None else beat.model_dump(by_alias=True, mode="json", exclude={"instance_id"}),
    }


def _schedule(seen: Overview) -> dict[str, Any] | None:
    if isinstance(seen.schedule, Unread) or seen.schedule is None:
        return None
    return {"expression": seen.schedule.expression, "enabled": seen.schedule.enabled}


def _last_report(seen: Overview) -> dict[str, Any] | None:
    if isinstance(seen.reports, Unread) or seen.reports.last is None:
        return None
    last = seen.reports.last
    facts = last.reading.facts if last.reading else None
    return {
        "name": last.name.stem,
        "problem": last.problem,
        "status": facts.outcome if facts else None,
        "reason": facts.reason if facts else None,
        "costUSD": facts.gpu.cost_usd if facts else None,
    }


def _failures(seen: Overview) -> list[dict[str, Any]] | None:
    if isinstance(seen.reports, Unread):
        return None
    return [{"report": failure.report, **failure.error.model_dump(by_alias=True)} for failure in seen.reports.failures]


def _model(part: WireModel | Unread | None) -> dict[str, Any] | None:
    if part is None or isinstance(part, Unread):
        return None
    return part.model_dump(by_alias=True, mode="json")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
