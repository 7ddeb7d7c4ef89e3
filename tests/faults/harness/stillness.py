"""What scripts about holds and instances share: waiting for something, and seeing that a fleet keeps still."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from shared.aws.sqs import queue_depth
from shared.formats.messages import chunk_job
from tests.faults.harness.evidence import is_recorder
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.processes import NotInTimeError
from tests.faults.harness.scenario import Broken
from tests.faults.harness.sessions import RecordedSession

LOCK: Final = r"^batch-lock\.json$"
_POLL_INTERVAL_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 45.0
_LOOKS: Final = 6
_BEGINNINGS: Final = frozenset(
    {
        "model:TranscribeBegin",
        "sqs:ReceiveMessage",
        "ec2:StartInstances",
        "ec2:StopInstances",
        "ec2:RebootInstances",
    }
)


def until(happened: Callable[[], object], what: str, timeout: float = _PATIENCE_SECONDS) -> None:
    """Wait until something is so.

    Raises:
        NotInTimeError: it is not after `timeout` seconds; `what` says what.
    """
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() > deadline:
            raise NotInTimeError(f"after {timeout:g} s it has not happened: {what}")
        time.sleep(_POLL_INTERVAL_SECONDS)


def keeps_still(fleet: Fleet, *actors: str, work_left: bool = True, looks: int = _LOOKS) -> None:
    """Wait until all hold and nothing is in hand any more, and then until each has looked at the lock a few times more.

    Args:
        actors: the workers that run.
        work_left: there must be work, or stillness would prove nothing.
        looks: how many times.

    Raises:
        Broken: something began all the same.
    """
    for actor in actors:
        until(partial(_holds, fleet, actor), f"{actor} holds")
    until(lambda: in_flight(fleet) == 0, "what was in hand is done, or back on the queue")
    still_since = time.monotonic()
    _see_looks(fleet, actors, looks)
    broken_since(fleet, still_since)
    if work_left and not fleet.unsettled():
        raise Broken("nothing was left to do in the hold, so it proves nothing")


def broken_since(fleet: Fleet, since: float) -> None:
    """Raise `Broken` when the fleet has begun anything since then, in monotonic seconds."""
    for entry in fleet.proxy.journal.calls():
        if entry.began > since and entry.call.on in _BEGINNINGS and not is_recorder(entry.call.actor):
            raise Broken(f"{entry.call} {entry.began - since:.1f} s after all was still")


def in_flight(fleet: Fleet) -> int:
    """How many messages workers have in hand."""
    urls = (fleet.settings.priority_queue_url, fleet.settings.jobs_queue_url)
    return sum(queue_depth(fleet.cloud.sqs, url).in_flight for url in urls)


def send_jobs(fleet: Fleet, session: RecordedSession) -> None:
    """Put a job for each gap of a session on the queue, whatever scans say about it."""
    for chunk in session.gaps:
        key = f"{session.path}/chunk-{chunk}.flac"
        size = fleet.cloud.s3.head_object(Bucket=fleet.settings.bucket, Key=key)["ContentLength"]
        job = chunk_job(bucket=fleet.settings.bucket, audio_key=key, audio_size=size, enqueued_at=datetime.now(UTC))
        fleet.cloud.sqs.send_message(QueueUrl=fleet.settings.jobs_queue_url, MessageBody=job.to_json())


def _holds(fleet: Fleet, actor: str) -> bool:
    """Whether a worker has said that it holds; a poll that it had begun before is over then."""
    return any(process.events("holding") for process in fleet.processes if process.actor == actor)


def _see_looks(fleet: Fleet, actors: Sequence[str], looks: int) -> None:
    for actor in actors:
        seen = len(fleet.proxy.journal.calls("s3:GetObject", actor=actor, target=LOCK))
        fleet.proxy.wait_for("s3:GetObject", actor=actor, target=LOCK, count=seen + looks, timeout=_PATIENCE_SECONDS)
