"""The ledger: job states and worker heartbeats in one DynamoDB table.

It tells people and the scanner what is going on; correctness never rests on it. So everything about jobs logs a
warning and goes on when the table is away. Reading raises instead: a decision must know what it could not see.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import structlog
from pydantic import ValidationError

from shared.aws.circuit_breaker import CircuitBreaker
from shared.clock import Clock, iso
from shared.errors import AWS_ERRORS, LedgerError, cause_of, is_own_write
from shared.formats.heartbeat import Heartbeat, Heartbeats
from shared.formats.layout import is_chunk
from shared.formats.messages import ChunkJob
from shared.settings import Settings
from shared.state.ledger_table import LedgerTable, refused_item, serialized

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = structlog.get_logger()

# A scanner that dies between claiming a gap and sending its message blocks the gap for this long at most.
CLAIM_LASTS = timedelta(minutes=15)
# Until someone asks for the chunk again or its audio is replaced: no one comes back to a cancelled job after years.
_CANCELLED_FOR = timedelta(days=3650)
# A table that swallows calls would cost each job seconds, twice, in threads that fetch audio and publish transcripts.
_REST_SECONDS = 15
_HEARTBEAT = "heartbeat"
_WORKER = "worker#"
_CANCELLED_AT = "cancelledAt"
_GIVEN_UP = {"failed", "cancelled"}


class Claim(Enum):
    """What came of a scan's claim on a gap; true when the gap is the scan's to queue."""

    MINE = "mine"
    TAKEN = "taken"
    """A job for it is queued or in work."""
    GIVEN_UP = "given up"
    """Its job failed for good or was cancelled: nobody is going to fill it for now."""
    UNKNOWN = "unknown"
    """The table is away: a job for it may be queued or not."""

    def __bool__(self) -> bool:
        return self is Claim.MINE


class Ledger:
    """Job states and heartbeats.

    Args:
        settings: gives the table and how long queued and failed jobs keep a gap from being queued again.
    """

    def __init__(self, dynamodb: "DynamoDBClient", settings: Settings, clock: Clock) -> None:
        self._table = LedgerTable(dynamodb, settings.table_name, clock)
        self._queued_for = timedelta(seconds=settings.queue_retention_seconds)
        self._failed_for = timedelta(seconds=settings.failed_retention_seconds)
        self._clock = clock
        self._rest = CircuitBreaker(_REST_SECONDS, clock)

    # --- the scanner's side

    def claim(self, job: ChunkJob) -> Claim:
        """Reserve a gap for one scan, so that of two scans at once only one queues it.

        A chunk whose audio has another size than at its last job may be queued again, even when that one was given up:
        someone has repaired it.
        """
        now = self._clock.now()
        claim = {"status": "queued", "audioSize": job.audio_size, "requeueAfter": _epoch(now + CLAIM_LASTS)}
        try:
            self._update(
                job.session_path,
                job.chunk,
                claim,
                condition="attribute_not_exists(requeueAfter) OR requeueAfter <= :now OR audioSize <> :audioSize",
                extra={":now": _epoch(now)},
                remove=_CANCELLED_AT,
            )
        except AWS_ERRORS as error:
            item = refused_item(error)
            if item is not None:
                # By the second another scan's claim could be the same; the gap is queued twice then, which is harmless.
                if is_own_write(error, serialized(claim)):
                    return Claim.MINE
                return Claim.GIVEN_UP if item.get("status") in _GIVEN_UP else Claim.TAKEN
            self._unavailable(error)
            return Claim.UNKNOWN
        return Claim.MINE

    def queued(self, job: ChunkJob) -> None:
        """The job's message is on the queue: the gap is not queued again until that message could have expired.

        A worker may have been faster: what it says of the job stays.
        """
        self._note(
            job,
            {"status": "queued", "enqueuedAt": iso(job.enqueued_at), "error": None},
            keep_for=self._queued_for,
            condition="attribute_not_exists(#status) OR #status = :status",
        )

    def unclaim(self, job: ChunkJob) -> None:
        """The job's message could not be sent: the next scan may try again at once."""
        self._note(job, {}, keep_for=timedelta(0))

    # --- the operator's side

    def requeue(self, job: ChunkJob) -> bool:
        """Someone asks for the job again, whatever became of an earlier one; call it before its message is sent.

        In this order, since a worker would drop the message of a chunk that still counts as cancelled.

        Returns:
            False when the table is away: if the chunk was cancelled, it still is.
        """
        until = _epoch(self._clock.now() + CLAIM_LASTS)
        fields = {"status": "queued", "error": None, "audioSize": job.audio_size, "requeueAfter": until}
        try:
            self._table.update(job.session_path, job.chunk, fields, remove=_CANCELLED_AT)
        except AWS_ERRORS as error:
            self._unavailable(error)
            return False
        return True

    def cancel(self, session_path: str, chunk: str, audio_size: int) -> bool:
        """Have workers drop the chunk's jobs, and scans leave it alone, until it is asked for again or replaced.

        Args:
            audio_size: in bytes; audio of another size may be queued by a scan.

        Returns:
            False when a worker has the job already: it is dropped only if it goes back to the queue.

        Raises:
            LedgerError: the table is away, and nothing is cancelled.
        """
        now = self._clock.now()
        until = _epoch(now + _CANCELLED_FOR)
        fields = {_CANCELLED_AT: iso(now), "audioSize": audio_size, "requeueAfter": until, "ttl": until}
        try:
            try:
                self._table.update(
                    session_path,
                    chunk,
                    {"status": "cancelled", **fields},
                    condition="attribute_not_exists(#status) OR #status <> :processing",
                    extra={":processing": "processing"},
                )
            except AWS_ERRORS as error:
                if refused_item(error) is None:
                    raise
                self._table.update(session_path, chunk, fields)
                return False
        except AWS_ERRORS as error:
            raise LedgerError(f"the ledger could not be written, so nothing is cancelled: {error}") from error
        return True

    # --- the worker's side

    def processing(self, job: ChunkJob, worker_id: str, attempts: int) -> bool:
        """A worker begins the job; `attempts` counts this receive.

        Returns:
            False when the job was cancelled. The same write asks and begins, so no cancellation falls in between.
        """
        now = iso(self._clock.now())
        fields = {"status": "processing", "workerId": worker_id, "attempts": attempts, "startedAt": now}
        return self._note(job, fields, condition=f"attribute_not_exists({_CANCELLED_AT})")

    def dropped(self, job: ChunkJob) -> None:
        """A worker has dropped the job because it was cancelled."""
        self._note(job, {"status": "cancelled"})

    def handed_back(self, job: ChunkJob, why: str) -> None:
        """The job is on the queue again, for a reason that is no fault of the worker's or will be retried."""
        self._note(job, {"status": "queued", "error": why})

    def finished(
        self, job: ChunkJob, status: Literal["completed", "failed", "skipped"], error: str | None = None
    ) -> None:
        """The job is over. A failed one is left alone by scans for `failed_retention_seconds`."""
        keep_for = self._failed_for if status == "failed" else timedelta(0)
        fields = {"status": status, "error": error, "completedAt": iso(self._clock.now())}
        self._note(job, fields, keep_for=keep_for)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write a worker's heartbeat."""
        fields = heartbeat.model_dump(by_alias=True, mode="json", exclude={"rtfx"})
        if heartbeat.rtfx is not None:
            fields["rtfx"] = f"{heartbeat.rtfx:.2f}"
        fields["ttl"] = _epoch(self._clock.now() + timedelta(days=7))
        try:
            self._update(_worker_key(heartbeat.instance_id), _HEARTBEAT, fields)
        except AWS_ERRORS as error:
            self._unavailable(error)

    # --- readers

    def heartbeats(self, instance_ids: Iterable[str]) -> Heartbeats:
        """The last heartbeat of each instance that ever had one. One that is not valid spoils no other.

        Raises:
            LedgerError: the table could not be read in full.
        """
        valid: dict[str, Heartbeat] = {}
        invalid: set[str] = set()
        for item in self._table.get_all([(_worker_key(instance), _HEARTBEAT) for instance in instance_ids]):
            instance_id = str(item["sessionPath"]).removeprefix(_WORKER)
            try:
                valid[instance_id] = Heartbeat.model_validate(item)
            except ValidationError as error:
                log.warning("heartbeat_invalid", instance=instance_id, errors=error.error_count())
                invalid.add(instance_id)
        return Heartbeats(valid, frozenset(invalid))

    def session_jobs(self, session_path: str) -> dict[str, Mapping[str, Any]]:
        """What the ledger says of a session's chunks: chunk -> item. Rows of anything else are left out.

        Raises:
            LedgerError: the table could not be read.
        """
        return {item["chunk"]: item for item in self._table.partition(session_path) if is_chunk(item["chunk"])}

    # --- the table

    def _note(
        self,
        job: ChunkJob,
        fields: dict[str, Any],
        keep_for: timedelta | None = None,
        condition: str | None = None,
    ) -> bool:
        """Write `fields` of a job; returns False only when `condition` forbids it."""
        # The size goes with every state: `claim` takes an item without one for audio that has changed, and a job that
        # was never claimed (a re-run, a claim while the table was away) would be queued again at each scan.
        fields = {**fields, "audioSize": job.audio_size}
        if keep_for is not None:
            until = self._clock.now() + keep_for
            fields = {**fields, "requeueAfter": _epoch(until), "ttl": _epoch(until + timedelta(days=30))}
        try:
            self._update(job.session_path, job.chunk, fields, condition)
        except AWS_ERRORS as error:
            if refused_item(error) is not None:
                return False
            self._unavailable(error)
        return True

    def _update(self, *arguments: Any, **options: Any) -> None:
        """`LedgerTable.update`, for what work can do without: not while the table rests."""
        with self._rest.watching():
            self._table.update(*arguments, **options)

    def _unavailable(self, error: Exception) -> None:
        log.warning("ledger_unavailable", table=self._table.name, error=cause_of(error))


def _worker_key(instance_id: str) -> str:
    return f"{_WORKER}{instance_id}"


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
