"""The ledger: job states and worker heartbeats in one DynamoDB table.

It tells people and the scanner what is going on; correctness never rests on it. So everything about jobs logs a
warning and goes on when the table is away. Reading raises instead: a decision must know what it could not see.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import structlog
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from pydantic import AwareDatetime, ValidationError

from shared.clock import Clock, iso
from shared.errors import AWS_ERRORS, LedgerError, error_code, is_own_write
from shared.layout import is_chunk
from shared.messages import ChunkJob, WireModel
from shared.rest import Rest
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = structlog.get_logger()

WorkerState = Literal["starting", "idle", "busy", "locked", "draining"]

# A scanner that dies between claiming a gap and sending its message blocks the gap for this long at most.
CLAIM = timedelta(minutes=15)
# Until someone asks for the chunk again or its audio is replaced: no one comes back to a cancelled job after years.
_CANCELLED_FOR = timedelta(days=3650)
# A table that swallows calls would cost each job seconds, twice, in threads that fetch audio and publish transcripts.
_REST_SECONDS = 15
_BATCH_GET = 100  # most keys of one BatchGetItem
_HEARTBEAT = "heartbeat"
_WORKER = "worker#"
_CANCELLED_AT = "cancelledAt"
_REFUSED = "ConditionalCheckFailedException"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Heartbeat(WireModel):
    """What a worker last said of itself.

    Attributes:
        state: what it was doing; `draining` means that it will take no more jobs in this run.
        beat_at: when it said so.
        idle_since: when it last had work, or started; absent while it has some.
        jobs_done: jobs finished in this run, whatever their outcome.
        real_time_factor: seconds of audio transcribed in a second of work; absent before the first job.
        progress_at: when it last finished a job or, if later, last began to have work; absent without any.
    """

    instance_id: str
    state: WorkerState
    beat_at: AwareDatetime
    idle_since: AwareDatetime | None = None
    jobs_done: int = 0
    real_time_factor: float | None = None
    progress_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """What a look at the heartbeats found.

    Attributes:
        valid: instance id -> its last heartbeat.
        invalid: instances that have one which says nothing to this version: not the same as none.
    """

    valid: Mapping[str, Heartbeat]
    invalid: frozenset[str] = frozenset()


class Ledger:
    """Job states and heartbeats.

    Args:
        settings: gives the table and how long queued and failed jobs keep a gap from being queued again.
    """

    def __init__(self, dynamodb: "DynamoDBClient", settings: Settings, clock: Clock) -> None:
        self._dynamodb = dynamodb
        self._table = settings.table_name
        self._queued_for = timedelta(seconds=settings.queue_retention_seconds)
        self._failed_for = timedelta(seconds=settings.failed_retention_seconds)
        self._clock = clock
        self._rest = Rest(_REST_SECONDS, clock)

    # --- the scanner's side

    def claim(self, job: ChunkJob) -> bool:
        """Reserve a gap for one scan, so that of two scans at once only one queues it.

        Returns:
            False when its job is queued, in work or in the dead-letter queue already. A chunk whose audio has
            another size than at its last job may be queued again: someone has repaired it.
        """
        now = self._clock.now()
        claim = {"status": "queued", "audioSize": job.audio_size, "requeueAfter": _epoch(now + CLAIM)}
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
            if error_code(error) == _REFUSED:
                # By the second another scan's claim could be the same; the gap is queued twice then, which is harmless.
                return is_own_write(error, {name: _serialize(value) for name, value in claim.items()})
            self._unavailable(error)
        return True

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
        until = _epoch(self._clock.now() + CLAIM)
        fields = {"status": "queued", "error": None, "audioSize": job.audio_size, "requeueAfter": until}
        try:
            self._write(job.session_path, job.chunk, fields, remove=_CANCELLED_AT)
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
                self._write(
                    session_path,
                    chunk,
                    {"status": "cancelled", **fields},
                    condition="attribute_not_exists(#status) OR #status <> :processing",
                    extra={":processing": "processing"},
                )
            except AWS_ERRORS as error:
                if error_code(error) != _REFUSED:
                    raise
                self._write(session_path, chunk, fields)
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
        fields = heartbeat.model_dump(by_alias=True, mode="json", exclude={"real_time_factor"})
        if heartbeat.real_time_factor is not None:
            fields["realTimeFactor"] = f"{heartbeat.real_time_factor:.2f}"
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
        ids = list(dict.fromkeys(instance_ids))  # BatchGetItem refuses a key that comes twice
        for start in range(0, len(ids), _BATCH_GET):
            keys = [_key(_worker_key(instance), _HEARTBEAT) for instance in ids[start : start + _BATCH_GET]]
            for item in self._get_all(keys):
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
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="sessionPath = :path",
            ExpressionAttributeValues={":path": {"S": session_path}},
        )
        try:
            items = [_plain(item) for page in pages for item in page["Items"]]
        except AWS_ERRORS as error:
            raise LedgerError(f"the ledger could not be read: {error}") from error
        return {item["chunk"]: item for item in items if is_chunk(item["chunk"])}

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
            if error_code(error) == _REFUSED:
                return False
            self._unavailable(error)
        return True

    def _update(self, *arguments: Any, **options: Any) -> None:
        """`_write`, for what work can do without: not while the table rests."""
        with self._rest.watching():
            self._write(*arguments, **options)

    def _write(
        self,
        partition: str,
        sort: str,
        fields: Mapping[str, Any],
        condition: str | None = None,
        extra: Mapping[str, Any] | None = None,
        remove: str | None = None,
    ) -> None:
        """Set `fields` on one item, and take the field `remove` off it.

        Each name is written as `#name`, since `status`, `ttl` and `error` are reserved.
        """
        values = {f":{name}": _serialize(value) for name, value in fields.items()}
        values |= {name: _serialize(value) for name, value in (extra or {}).items()}
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": _key(partition, sort),
            "UpdateExpression": "SET "
            + ", ".join(f"#{name} = :{name}" for name in fields)
            + (f" REMOVE {remove}" if remove else ""),
            "ExpressionAttributeNames": {f"#{name}": name for name in fields},
            "ExpressionAttributeValues": values,
        }
        if condition:
            request["ConditionExpression"] = condition
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        self._dynamodb.update_item(**request)

    def _get_all(self, keys: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """BatchGetItem, going on with the keys that DynamoDB did not get to."""
        items: list[dict[str, Any]] = []
        wanted: Any = {self._table: {"Keys": keys}}
        for _ in range(10):
            try:
                answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            except AWS_ERRORS as error:
                raise LedgerError(f"the ledger could not be read: {error}") from error
            items += (_plain(item) for item in answer["Responses"].get(self._table, []))
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return items
            self._clock.sleep(0.1)
        raise LedgerError("the ledger is throttled: some heartbeats were not read")

    def _unavailable(self, error: Exception) -> None:
        log.warning("ledger_unavailable", table=self._table, error=error_code(error) or type(error).__name__)


def _worker_key(instance_id: str) -> str:
    return f"{_WORKER}{instance_id}"


def _key(partition: str, sort: str) -> dict[str, Any]:
    return {"sessionPath": {"S": partition}, "chunk": {"S": sort}}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
