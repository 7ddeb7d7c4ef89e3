"""Tells how far a re-run is: by its transcripts in S3, which decide, and by the ledger for what went wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.clock import Clock
from shared.errors import LedgerError
from shared.formats.messages import ChunkJob
from shared.session.folder import SessionFolder, list_folder
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POLL_INTERVAL_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class RerunStatus:
    """What has become of the chunks of a re-run; each is in one of these.

    Attributes:
        done: the new transcript is in place.
        failed: chunk -> why its job went to the dead-letter queue.
        cancelled: someone has called the job off meanwhile.
        at_work: a worker has the job.
        waiting: the job is on the queue, as far as is known.
    """

    done: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    cancelled: frozenset[str] = frozenset()
    at_work: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()

    @property
    def over(self) -> bool:
        return not self.at_work and not self.waiting

    @property
    def ended(self) -> int:
        return len(self.done) + len(self.failed) + len(self.cancelled)


def standing(
    chunks: Sequence[str], before: SessionFolder, now: SessionFolder, rows: Mapping[str, Mapping[str, Any]]
) -> RerunStatus:
    """Compare a session's folder with how it was before its `chunks` were queued."""
    done, cancelled, at_work, waiting = set(), set(), set(), set()
    failed: dict[str, str] = {}
    for chunk in chunks:
        row = rows.get(chunk, {})
        if chunk in now.transcripts and now.transcripts[chunk] != before.transcripts.get(chunk):
            done.add(chunk)
        elif row.get("status") == "failed":
            failed[chunk] = str(row.get("error") or "no reason given")
        elif row.get("status") == "processing":
            at_work.add(chunk)
        elif "cancelledAt" in row:
            cancelled.add(chunk)
        else:
            waiting.add(chunk)
    return RerunStatus(frozenset(done), failed, frozenset(cancelled), frozenset(at_work), frozenset(waiting))


@dataclass(slots=True)
class RerunWatch:
    """Follows the jobs of one re-run.

    Attributes:
        before: the session's folder as it was before they were queued.
    """

    s3: "S3Client"
    ledger: Ledger
    clock: Clock
    bucket: str
    jobs: Sequence[ChunkJob]
    before: SessionFolder

    def until_over(self, timeout_seconds: float | None, on_look: Callable[[RerunStatus], None]) -> RerunStatus:
        """Look until every chunk has come to an end or the time is over. Raises what boto3 raises."""
        began = self.clock.monotonic()
        while True:
            seen = self.look()
            on_look(seen)
            late = timeout_seconds is not None and self.clock.monotonic() - began >= timeout_seconds
            if seen.over or late:
                return seen
            self.clock.sleep(POLL_INTERVAL_SECONDS)

    def look(self) -> RerunStatus:
        """How the jobs stand now."""
        path = self.jobs[0].session_path
        try:
            rows = self.ledger.session_jobs(path)
        except LedgerError:
            rows = {}  # transcripts are told by S3; failures will be, when the table is back
        now = list_folder(self.s3, self.bucket, path)
        return standing([job.chunk for job in self.jobs], self.before, now, rows)
