"""`scribefleet rerun`: asks for a session's chunks again, and says what came of it."""

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from producer.operator.console import begin, chunk_numbers, counting, say, say_json
from producer.operator.rerun.enqueue import How, Queued, Rerunner, RerunProgress
from producer.operator.rerun.output import Found, document, ending, intention, outcome, result
from producer.operator.rerun.progress import RerunStatus, RerunWatch
from producer.operator.rerun.selection import ChunkRequest, choose
from producer.operator.sessions.find import find_session
from producer.operator.sessions.history import remove, settled
from shared.aws import clients
from shared.clock import SystemClock
from shared.errors import LedgerError
from shared.session.folder import list_folder
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_EXIT_INTERRUPTED = 130


@click.command()
@click.argument("session")
@click.option("--chunks", metavar="1,7-9", callback=chunk_numbers, help="These chunks, by number.")
@click.option("--all", "everything", is_flag=True, help="Every chunk.")
@click.option("--failed", is_flag=True, help="The chunks whose job failed.")
@click.option("--force", is_flag=True, help="Replace transcripts that exist; with --chunks, --all or --failed.")
@click.option("--model", metavar="NAME", help="The speech model for these jobs.  [default: the fleet's]")
@click.option("--language", metavar="CODE", help="The language for these jobs (ISO 639).  [default: the fleet's]")
@click.option("--priority/--no-priority", default=True, show_default=True, help="Overtake what scans have queued.")
@click.option("--wait", is_flag=True, help="Stay until every chunk is done or has failed.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="How long to wait.  [default: for ever]")
@click.option("--dry-run", is_flag=True, help="Only say what would be queued and replaced.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def rerun(*, session: str, wait: bool, timeout: int | None, dry_run: bool, as_json: bool, **asked: Any) -> None:
    """Transcribe chunks of SESSION again: by default those that have no transcript.

    SESSION is an id, USER/SESSION, or the path of its folder. Chunks that have a transcript are left alone unless
    --force is given. The transcripts that will be replaced stay where they are until the new ones take their place,
    and copies of them lie in the session's folder history/ until then.

    Asking again frees cancelled chunks. Ctrl-C while it waits leaves the jobs on the queue.

    Exit codes: 0 done, 1 a chunk could not be queued, failed, was cancelled or took too long, 2 wrong use or no such
    session, 130 interrupted.
    """
    wanted, how = _wanted(**asked)
    if timeout and not wait:
        raise click.UsageError("--timeout goes with --wait")
    settings, s3, clock = begin(), clients.s3_client(), SystemClock()
    ledger = Ledger(clients.dynamodb_client(), settings, clock)
    found = _find(s3, ledger, settings, session, wanted)
    if not as_json:
        say(*intention(found, how, dry_run=dry_run))
    queued, ended = None, None
    if found.choice.run and not dry_run:
        remove(s3, settings.bucket, settled(found.folder))
        queued = _queue(Rerunner(s3, clients.sqs_client(), ledger, settings, clock), found, how)
        if not as_json:
            say(*outcome(queued, wait=wait))
        if wait and queued.jobs:
            ended = _wait(RerunWatch(s3, ledger, clock, settings.bucket, queued.jobs, found.folder), timeout)
    if as_json:
        say_json({**document(found, how, dry_run=dry_run), **(result(queued, ended) if queued else {})})
    elif ended:
        say(*ending(ended))
    sys.exit(0 if _complete(found, queued, ended) else 1)


def _wanted(
    *, chunks: tuple[int, ...] | None, everything: bool, failed: bool, force: bool, **how: Any
) -> tuple[ChunkRequest, How]:
    if (chunks is not None) + everything + failed > 1:
        raise click.UsageError("--chunks, --all and --failed exclude each other")
    if force and not (chunks or everything or failed):
        raise click.UsageError("--force replaces transcripts: say which, with --chunks, --all or --failed")
    if how["language"] and not re.fullmatch("[a-z]{2,3}", how["language"]):
        raise click.UsageError("--language takes a code of ISO 639, such as en")
    return ChunkRequest(chunks, everything, failed, force), How(force=force, **how)


def _complete(found: Found, queued: Queued | None, ended: RerunStatus | None) -> bool:
    """Whether everything that was asked for was done, as far as it was waited for."""
    if found.choice.without_audio or (queued and queued.refused):
        return False
    return not (queued and ended) or len(ended.done) == len(queued.jobs)


def _find(s3: "S3Client", ledger: Ledger, settings: Settings, text: str, wanted: ChunkRequest) -> Found:
    with counting("looking for the session: users") as searched:
        session = find_session(s3, settings.bucket, text, searched)
    folder = list_folder(s3, settings.bucket, session.path)
    try:
        rows = ledger.session_jobs(session.path)
    except LedgerError as error:
        if wanted.failed:
            raise
        say(f"warning: {error}", err=True)
        rows = None
    failed = {chunk for chunk, row in (rows or {}).items() if row.get("status") == "failed"}
    return Found(session, folder, rows, choose(folder, wanted, failed))


def _queue(rerunner: Rerunner, found: Found, how: How) -> Queued:
    chunks = found.choice.run
    replaced = sum(chunk in found.folder.transcripts for chunk in chunks)
    with counting("keeping and queueing", len(chunks) + replaced) as show:
        done = 0

        def on_progress(count: int) -> None:
            nonlocal done
            done += count
            show(done)

        return rerunner.queue(found.folder, chunks, how, found.rows, RerunProgress(on_progress, on_progress))


def _wait(watch: RerunWatch, timeout: int | None) -> RerunStatus:
    try:
        with counting("transcribing", len(watch.jobs)) as show:
            ended = watch.until_over(timeout, lambda seen: show(seen.ended))
    except KeyboardInterrupt:
        say("interrupted: the jobs stay on the queue (scribefleet cancel takes them off)", err=True)
        sys.exit(_EXIT_INTERRUPTED)
    remove(watch.s3, watch.bucket, settled(list_folder(watch.s3, watch.bucket, watch.jobs[0].session_path)))
    return ended
