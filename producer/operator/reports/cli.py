"""`scribefleet reports`: options, choices and output."""

import difflib
import json
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import click
from rich.console import Console

from producer.operator.reports.store import ReadReport, ReportName, ReportStore, chosen
from producer.operator.reports.view import STYLES, report_screen, reports_table
from shared.aws import clients
from shared.clock import iso
from shared.settings import load_settings

_DAY = click.DateTime(["%Y-%m-%d"])
_name_argument = click.argument("name", default="latest", metavar="[REPORT]")


@click.group()
def reports() -> None:
    """See the reports of runs and of skipped scans.

    REPORT is a report's name, a part of it that no other has, or `latest`. The bucket keeps reports for 30 days.
    """


@reports.command("list")
@click.option("--day", type=_DAY, metavar="YYYY-MM-DD", help="Only runs that began on this day (UTC).")
@click.option("--status", "statuses", multiple=True, type=click.Choice(sorted(STYLES)), help="Only these; repeatable.")
@click.option("--runs", is_flag=True, help="Only runs, and no skipped scans.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most reports shown.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as one JSON array, each as it is stored.")
def list_reports(*, day: datetime | None, statuses: tuple[str, ...], runs: bool, limit: int, as_json: bool) -> None:
    """Show the reports, newest first.

    Exit codes: 0 done, 1 a report could not be read or AWS refused a call, 2 wrong use or a wrong setting.
    """
    store = _store()
    names = store.names(f"batch-{day:%Y-%m-%d}" if day else "")
    if runs:
        names = [name for name in names if name.names_an_instance]
    wanted = (report for report in store.read_all(names) if _has(report, statuses))
    found = list(islice(wanted, limit))
    if as_json:
        click.echo(json.dumps([_document(report) for report in found], indent=2))
    else:
        _print_list(found, len(names), filtered=bool(statuses))
    if any(report.problem for report in found):
        sys.exit(1)


@reports.command("show")
@_name_argument
@click.option("--json", "as_json", is_flag=True, help="Print the report's JSON as it is stored.")
def show_report(*, name: str, as_json: bool) -> None:
    """Show one report; without a name the newest.

    Exit codes: 0 done, 1 the report cannot be read or AWS refused a call, 2 there is none of that name.
    """
    store = _store()
    report = store.read(_one(store, name))
    if report.reading is None:
        raise click.ClickException(f"{report.name.stem} cannot be read: {report.problem}")
    if as_json:
        click.echo(json.dumps(report.reading.document, indent=2))
    else:
        Console().print(report_screen(report.name, report.reading))


@reports.command("open")
@_name_argument
@click.option("--no-browser", is_flag=True, help="Only download the page and print where it is.")
def open_report(*, name: str, no_browser: bool) -> None:
    """Download a report's page and open it in the browser; without a name the newest.

    Exit codes: 0 done, 1 the report has no page, no browser, or AWS refused a call; 2 there is none of that name.
    """
    store = _store()
    report = _one(store, name)
    page = store.page(report)
    if page is None:
        raise click.ClickException(
            f"{report.stem} has no page; `scribefleet reports show {report.stem}` shows its data"
        )
    # A folder of its own: nobody else can read it, and two downloads of one report do not meet.
    path = Path(tempfile.mkdtemp(prefix="scribefleet-")) / f"{report.stem}.html"
    path.write_bytes(page)
    click.echo(str(path))
    if not no_browser and not webbrowser.open(path.as_uri()):
        raise click.ClickException("no browser could be opened; the page is in the file above")


def _store() -> ReportStore:
    return ReportStore(clients.s3_client(), load_settings().bucket)


def _one(store: ReportStore, wanted: str) -> ReportName:
    """The one report that `wanted` means."""
    names = store.names()
    found = chosen(names, wanted)
    if len(found) == 1:
        return found[0]
    if not names:
        raise click.UsageError("there are no reports")
    if found:
        some = "\n  ".join(name.stem for name in found[:5])
        raise click.UsageError(f"{wanted!r} can be {len(found)} reports, among them\n  {some}")
    near = difflib.get_close_matches(wanted, [name.stem for name in names], n=5, cutoff=0.3)
    hint = "\n  ".join(near or [name.stem for name in names[:5]])
    raise click.UsageError(f"no report is called {wanted!r}; the closest are\n  {hint}")


def _has(report: ReadReport, statuses: Sequence[str]) -> bool:
    return not statuses or (report.reading is not None and report.reading.facts.outcome in statuses)


def _document(report: ReadReport) -> dict[str, object]:
    head = {"name": report.name.stem, "began": iso(report.name.began), "problem": report.problem}
    return {**head, "report": report.reading.document if report.reading else None}


def _print_list(found: Sequence[ReadReport], total: int, *, filtered: bool) -> None:
    console = Console()
    if not found:
        console.print("no such reports" if filtered or total else "no reports")
        return
    console.print(reports_table(found))
    if not filtered and total > len(found):
        console.print(f"the newest {len(found)} of {total:,} reports (--limit shows more)")
