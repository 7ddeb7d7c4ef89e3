"""`scribefleet costs`: options and output."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.operator.costs.totals import RunCost, Sum, by_day, by_session, run_cost, total
from producer.operator.reports.store import ReportStore
from producer.operator.reports.view import number, seconds, usd
from shared.aws import clients
from shared.clock import SystemClock
from shared.settings import load_settings

# The template's rule `expire-batch-reports`.
KEPT_DAYS = 30
_MAX_SESSIONS = 40


@dataclass(frozen=True, slots=True)
class Month:
    """A month's runs, and what is not in them.

    Attributes:
        first: its first day.
        runs: all runs whose reports could be read.
        unreadable: reports that could not.
        days: days with a report of any kind, skipped scans included.
        gone_before: the bucket has deleted reports of days before this one; `None` when it still has the whole month.
    """

    first: date
    runs: tuple[RunCost, ...]
    unreadable: tuple[str, ...]
    days: tuple[date, ...]
    gone_before: date | None

    @property
    def unpriced(self) -> int:
        """Runs whose reports name no cost."""
        return sum(run.cost_usd is None for run in self.runs)


@click.command()
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), metavar="YYYY-MM", help="The month (UTC); without it this one."
)
@click.option("--by", type=click.Choice(["day", "session"]), default="day", show_default=True, help="What to sum up.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the days into this file (.png or .svg)."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def costs(*, month: datetime | None, by: Literal["day", "session"], plot: Path | None, as_json: bool) -> None:
    """Sum up what the runs of a month have cost, from their reports.

    A run counts for the day on which it began, once it has ended: what runs now is not in it. Sessions share a run's
    cost by the audio transcribed for each. The bucket keeps reports for 30 days; to keep a month's costs, store the
    output of --json before they are gone.

    Exit codes: 0 done, 1 a report could not be read or AWS refused a call, 2 wrong use or a wrong setting.
    """
    if plot:
        _check_format(plot)
    today = SystemClock().now().astimezone(UTC).date()
    first = month.date() if month else today.replace(day=1)
    found = read_month(ReportStore(clients.s3_client(), load_settings().bucket), first, today)
    if plot:
        from producer.operator.costs.plot import draw_days  # noqa: PLC0415 - matplotlib is optional, and slow to import

        draw_days(first, by_day(found.runs), plot)
    if as_json:
        click.echo(json.dumps(document(found, by), indent=2))
    else:
        _print(found, by)
        if plot:
            click.echo(f"drawn: {plot}")
    if found.unreadable:
        sys.exit(1)


def read_month(store: ReportStore, first: date, today: date) -> Month:
    """The month that begins with `first`. Raises what boto3 raises for the list of reports."""
    names = store.names(f"batch-{first:%Y-%m}-")
    runs: list[RunCost] = []
    unreadable: list[str] = []
    for report in store.read_all(names):
        if report.reading is None:
            unreadable.append(report.name.stem)
        elif run := run_cost(report.name, report.reading.facts):
            runs.append(run)
    days = tuple(sorted({name.began.date() for name in names}))
    return Month(first, tuple(runs), tuple(unreadable), days, _gone_before(first, days, today))


def _gone_before(first: date, days: Sequence[date], today: date) -> date | None:
    """Before which day the bucket's rule has deleted reports; `None` where none of the month can be missing."""
    kept_since = today - timedelta(days=KEPT_DAYS)
    # A bucket that was there before the fleet has rules of its own. S3 can be a day or two late with its own.
    keeps_longer = bool(days) and days[0] < kept_since - timedelta(days=2)
    return None if keeps_longer or first >= kept_since else kept_since


