"""Looks at everything that the status shows, all at the same time, and decides nothing.

Every part that cannot be read is `Unread` with the reason, and hides no other one. The number of calls does not grow
with the sessions, the jobs or the reports that there are.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import pydantic_core
from pydantic import ValidationError

from producer.operator.clients import events_client
from producer.operator.reports.store import ReportStore
from producer.operator.status.model import Failure, FleetInstance, LastScan, Overview, Reports, Schedule, Unread
from shared.aws import clients
from shared.aws.sqs import queue_depth
from shared.clock import Clock
from shared.errors import AWS_ERRORS, ScribefleetError, cause_of, error_code, is_missing
from shared.formats.layout import PENDING_JOBS_KEY
from shared.settings import Settings
from shared.state.fleet_view import read_fleet
from shared.state.last_tick import last_tick
from shared.state.ledger import Ledger
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

# pending-jobs.json names its sums before its sessions, of which there can be megabytes.
_HEAD_BYTES = 4096
# How far back the list of reports goes at first; a fleet that scans every two hours has some there.
_RECENT = timedelta(days=2)
_RUNS_WITH_FAILURES = 5
_MAX_FAILURES = 5


_Seen = TypeVar("_Seen")


class Reader:
    """Reads one fleet as `settings` name it."""

    def __init__(
        self,
        s3: "S3Client",
        sqs: "SQSClient",
        dynamodb: "DynamoDBClient",
        ec2: "EC2Client",
        events: "EventBridgeClient",
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._s3, self._sqs, self._dynamodb, self._ec2, self._events = s3, sqs, dynamodb, ec2, events
        self._settings = settings
        self._clock = clock
        stale_after = timedelta(minutes=settings.lock_stale_minutes)
        self._lock = SessionLock(s3, settings.bucket, clock, stale_after)
        self._ledger = Ledger(dynamodb, settings, clock)
        self._store = ReportStore(s3, settings.bucket)

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> "Reader":
        """A reader with clients as boto3 finds credentials and region."""
        aws = (
            clients.s3_client(),
            clients.sqs_client(),
            clients.dynamodb_client(),
            clients.ec2_client(),
            events_client(),
        )
        return cls(*aws, settings, clock)

    def read(self) -> Overview:
        """One look at everything; never raises for what AWS refuses."""
        settings = self._settings
        with ThreadPoolExecutor(max_workers=10, thread_name_prefix="status") as pool:
            jobs = pool.submit(_attempt, lambda: queue_depth(self._sqs, settings.jobs_queue_url))
            priority = pool.submit(_attempt, lambda: queue_depth(self._sqs, settings.priority_queue_url))
            dead = pool.submit(_attempt, lambda: queue_depth(self._sqs, settings.dead_letter_queue_url))
            lock = pool.submit(self._read_lock)
            instances = pool.submit(self._read_instances)
            scan = pool.submit(_attempt, self._read_scan)
            schedule = pool.submit(_attempt, self._read_schedule)
            reports = pool.submit(_attempt, self._read_reports)
            tick = pool.submit(_attempt, lambda: last_tick(self._dynamodb, settings.table_name))
        found, heartbeats = instances.result()
        return Overview(
            observed_at=self._clock.now(),
            jobs=jobs.result(),
            priority=priority.result(),
            dead_letters=dead.result(),
            lock=lock.result(),
            instances=found,
            heartbeats=heartbeats,
            scan=scan.result(),
            schedule=schedule.result(),
            reports=reports.result(),
            tick=tick.result(),
        )

    def _read_lock(self) -> LockState:
        return self._lock.read() if self._settings.lock_enabled else LockState()

    # --- instances and workers

    def _read_instances(self) -> tuple[tuple[FleetInstance, ...] | Unread, Unread | None]:
        """The instances with their workers' heartbeats, and why they have none of these."""
        view = read_fleet(self._ec2, self._ledger, self._settings.fleet_name)
        if isinstance(view.instances, Exception):
            unread = _unread(view.instances)
            return unread, unread
        if isinstance(view.heartbeats, Exception):
            return tuple(map(FleetInstance, view.instances)), _unread(view.heartbeats)
        beats, invalid = view.heartbeats.valid, view.heartbeats.invalid
        why = Unread(f"the heartbeats of {', '.join(sorted(invalid))} are not valid") if invalid else None
        return tuple(FleetInstance(each, each.heartbeat_in(beats)) for each in view.instances), why

    # --- scans

    def _read_scan(self) -> LastScan | None:
        try:
            answer = self._s3.get_object(
                Bucket=self._settings.bucket, Key=PENDING_JOBS_KEY, Range=f"bytes=0-{_HEAD_BYTES - 1}"
            )
        except AWS_ERRORS as error:
            if is_missing(error):
                return None
            raise
        return parse_scan(answer["Body"].read())

    def _read_schedule(self) -> Schedule | None:
        try:
            rule = self._events.describe_rule(Name=f"{self._settings.fleet_name}-scanner")
        except AWS_ERRORS as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise
        return Schedule(rule.get("ScheduleExpression", ""), rule.get("State") != "DISABLED")

    # --- reports

    def _read_reports(self) -> Reports:
        names = self._store.names(after=self._clock.now() - _RECENT) or self._store.names()
        runs = list(islice((name for name in names if name.names_an_instance), _RUNS_WITH_FAILURES))
        wanted = list(dict.fromkeys([*names[:1], *runs]))
        read = {report.name: report for report in self._store.read_all(wanted)}
        failures = (
            Failure(name.stem, error)
            for name in runs
            if (reading := read[name].reading)
            for error in reversed(reading.facts.errors)  # a report lists them in the order in which they came
        )
        return Reports(read[names[0]] if names else None, tuple(islice(failures, _MAX_FAILURES)))


def parse_scan(head: bytes) -> LastScan:
    """The last scan from the beginning of pending-jobs.json, which may end anywhere.

    Raises:
        ScribefleetError: it is not one.
    """
    try:
        return LastScan.model_validate(pydantic_core.from_json(head, allow_partial=True))
    except (ValueError, ValidationError):
        raise ScribefleetError(f"{PENDING_JOBS_KEY} is not a scan's result") from None


def _attempt(look: Callable[[], _Seen]) -> _Seen | Unread:
    try:
        return look()
    except (*AWS_ERRORS, ScribefleetError) as error:
        return _unread(error)


def _unread(error: Exception) -> Unread:
    return Unread(str(error) if isinstance(error, ScribefleetError) else f"AWS did not answer: {cause_of(error)}")
