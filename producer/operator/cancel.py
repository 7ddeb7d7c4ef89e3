"""`scribefleet cancel`: calls off a session's jobs.

A mark in the ledger does it: workers look at it when they receive a job, before any work, and drop the message; scans
leave the chunk alone. A re-run takes the mark off, and so does audio of another size. No queue is searched: that
would hide other people's jobs for a while, and a message in flight cannot be found.
"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from producer.operator.console import begin, chunk_numbers, counting, say, say_json
from producer.operator.sessions.chunk_ranges import ranges
from producer.operator.sessions.find import FoundSession, find_session
from shared.aws import clients
from shared.clock import SystemClock
from shared.formats.layout import chunk_order
from shared.session.folder import SessionFolder, list_folder
from shared.state.ledger import Ledger

_LEDGER_THREADS = 16


@dataclass(frozen=True, slots=True)
class Candidates:
    """The chunks of a session by what can be called off, as spelled and in order.

    Attributes:
        cancel: gaps, whether queued or not, and other chunks with a job.
        failed: their jobs lie in the dead-letter queue; there is nothing to call off.
        without: asked for by number, but neither a gap nor a job.
    """

    cancel: tuple[str, ...]
    failed: tuple[str, ...] = ()
    without: tuple[int, ...] = ()


def candidates(
    folder: SessionFolder, rows: Mapping[str, Mapping[str, Any]], numbers: Sequence[int] | None
) -> Candidates:
    """What of a session can be cancelled. A gap that no scan has queued counts, too: none is to queue it then."""
    jobs = {chunk for chunk, row in rows.items() if row.get("status") in {"queued", "processing"}}
    open_ = sorted({*folder.gaps, *jobs}, key=chunk_order)
    if numbers is not None:
        wanted = set(numbers)
        open_ = [chunk for chunk in open_ if int(chunk) in wanted]
    failed = [chunk for chunk in open_ if rows.get(chunk, {}).get("status") == "failed"]
    return Candidates(
        cancel=tuple(chunk for chunk in open_ if chunk not in failed),
        failed=tuple(failed),
        without=tuple(sorted(set(numbers or ()) - {int(chunk) for chunk in open_})),
    )


@click.command()
@click.argument("session")
@click.option("--chunks", metavar="1,7-9", callback=chunk_numbers, help="Only these chunks, by number.")
@click.option("--dry-run", is_flag=True, help="Only say what would be cancelled.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def cancel(*, session: str, chunks: tuple[int, ...] | None, dry_run: bool, as_json: bool) -> None:
    """Call off the jobs of SESSION: workers drop them when they receive them, before any work.

    SESSION is an id, USER/SESSION, or the path of its folder. Work in hand is finished. Scans leave cancelled chunks
    alone until `scribefleet rerun` asks for them or their audio is replaced.

    Exit codes: 0 done, 1 the ledger or AWS refused, 2 wrong use or no such session.
    """
    settings, s3, clock = begin(), clients.s3_client(), SystemClock()
    ledger = Ledger(clients.dynamodb_client(), settings, clock)
    with counting("looking for the session: users") as searched:
        found = find_session(s3, settings.bucket, session, searched)
    folder = list_folder(s3, settings.bucket, found.path)
    rows = ledger.session_jobs(found.path)
    what = candidates(folder, rows, chunks)
    at_work = [] if dry_run else _cancel(ledger, found, folder, rows, what.cancel)
    dropped = [chunk for chunk in what.cancel if chunk not in at_work]
    if as_json:
        say_json(
            {
                "sessionId": found.session_id,
                "userId": found.user_id,
                "sessionPath": found.path,
                "cancelled": dropped,
                "inWork": at_work,
                "failedBefore": list(what.failed),
                "notQueued": list(what.without),
                "dryRun": dry_run,
            }
        )
    else:
        say(*_lines(found, what, dropped, at_work, dry_run=dry_run))
    sys.exit(0)


def _cancel(
    ledger: Ledger,
    session: FoundSession,
    folder: SessionFolder,
    rows: Mapping[str, Mapping[str, Any]],
    chunks: Sequence[str],
) -> list[str]:
    """Mark `chunks`; returns those that a worker has already."""

    def mark(chunk: str) -> bool:
        audio = folder.audio.get(chunk)
        size = audio.size if audio else int(rows.get(chunk, {}).get("audioSize", 0))
        return ledger.cancel(session.path, chunk, size)

    with ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger") as pool:
        marked = zip(chunks, pool.map(mark, chunks), strict=True)
        with counting("cancelling", len(chunks)) as show:
            at_work = []
            for number, (chunk, before_work) in enumerate(marked, 1):
                show(number)
                if not before_work:
                    at_work.append(chunk)
    return at_work


def _lines(
    session: FoundSession, what: Candidates, dropped: Sequence[str], at_work: Sequence[str], *, dry_run: bool
) -> list[str]:
    lines = [f"{session.name}: {'would cancel' if dry_run else 'cancelled'} {len(dropped):,} chunks"]
    if dropped:
        lines[0] += f": {_numbers(dropped)}"
    if at_work:
        lines.append(f"in work already, and finished unless they go back to the queue: {_numbers(at_work)}")
    if what.failed:
        lines.append(f"failed before, see scribefleet dlq list: {_numbers(what.failed)}")
    if what.without:
        lines.append(f"neither a gap nor a job: {ranges(what.without)}")
    return lines


def _numbers(chunks: Sequence[str]) -> str:
    return ranges(int(chunk) for chunk in chunks)
