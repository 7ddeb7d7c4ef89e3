"""`scribefleet jobs`: what the ledger says of jobs. It only reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click
from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.operator.console import begin, counting, say, say_json
from producer.operator.sessions.find import FoundSession, SessionUnknownError, find_session, parse_session
from shared.aws import clients
from shared.clock import SystemClock
from shared.errors import AWS_ERRORS, LedgerError
from shared.formats.layout import USERS_PREFIX, chunk_order, is_chunk
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STATUSES: Final = ("queued", "processing", "completed", "failed", "skipped", "cancelled")
# What is printed of an item, by the names of the format.
# Characters of USER/SESSION that always have room.
_SESSION_WIDTH: Final = 40
_FIELDS: Final = ("status", "attempts", "enqueuedAt", "startedAt", "completedAt", "workerId", "error", "cancelledAt")

# Which moment says since when a job is in its state.
_MOMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "queued": ("enqueuedAt",),
    "processing": ("startedAt",),
    "cancelled": ("cancelledAt",),
    "completed": ("completedAt",),
    "failed": ("completedAt",),
    "skipped": ("completedAt",),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the ledger has it; `fields` are those of the format that it has, with the names of the format."""

    session_path: str
    chunk: str
    status: str
    fields: Mapping[str, Any]

    @property
    def session(self) -> str:
        try:
            named = parse_session(self.session_path)
        except SessionUnknownError:  # a row that no part of the fleet has written: shown as it is
            return self.session_path
        return named.name if isinstance(named, FoundSession) else named


def job_of(item: Mapping[str, Any]) -> Job:
    """The job of a ledger item. A cancelled one that went back to the queue meanwhile is as good as dropped."""
    status = str(item.get("status", "unknown"))
    if status == "queued" and "cancelledAt" in item:
        status = "cancelled"
    fields = {name: item[name] for name in _FIELDS if item.get(name) is not None}
    if isinstance(fields.get("attempts"), Decimal):
        fields["attempts"] = int(fields["attempts"])
    return Job(str(item["sessionPath"]), str(item["chunk"]), status, {**fields, "status": status})


def all_jobs(dynamodb: "DynamoDBClient", table: str) -> Iterator[Job]:
    """Every job in the ledger, in no order; it reads the whole table, a page at a time.

    Raises:
        LedgerError: the table could not be read.
    """
    deserialize = TypeDeserializer().deserialize
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="begins_with(sessionPath, :users)",  # the others are heartbeats and records
        ExpressionAttributeValues={":users": {"S": USERS_PREFIX}},
    )
    try:
        for page in pages:
            for item in page["Items"]:
                yield job_of({name: deserialize(value) for name, value in item.items()})
    except AWS_ERRORS as error:
        raise LedgerError(f"the ledger could not be read: {error}") from error


@click.command()
@click.argument("session", required=False)
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only these; can be repeated.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Most jobs shown without SESSION."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def jobs(*, session: str | None, statuses: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show the jobs of SESSION, or of all sessions, as the ledger has them.

    SESSION is an id, USER/SESSION, or the path of its folder. Without it the whole table is read, until enough jobs are
    found. The ledger forgets a job a month after it is over.

    Exit codes: 0 done, 1 the ledger could not be read, 2 wrong use or no such session.
    """
    settings = begin()
    dynamodb = clients.dynamodb_client()
    if session is None:
        with counting("reading the ledger: jobs") as show:
            found, more = _first(all_jobs(dynamodb, settings.table_name), statuses, limit, show)
    else:
        named = parse_session(session)
        if isinstance(named, str):
            with counting("looking for the session: users") as searched:
                named = find_session(clients.s3_client(), settings.bucket, named, searched)
        rows = Ledger(dynamodb, settings, SystemClock()).session_jobs(named.path).values()
        found, more = [job for job in map(job_of, rows) if not statuses or job.status in statuses], False
    found.sort(key=_order)
    if as_json:
        say_json({"jobs": [_document(job) for job in found], "counts": _counts(found), "more": more})
        return
    if found:
        Console().print(listing(found))
    counts = ", ".join(f"{count:,} {status}" for status, count in _counts(found).items())
    say(f"{len(found):,} jobs{': ' if counts else ''}{counts}" + ("; there are more (--limit)" if more else ""))


def _first(
    every: Iterator[Job], statuses: Sequence[str], limit: int, show: Callable[[int], None]
) -> tuple[list[Job], bool]:
    """The first `limit` jobs with one of `statuses` (any without), and whether there are more."""
    found: list[Job] = []
    for number, job in enumerate(every, 1):
        if number % 1000 == 0:
            show(number)
        if not statuses or job.status in statuses:
            if len(found) == limit:
                return found, True
            found.append(job)
    return found, False


def _order(job: Job) -> tuple[str, int, str]:
    """By session and chunk; a row whose key is no chunk's number comes before its session's chunks."""
    return (job.session_path, *(chunk_order(job.chunk) if is_chunk(job.chunk) else (-1, job.chunk)))


def _document(job: Job) -> dict[str, Any]:
    return {"sessionPath": job.session_path, "chunk": job.chunk, **job.fields}


def _counts(found: Sequence[Job]) -> dict[str, int]:
    return dict(Counter(job.status for job in found).most_common())


def listing(found: Sequence[Job]) -> Table:
    """Jobs as a terminal shows them."""
    table = Table()
    # Wide enough for usual names; the error, which may take several lines, gives way.
    widest = max((len(job.session) for job in found), default=0)
    table.add_column("session", overflow="fold", min_width=min(widest, _SESSION_WIDTH))
    table.add_column("chunk", justify="right")
    for column in ("status", "tries", "since", "worker"):
        table.add_column(column)
    table.add_column("error", overflow="fold")
    for job in found:
        since = next((job.fields[name] for name in _MOMENTS.get(job.status, ()) if name in job.fields), "-")
        cells = (
            job.session,
            job.chunk,
            job.status,
            job.fields.get("attempts", "-"),
            str(since)[:19].replace("T", " "),
            job.fields.get("workerId", "-"),
            job.fields.get("error", ""),
        )
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table