def document(month: Month, by: Literal["day", "session"]) -> dict[str, object]:
    """The month as JSON-able values; USD and seconds."""
    sessions, nobodys = by_session(month.runs)
    lines: list[dict[str, object]]
    if by == "day":
        lines = [{"day": day.isoformat(), **_sum(line)} for day, line in by_day(month.runs).items()]
    else:
        lines = [{"userId": user, "sessionId": name, **_sum(line)} for (user, name), line in sessions.items()]
    return {
        "month": f"{month.first:%Y-%m}",
        "by": by,
        "sharedBy": "audioSeconds" if by == "session" else None,
        "total": _sum(total(month.runs)),
        "lines": lines,
        "withoutSession": _sum(nobodys) if by == "session" else None,
        "firstReport": month.days[0].isoformat() if month.days else None,
        "lastReport": month.days[-1].isoformat() if month.days else None,
        "deletedBefore": month.gone_before.isoformat() if month.gone_before else None,
        "runsWithoutCost": month.unpriced,
        "unreadableReports": list(month.unreadable),
    }


def _sum(line: Sum) -> dict[str, object]:
    hourly = line.usd_per_audio_hour
    return {
        "runs": line.runs,
        "costUSD": round(line.cost_usd, 6),
        "gpuSeconds": round(line.gpu_seconds, 1),
        "audioSeconds": round(line.audio_seconds, 1),
        "usdPerAudioHour": None if hourly is None else round(hourly, 6),
    }


def _check_format(plot: Path) -> None:
    if plot.suffix not in {".png", ".svg"}:
        raise click.BadParameter(f"{plot.name!r} is no .png and no .svg", param_hint="--plot")


def _print(month: Month, by: Literal["day", "session"]) -> None:
    console = Console()
    if month.runs:
        console.print(_days_table(month) if by == "day" else _sessions_table(month))
    for line, style in _notes(month):
        console.print(Text(line), style=style, soft_wrap=True)


def _days_table(month: Month) -> Table:
    table = _table("day")
    lines = by_day(month.runs)
    most = max(line.cost_usd for line in lines.values())
    table.add_column("", no_wrap=True)
    for day, line in lines.items():
        table.add_row(day.isoformat(), *_row(line), _bar(line.cost_usd, most))
    _add_total(table, month)
    return table


def _sessions_table(month: Month) -> Table:
    table = _table("session")
    sessions, nobodys = by_session(month.runs)
    for (user, name), line in list(sessions.items())[:_MAX_SESSIONS]:
        table.add_row(Text(f"{user}/{name}"), *_row(line))
    if len(sessions) > _MAX_SESSIONS:
        rest = sum(list(sessions.values())[_MAX_SESSIONS:], Sum())
        table.add_row(f"{len(sessions) - _MAX_SESSIONS:,} more (--json has all)", *_row(rest))
    if nobodys.runs:
        table.add_row("runs without a transcript", *_row(nobodys))
    _add_total(table, month)
    table.caption = "sessions share a run's cost by the audio transcribed for each"
    return table


def _table(what: str) -> Table:
    table = Table()
    table.add_column(what, overflow="fold")
    for column in ("runs", "USD", "GPU time", "audio", "USD per hour of audio"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _add_total(table: Table, month: Month) -> None:
    table.add_section()
    table.add_row("together", *_row(total(month.runs)), style="bold")


def _row(line: Sum) -> tuple[str, ...]:
    audio = seconds(line.audio_seconds)
    return number(line.runs), usd(line.cost_usd), seconds(line.gpu_seconds), audio, usd(line.usd_per_audio_hour)


def _bar(cost: float, most: float) -> str:
    return "█" * (max(1, round(20 * cost / most)) if cost else 0)


def _notes(month: Month) -> list[tuple[str, str]]:
    notes = []
    span = f"from {month.days[0]} to {month.days[-1]}" if month.days else "none"
    notes.append((f"reports of {month.first:%Y-%m}: {span}", "dim"))
    if month.gone_before:
        lost = f"the bucket keeps reports for {KEPT_DAYS} days: those from before {month.gone_before} are gone"
        notes.append((f"{lost}, and their cost is not in this", "yellow"))
    if month.unpriced:
        notes.append((f"{month.unpriced} runs name no cost, and count without it", "yellow"))
    if month.unreadable:
        some = ", ".join(month.unreadable[:3]) + (", …" if len(month.unreadable) > 3 else "")
        notes.append((f"{len(month.unreadable)} reports could not be read: {some}", "red"))
    return notes
