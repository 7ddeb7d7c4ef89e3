"""How reports look on a terminal. It reads nothing and decides nothing; what a report does not say is a dash."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from producer.operator.reports.model import ErrorFacts, Reading, ReportFacts
from producer.operator.reports.store import ReadReport, ReportName
from shared.clock import human_duration

STYLES = {"success": "green", "partial": "yellow", "failed": "bold red", "skipped": "dim", "interrupted": "yellow"}
_MOST = 20
_DASH = "-"


def reports_table(reports: Sequence[ReadReport]) -> Table:
    """One line for each report."""
    table = Table()
    table.add_column("report", no_wrap=True)
    table.add_column("status")
    for column in ("ran", "USD", "done", "failed", "audio"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for report in reports:
        table.add_row(report.name.stem, *_cells(report))
    return table


def _cells(report: ReadReport) -> list[RenderableType]:
    if report.reading is None:
        return [Text("unreadable", "bold red"), *[_DASH] * 5, Text(report.problem or "")]
    facts = report.reading.facts
    why = facts.reason or (", ".join(_reasons(facts)) if facts.errors else "")
    return [
        status_text(facts),
        seconds(facts.gpu.runtime_seconds or facts.execution.duration_seconds),
        usd(facts.gpu.cost_usd),
        number(facts.transcription.chunks_transcribed),
        number(facts.transcription.chunks_failed),
        seconds(facts.transcription.audio_seconds),
        Text(why),  # Text: session ids may hold what rich would take for markup
    ]


def status_text(facts: ReportFacts) -> Text:
    """The status in its colour."""
    return Text(facts.outcome, STYLES.get(facts.outcome, ""))


def report_screen(name: ReportName, reading: Reading) -> Group:
    """All that one report says."""
    facts = reading.facts
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _lines(name, facts):
        grid.add_row(label, value)
    parts: list[RenderableType] = [grid]
    if facts.sessions:
        parts.append(_sessions_table(facts))
    if facts.errors:
        parts.append(_errors_table(facts.errors))
    if reading.unknown:
        some = ", ".join(reading.unknown[:5]) + (", …" if len(reading.unknown) > 5 else "")
        note = f"This report is of another version or damaged; not as this version writes it: {some}."
        parts.append(Text(note, "yellow"))
    return Group(*parts)


def _lines(name: ReportName, facts: ReportFacts) -> Iterator[tuple[str, Text]]:
    yield "report", Text(name.stem, "bold")
    yield "status", status_text(facts)
    if facts.reason:
        yield "reason", Text(facts.reason)
    began, ended = facts.execution.start_time or name.began, facts.execution.end_time
    yield "time", Text(f"{clock_time(began)} to {clock_time(ended)} UTC, {seconds(facts.execution.duration_seconds)}")
    if facts.lock_status:
        yield "lock", Text(facts.lock_status)
    gpu, jobs, speed = facts.gpu, facts.transcription, facts.performance
    if gpu.instance_id or gpu.cost_usd or gpu.runtime_seconds:
        kind = f" ({gpu.instance_type})" if gpu.instance_type else ""
        ran = f"ran {seconds(gpu.runtime_seconds)}, {usd(gpu.cost_usd)} USD"
        yield "instance", Text(f"{gpu.instance_id or _DASH}{kind}, {ran}")
    yield (
        "jobs",
        Text(
            f"{number(jobs.chunks_transcribed)} transcribed, {number(jobs.chunks_failed)} failed, "
            f"{number(jobs.chunks_skipped)} skipped; {seconds(jobs.audio_seconds)} of audio"
        ),
    )
    if speed.rtfx is not None:
        busy = "" if speed.gpu_busy_fraction is None else f", at work {speed.gpu_busy_fraction:.0%} of the run"
        yield "speed", Text(f"{speed.rtfx:.1f} seconds of audio in a second{busy}")


def _sessions_table(facts: ReportFacts) -> Table:
    table = Table()
    table.add_column("session", overflow="fold")
    table.add_column("user", overflow="fold")
    table.add_column("status")
    table.add_column("chunks", justify="right")
    table.add_column("audio", justify="right")
    for session in facts.sessions[:_MOST]:
        table.add_row(
            Text(session.session_id),
            Text(session.user_id),
            Text(session.status or _DASH, STYLES.get(session.status or "", "")),
            number(session.chunks_processed),
            seconds(session.duration),
        )
    _more(table, len(facts.sessions))
    return table


def _errors_table(errors: Sequence[ErrorFacts]) -> Table:
    table = Table()
    for column in ("session", "chunk", "reason", "what happened"):
        table.add_column(column, overflow="fold")
    for error in errors[:_MOST]:
        said = (error.session_id, error.chunk, error.reason, error.detail)
        table.add_row(*(Text(value or _DASH) for value in said))
    _more(table, len(errors))
    return table


def _more(table: Table, count: int) -> None:
    if count > _MOST:
        table.caption = f"and {count - _MOST:,} more (--json has all)"


def _reasons(facts: ReportFacts) -> list[str]:
    return list(dict.fromkeys(error.reason or error.detail or "no reason given" for error in facts.errors))[:3]


def seconds(value: float | None) -> str:
    """A duration for people."""
    return _DASH if value is None else human_duration(value)


def usd(value: float | None) -> str:
    """An amount to the hundredth of a cent: single runs cost less than one."""
    return _DASH if value is None else f"{value:,.4f}"


def number(value: int | None) -> str:
    """A count for people."""
    return _DASH if value is None else f"{value:,}"


def clock_time(moment: datetime | None) -> str:
    """A moment to the minute, in UTC."""
    return _DASH if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
