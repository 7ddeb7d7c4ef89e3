"""The operator's commands of the producer's side."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from producer.scan.gaps import ScanTally
from producer.scan.scan import Scanner, ScanProgress, ScanResult
from producer.scan.summary import summary
from shared.clock import SystemClock
from shared.formats.pending_jobs import PendingJobs
from shared.logs import configure_logging
from shared.settings import Settings, load_settings

_MAX_SESSIONS = 20


@click.command()
@click.option("--enqueue", is_flag=True, help="Also put one job on the queue for each gap that is not queued yet.")
@click.option("--json", "as_json", is_flag=True, help="Print pending-jobs.json and the outcome as one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="List every key that does not fit the layout, on stderr.")
def scan(*, enqueue: bool, as_json: bool, verbose: bool) -> None:
    """Find the audio chunks that have no transcript.

    Lists the bucket once and writes batch-data/pending-jobs.json. Without --enqueue nothing else changes: it is the
    dry run of what the scanner does every two hours. With it, sessions that are over and lack only their own transcript
    get that, too.

    Exit codes: 0 done, 1 a job could not be queued or AWS refused a call, 2 wrong use or a wrong setting.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    with _progress(verbose=verbose) as progress:
        result = Scanner.from_settings(settings, SystemClock(), progress).scan(enqueue=enqueue)
    if as_json:
        sessions = result.pending.model_dump(by_alias=True, mode="json", include={"sessions"})
        click.echo(json.dumps({**summary(result), **sessions}, indent=2))
    else:
        _print_result(result, settings, enqueue=enqueue)
    if result.enqueued and result.enqueued.failed:
        sys.exit(1)


@contextmanager
def _progress(*, verbose: bool) -> Iterator[ScanProgress]:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # disable: without a terminal there is nobody to watch it, and its control codes would spoil a log file
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("listing")
        found = queued = 0  # gaps

        def on_listed(tally: ScanTally) -> None:
            nonlocal found
            found = tally.gaps
            bar.update(task, description=f"listing: {tally.keys:,} keys, {found:,} gaps")

        def on_queued(count: int) -> None:
            nonlocal queued
            queued += count
            bar.update(task, description=f"queueing: {queued:,} of {found:,} gaps")

        def on_finalised(done: int, of: int) -> None:
            bar.update(task, description=f"session transcripts: {done:,} of {of:,}")

        def on_ignored(key: str) -> None:
            click.echo(f"ignored: {key!r}", err=True)

        yield ScanProgress(on_listed, on_queued, on_finalised, on_ignored if verbose else None)


def _print_result(result: ScanResult, settings: Settings, *, enqueue: bool) -> None:
    console = Console()
    if result.pending.sessions:
        console.print(_sessions_table(result.pending))
    console.print(
        f"{result.tally.keys:,} keys, {result.pending.total_sessions:,} sessions, "
        f"{result.pending.total_missing_chunks:,} gaps in {result.pending.sessions_with_missing_chunks:,} of them; "
        f"about {result.pending.estimated_gpu_time} of GPU time, {result.pending.estimated_cost}"
    )
    if result.tally.ignored_keys:
        console.print(f"{result.tally.ignored_keys:,} keys do not fit the layout (--verbose lists them)")
    if result.tally.too_young:
        age = settings.scan_min_age_seconds
        console.print(f"{result.tally.too_young:,} chunks younger than {age} s are left to the live transcriber")
    if result.enqueued:
        outcome = result.enqueued
        console.print(f"queued {outcome.queued:,} jobs; {outcome.already_queued:,} had one already")
        if outcome.failed:
            console.print(f"{outcome.failed:,} could not be queued; the next scan tries again")
        if outcome.postponed:
            why = "the ledger is away, and the queue, which is not empty, may hold their jobs"
            console.print(f"{outcome.postponed:,} are left to a later scan: {why}")
    elif result.skipped:
        console.print(f"nothing queued: {result.skipped} (report {result.report_id})")
    elif result.pending.sessions and not enqueue:
        console.print("nothing queued: this was a look only (--enqueue queues them)")
    if result.unfinished:
        _print_unfinished(console, result)


def _print_unfinished(console: Console, result: ScanResult) -> None:
    outcome = result.finalised
    if outcome is None:
        console.print(f"{result.unfinished:,} sessions have all their chunks and no transcript of their own yet")
        return
    console.print(f"gave {outcome.written:,} of {result.unfinished:,} sessions their own transcript")
    if outcome.failed:
        console.print(f"{outcome.failed:,} could not be given one (the log says why); the next scan tries again")
    if outcome.looked_at < result.unfinished:
        console.print(f"{result.unfinished - outcome.looked_at:,} are left to the next scan")


def _sessions_table(pending: PendingJobs) -> Table:
    table = Table()
    for column in ("user", "session"):
        table.add_column(column, overflow="fold")
    for column in ("chunks", "gaps", "age"):
        table.add_column(column, justify="right")
    for session in pending.sessions[:_MAX_SESSIONS]:
        table.add_row(
            Text(session.user_id),  # Text: ids may hold what rich would take for markup
            Text(session.session_id),
            str(session.audio_chunks),
            str(len(session.missing_chunks)),
            f"{session.age_hours:.1f} h",
        )
    if len(pending.sessions) > _MAX_SESSIONS:
        table.caption = f"and {len(pending.sessions) - _MAX_SESSIONS:,} more (--json has all)"
    return table
