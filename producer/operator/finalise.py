"""`scribefleet finalise`: makes the transcripts of whole sessions anew, on demand."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.operator.sessions.find import find_session
from shared.aws import clients
from shared.clock import Clock, SystemClock, human_duration
from shared.errors import AWS_ERRORS, TransientError, error_code
from shared.formats.layout import USERS_PREFIX
from shared.logs import configure_logging
from shared.session.finalise import Finalised, SessionFinaliser
from shared.session.folder import SessionFolder, folders, list_folder, list_objects
from shared.settings import Settings, load_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class FinaliseResult:
    """What became of one session, or would; `action` is `failed` when AWS did not let it be done."""

    folder: SessionFolder
    action: str
    why: str = ""
    done: Finalised | None = None

    def as_json(self) -> dict[str, Any]:
        made = self.done.transcript if self.done else None
        return {
            "sessionPath": self.folder.session_path,
            "action": self.action,
            "why": self.why or None,
            "status": made.status if made else None,
            "durationSeconds": made.duration if made else None,
            "wordCount": made.word_count if made else None,
            "chunkCount": len(self.folder.chunks),
            "missingChunks": self.folder.gaps,
            "invalidChunks": list(made.invalid_chunks) if made else None,
        }


@click.command()
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option("--all-complete", is_flag=True, help="Every session that has no gap and whose transcript is out of date.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def finalise(*, sessions: Sequence[str], all_complete: bool, dry_run: bool, as_json: bool) -> None:
    """Make the transcripts of whole sessions anew from their chunks' transcripts.

    SESSION is a session's id, USER/SESSION, or its path. Workers do this by themselves when a session's last gap is
    filled, and scans for whatever workers left; a session named here gets its transcript also with gaps, as a partial
    one. --all-complete lists the whole bucket, looks into every session without a gap, and leaves those alone that may
    still be going on.

    Exit codes: 0 done, 1 a session could not be finalised, 2 wrong use, an unknown session or a wrong setting.
    """
    if bool(sessions) == all_complete:
        raise click.UsageError("name sessions, or give --all-complete")
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    s3, clock = clients.s3_client(), SystemClock()
    work = _Work(s3, settings, clock, dry_run=dry_run)
    outcomes = list(work.all_complete() if all_complete else work.named(sessions))
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, "sessions": [each.as_json() for each in outcomes]}, indent=2))
    else:
        _print(outcomes, dry_run=dry_run)
    if any(each.action == "failed" for each in outcomes):
        sys.exit(1)


class _Work:
    def __init__(self, s3: "S3Client", settings: Settings, clock: Clock, *, dry_run: bool) -> None:
        self._s3 = s3
        self._bucket = settings.bucket
        self._now, self._quiet_for = clock.now(), timedelta(seconds=settings.scan_min_age_seconds)
        self._finaliser = SessionFinaliser.from_settings(s3, settings, clock)
        self._dry_run = dry_run

    def named(self, names: Sequence[str]) -> Iterator[FinaliseResult]:
        """The sessions that a person names, all of them found before the first is changed."""
        found = [find_session(self._s3, self._bucket, name) for name in names]
        for session in found:
            yield self._one(list_folder(self._s3, self._bucket, session.path))

    def all_complete(self) -> Iterator[FinaliseResult]:
        """The sessions of the bucket without a gap that need it."""
        for folder in folders(list_objects(self._s3, self._bucket, USERS_PREFIX)):
            if folder.transcripts and not folder.gaps and folder.is_over(self._now, self._quiet_for):
                outcome = self._one(folder)
                if outcome.action != "unchanged":
                    yield outcome

    def _one(self, folder: SessionFolder) -> FinaliseResult:
        try:
            if self._dry_run:
                return self._preview(folder)
            done = self._finaliser.finalise(folder.session_path)
        except (TransientError, *AWS_ERRORS) as error:
            return FinaliseResult(folder, "failed", error_code(error) or str(error))
        return FinaliseResult(done.folder, done.action, done.why, done)

    def _preview(self, folder: SessionFolder) -> FinaliseResult:
        if not folder.chunks:
            return FinaliseResult(folder, "empty", "there is neither audio nor a transcript")
        return FinaliseResult(folder, "unchanged" if self._finaliser.is_up_to_date(folder) else "would be written")


def _print(outcomes: Sequence[FinaliseResult], *, dry_run: bool) -> None:
    console = Console()
    if not outcomes:
        console.print("every session without a gap has its transcript")
        return
    table = Table()
    for column in ("session", "outcome", "status"):
        table.add_column(column, overflow="fold")
    for column in ("chunks", "missing", "length", "words"):
        table.add_column(column, justify="right")
    for each in outcomes:
        table.add_row(*_row(each))
    console.print(table)
    if dry_run:
        console.print("nothing written: this was a look only")


def _row(outcome: FinaliseResult) -> list[str | Text]:
    folder, made = outcome.folder, outcome.done.transcript if outcome.done else None
    return [
        Text(f"{folder.user_id}/{folder.session_id}"),  # Text: ids may hold what rich would take for markup
        f"{outcome.action}: {outcome.why}" if outcome.why else outcome.action,
        made.status if made else "",
        f"{len(folder.chunks):,}",
        f"{len(folder.gaps):,}",
        human_duration(made.duration) if made else "",
        f"{made.word_count:,}" if made else "",
    ]
