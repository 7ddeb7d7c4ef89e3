"""How the status looks on one screen. It reads nothing; a part that could not be read says so in its place."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from producer.operator.reports.view import STYLES, usd
from producer.operator.status.forecast import Outlook, factor_of, is_silent, outlook
from producer.operator.status.model import Failure, FleetInstance, LastScan, Overview, Unread
from shared.aws.sqs import QueueDepth
from shared.clock import human_duration
from shared.settings import Settings

_MAX_INSTANCES = 12
_LATE_TICK_SECONDS = 300  # as the alarm for the autoscaler's silence


def screen(seen: Overview, settings: Settings) -> Group:
    """Everything that was seen, and what to expect."""
    ahead = outlook(seen, settings)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    head = f"fleet {settings.fleet_name}, {seen.observed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    for label, value in _lines(seen, ahead, settings):
        grid.add_row(label, value)
    parts: list[RenderableType] = [Text(head, "dim"), grid]
    if not isinstance(seen.instances, Unread) and seen.instances:
        parts.append(_instances_table(seen.instances, seen.observed_at, settings))
    if not isinstance(seen.reports, Unread) and seen.reports.failures:
        parts.append(_failures_table(seen.reports.failures))
    return Group(*parts)


def _lines(seen: Overview, ahead: Outlook, settings: Settings) -> Iterator[tuple[str, Text]]:
    yield "jobs-priority", _depth(seen.priority)
    yield "jobs", _depth(seen.jobs)
    yield "time left", _time_left(seen, ahead, settings)
    yield "dead letters", _dead_letters(seen.dead_letters)
    yield "lock", _lock(seen, settings)
    yield "instances", _instances(seen)
    if seen.heartbeats and not isinstance(seen.instances, Unread):
        yield "workers", _unread(seen.heartbeats)
    yield "autoscaler", _tick(seen)
    yield "last scan", _scan(seen)
    yield "next scan", _next_scan(seen, ahead)
    yield "last report", _report(seen)


def _depth(depth: QueueDepth | Unread) -> Text:
    if isinstance(depth, Unread):
        return _unread(depth)
    delayed = f", {depth.delayed:,} delayed" if depth.delayed else ""
    return Text(f"{depth.visible:,} waiting, {depth.in_flight:,} in flight{delayed}")


def _time_left(seen: Overview, ahead: Outlook, settings: Settings) -> Text:
    waits = ahead.oldest_waits_seconds
    oldest = f"; the oldest job waits {human_duration(waits)} at most" if waits else ""
    if ahead.backlog_seconds is None:
        return Text(f"not known{oldest}", "yellow")
    if not ahead.backlog_seconds:
        return Text("no work waits")
    if ahead.seconds_left is not None:
        workers = "1 worker" if ahead.working == 1 else f"{ahead.working} workers"
        return Text(f"about {human_duration(ahead.seconds_left)} with {workers} at work{oldest}")
    alone = f"about {human_duration(ahead.backlog_seconds)} for one instance at {settings.rtfx:g} x"
    why = "waits for the lock" if seen.lock.held else "nobody is at work"
    return Text(f"{why}; {alone}{oldest}", "yellow")


def _dead_letters(depth: QueueDepth | Unread) -> Text:
    if isinstance(depth, Unread):
        return _unread(depth)
    count = depth.total
    return Text(f"{count:,} (`scribefleet dlq list` has the reasons)", "red") if count else Text("none")


def _lock(seen: Overview, settings: Settings) -> Text:
    if not settings.lock_enabled:
        return Text("off by setting", "dim")
    if seen.lock.problem:
        return Text(f"counts as held: {seen.lock.problem}", "red")
    if not seen.lock.holders:
        return Text("free")
    names = [
        f"{holder.user_id}/{holder.session_id} (since {_ago(holder.timestamp, seen.observed_at)})"
        for holder in seen.lock.holders
    ]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Text(f"held by {', '.join(names[:5])}{more}", "yellow")


def _instances(seen: Overview) -> Text:
    if isinstance(seen.instances, Unread):
        return _unread(seen.instances)
    if not seen.instances:
        return Text("none carries the fleet's tag", "yellow")
    states = [each.instance.state for each in seen.instances]
    return Text(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))))


def _tick(seen: Overview) -> Text:
    if isinstance(seen.tick, Unread):
        return _unread(seen.tick)
    if seen.tick is None or seen.tick.ticked_at is None:
        return Text("has never decided", "red")
    age = max(0.0, (seen.observed_at - seen.tick.ticked_at).total_seconds())
    late = "bold red" if age > _LATE_TICK_SECONDS else ""
    said = f"{seen.tick.decision or 'decided'}: {seen.tick.reason or 'its reason was not recorded'}"
    return Text(f"{said} ({human_duration(age)} ago)", late)


def _scan(seen: Overview) -> Text:
    if isinstance(seen.scan, Unread):
        return _unread(seen.scan)
    if seen.scan is None:
        return Text("there was none")
    return Text(f"{_ago(seen.scan.timestamp, seen.observed_at)} ago: {_found(seen.scan)}")


def _found(scan: LastScan) -> str:
    gaps, with_gaps, sessions = scan.total_missing_chunks, scan.sessions_with_missing_chunks, scan.total_sessions
    known = [f"{count:,}" if count is not None else "?" for count in (gaps, with_gaps, sessions)]
    return f"{known[0]} gaps in {known[1]} of {known[2]} sessions"


def _next_scan(seen: Overview, ahead: Outlook) -> Text:
    if isinstance(seen.schedule, Unread):
        return Text(f"not known ({seen.schedule.why})", "yellow")
    if seen.schedule is None:
        return Text("no schedule: EventBridge has no rule for it", "yellow")
    if not seen.schedule.enabled:
        return Text(f"none: the rule ({seen.schedule.expression}) is off", "red")
    if ahead.next_scan is None:
        return Text(seen.schedule.expression)
    wait = human_duration((ahead.next_scan - seen.observed_at).total_seconds())
    return Text(f"about {ahead.next_scan.astimezone(UTC):%H:%M} UTC, in {wait} ({seen.schedule.expression})")


def _report(seen: Overview) -> Text:
    if isinstance(seen.reports, Unread):
        return _unread(seen.reports)
    report = seen.reports.last
    if report is None:
        return Text("there is none")
    if report.reading is None:
        return Text(f"{report.name.stem} cannot be read: {report.problem}", "red")
    facts = report.reading.facts
    jobs = facts.transcription
    said = f", {jobs.chunks_transcribed or 0:,} transcribed, {jobs.chunks_failed or 0:,} failed"
    cost = f", {usd(facts.gpu.cost_usd)} USD" if facts.gpu.cost_usd is not None else ""
    more = f" ({facts.reason})" if facts.outcome == "skipped" else said + cost
    return Text.assemble((facts.outcome, STYLES.get(facts.outcome, "")), f"{more}  {report.name.stem}")


def _instances_table(found: tuple[FleetInstance, ...], now: datetime, settings: Settings) -> Table:
    table = Table()
    table.add_column("instance", no_wrap=True)
    for column in ("state", "worker", "beat", "jobs", "speed"):
        table.add_column(column, justify="right" if column in {"beat", "jobs", "speed"} else "left")
    ordered = sorted(found, key=lambda each: (each.instance.state == "stopped", each.instance.id))
    for each in ordered[:_MAX_INSTANCES]:
        instance = each.instance
        runs = f" for {_ago(instance.run_start, now)}" if instance.state in {"pending", "running"} else ""
        table.add_row(instance.id, f"{instance.state}{runs}", *_worker(each, now, settings))
    if len(ordered) > _MAX_INSTANCES:
        table.caption = f"and {len(ordered) - _MAX_INSTANCES} more (--json has all)"
    return table


def _worker(each: FleetInstance, now: datetime, settings: Settings) -> tuple[Text | str, ...]:
    state, beat = each.instance.state, each.heartbeat
    silent = Text("silent", "bold red") if is_silent(each, now, settings) else None
    if beat is None:
        coming = "not heard of yet" if state in {"pending", "running"} else "-"
        return silent or coming, "-", "-", "-"
    if state in {"stopping", "stopped"}:
        return "ended", "-", f"{beat.jobs_done:,}", "-"
    said = "" if beat.rtfx else " (as set)"
    speed = f"{factor_of(beat, settings):.1f} x{said}"
    return silent or beat.state, f"{_ago(beat.beat_at, now)} ago", f"{beat.jobs_done:,}", speed


def _failures_table(failures: tuple[Failure, ...]) -> Table:
    table = Table(title="newest failures", title_justify="left")
    for column in ("session", "chunk", "reason", "what happened", "report"):
        table.add_column(column, overflow="fold")
    for failure in failures:
        error = failure.error
        said = (error.session_id, error.chunk, error.reason, error.detail, failure.report)
        table.add_row(*(Text(value or "-") for value in said))  # Text: ids may hold what rich takes for markup
    return table


def _unread(part: Unread) -> Text:
    return Text(f"could not be read: {part.why}", "red")


def _ago(moment: datetime, now: datetime) -> str:
    return human_duration(max(0.0, (now - moment).total_seconds()))
