"""The operator's command of the autoscaler: one tick by hand, with everything it saw."""

import json
import sys
from datetime import datetime
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoscaler.model import ActionOutcome, Instance
from autoscaler.result import TickResult
from autoscaler.tick import Autoscaler
from shared.aws.sqs import QueueDepth
from shared.clock import SystemClock, human_duration
from shared.logs import configure_logging
from shared.settings import Settings, load_settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only look and decide: nothing is started, stopped or tagged.")
@click.option("--json", "as_json", is_flag=True, help="Print what was seen, decided and done as one JSON object.")
def autoscale(*, dry_run: bool, as_json: bool) -> None:
    """Decide once whether GPU instances should run, and start or stop them.

    Looks at both job queues, the lock of live sessions, the instances tagged with the fleet's name and their workers'
    heartbeats; prints what it sees and why it does what it does. The Lambda function does the same every minute.
    While a live session holds the lock nothing is started or stopped, and only instances that the autoscaler started
    are ever stopped. Beside the function it is harmless: of two ticks at the same moment one does nothing.

    With --dry-run it answers, without touching anything: is a GPU needed now, and why (not)?

    Exit codes: 0 done (nothing to do is done, too), 1 something could not be read or AWS refused an action,
    2 wrong use or a wrong setting.
    """
    settings = load_settings()
    configure_logging(_log_level(settings), settings.log_format)
    result = Autoscaler.from_settings(settings, SystemClock(), dry_run=dry_run).tick()
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, **result.document()}, indent=2))
    else:
        _print(result, dry_run=dry_run)
    if result.observation.problems or result.observation.lock.problem or result.outcome.failed:
        sys.exit(1)


def _log_level(settings: Settings) -> Literal["debug", "info", "warning", "error"]:
    """The set level, less outcomes: the command prints these itself, and once is enough."""
    return "warning" if settings.log_level == "info" else settings.log_level


def _print(result: TickResult, *, dry_run: bool) -> None:
    console = Console()
    seen = result.observation
    if seen.instances:
        console.print(_instances_table(result, seen.instances))
    elif seen.instances is not None:
        console.print("instances  the pool is empty: no instance carries the fleet's tag")
    for name, text in _seen_lines(result):
        # Text: session ids and AWS's words may hold what rich would take for markup
        console.print(Text(f"{name:<11}{text}"), soft_wrap=True)
    for problem in seen.problems:
        console.print(Text(f"problem    {problem}"), style="yellow", soft_wrap=True)
    console.print(Text(f"decision   {result.reason}"), style="bold", soft_wrap=True)
    for alarm in result.plan.alarms:
        console.print(Text(f"alarm      {alarm}"), style="red", soft_wrap=True)
    for line in _outcome_lines(result.outcome, dry_run=dry_run):
        console.print(Text(f"outcome    {line}"), soft_wrap=True)


def _seen_lines(result: TickResult) -> list[tuple[str, str]]:
    """What was seen beside the instances; a part that could not be read has no line here but a problem."""
    seen, past = result.observation, result.history
    lines = [("queue", _depth(depth)) for depth in (seen.queue, *seen.confirmations) if depth is not None]
    if result.backlog_seconds is not None:
        oldest = past.oldest_waits
        waits = "" if oldest is None else f", the oldest job waits {human_duration(oldest.total_seconds())} at most"
        lines.append(("backlog", f"{human_duration(result.backlog_seconds)} of work for one instance{waits}"))
    lines.append(("lock", seen.lock.describe()))
    if result.gpu_hours_today is not None and result.cost_today_usd is not None:
        lines.append(("today", f"{result.gpu_hours_today:.2f} GPU hours, {result.cost_today_usd:.2f} USD"))
    for zone, until in sorted(past.blocked_zones.items()):
        lines.append(("zone", f"{zone} had no capacity, is asked again at {until:%H:%M} UTC"))
    return lines


def _depth(depth: QueueDepth) -> str:
    return f"{depth.visible:,} waiting, {depth.in_flight:,} in flight, {depth.delayed:,} delayed"


def _instances_table(result: TickResult, instances: tuple[Instance, ...]) -> Table:
    table = Table()
    table.add_column("instance", no_wrap=True)
    for column in ("state", "standing", "owned", "heartbeat"):
        table.add_column(column)
    table.add_column("age", justify="right", no_wrap=True)
    for instance in sorted(instances, key=lambda instance: instance.id):
        table.add_row(
            instance.id,
            instance.state,
            str(result.standing_of(instance)),
            ("yes" if instance.owned else "no") + (", on hold" if instance.hold else ""),
            _heartbeat(result, instance),
            _ago(instance.run_start, result.now) if instance.state in {"pending", "running"} else "-",
        )
    return table


def _heartbeat(result: TickResult, instance: Instance) -> str:
    if result.observation.heartbeats is None:
        return "unknown"
    heartbeat = result.observation.heartbeat_of(instance)
    return f"{heartbeat.state}, {_ago(heartbeat.beat_at, result.now)} ago" if heartbeat else "-"


def _ago(moment: datetime, now: datetime) -> str:
    return human_duration(max(0.0, (now - moment).total_seconds()))


def _outcome_lines(outcome: ActionOutcome, *, dry_run: bool) -> list[str]:
    would = "would have " if dry_run else ""
    return [
        *(f"{would}started {instance}" for instance in outcome.started),
        *(f"{would}stopped {instance}" for instance in outcome.stopped),
        *(f"{would}marked {instance} as suspect" for instance in outcome.marked),
        *(f"{would}rebooted {instance}" for instance in outcome.rebooted),
        *(f"{instance} not now: {code}" for instance, code in outcome.blocked.items()),
        *(f"{instance} refused: {code}" for instance, code in outcome.failed.items()),
    ]
