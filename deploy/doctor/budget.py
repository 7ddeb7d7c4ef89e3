"""What the fleet may cost in a day, and how much of it is spent."""

from collections.abc import Iterator
from datetime import datetime

from autoscaler.record import TickRecord
from autoscaler.record_store import RecordStore
from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, ok, warning
from shared.settings import Settings


def look_at_budget(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The daily budgets against what the autoscaler has counted today."""
    record = RecordStore(fleet.clients.dynamodb, fleet.settings.table_name).read()
    yield budget_finding(fleet.settings, seconds_today(record, fleet.clock.now()), fleet.clock.now())


def seconds_today(record: TickRecord, now: datetime) -> float:
    """Seconds that owned instances have run in the day (UTC) of `now`, up to the last tick."""
    counted = record.counted_until
    return record.gpu_seconds if counted and counted.date() == now.date() else 0


def budget_finding(settings: Settings, seconds: float, now: datetime) -> Finding:
    """Whether the budgets let the autoscaler start anything today."""
    hours, cost = seconds / 3600, seconds / 3600 * settings.price_usd_per_hour
    spent = f"{hours:.2f} GPU hours, {cost:.2f} USD today"
    over = (0 < settings.daily_gpu_hours <= hours) or (0 < settings.daily_cost_usd <= cost)
    until = settings.budget_override_until
    if over and until and now < until:
        seen = f"{spent}: beyond the daily budget, which is set aside until {until:%Y-%m-%d %H:%M}"
        return warning("budget", seen, "it ends by itself; deploy with an empty BudgetOverrideUntil to end it now")
    if over:
        remedy = "wait for midnight UTC, or deploy with BudgetOverrideUntil or a larger DailyGpuHours / DailyCostUsd"
        return warning("budget", f"{spent}: the daily budget is spent and nothing more starts", remedy)
    if not settings.daily_gpu_hours and not settings.daily_cost_usd:
        most = settings.max_instances * 24 * settings.price_usd_per_hour
        return ok("budget", f"{spent}; no daily limit is set, so {most:.2f} USD a day at the very most")
    limits = [f"{settings.daily_gpu_hours:g} GPU hours"] if settings.daily_gpu_hours else []
    limits += [f"{settings.daily_cost_usd:g} USD"] if settings.daily_cost_usd else []
    return ok("budget", f"{spent}, of {' and '.join(limits)}")
