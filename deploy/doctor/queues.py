"""The queues: set as the template sets them, and nothing dead on them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, warning
from shared.errors import AWS_ERRORS, error_code

_GONE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_DEPLOY_AGAIN = "somebody has changed it by hand; `scribefleet deploy` with another value and back sets it again"


@dataclass(frozen=True, slots=True)
class ExpectedQueue:
    """What the template sets on a job queue."""

    visibility_seconds: int
    retention_seconds: int
    dead_letter_arn: str


def look_at_job_queues(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Both job queues, against the stack's parameters."""
    settings = fleet.settings
    dead = _attributes(fleet, settings.dead_letter_queue_url)
    wanted = ExpectedQueue(
        settings.visibility_timeout_seconds, settings.queue_retention_seconds, dead.get("QueueArn", "no such queue")
    )
    for url in (settings.jobs_queue_url, settings.priority_queue_url):
        yield from job_queue_findings(_name(url), _attributes(fleet, url), wanted)


def job_queue_findings(name: str, found: Mapping[str, str], wanted: ExpectedQueue) -> Iterator[Finding]:
    """What differs on one job queue; `found` are its attributes, empty where there is no such queue."""
    if not found:
        yield failure("queue", f"{name} does not exist", "deploy again")
        return
    wrong = list(_differences(found, wanted))
    for seen, consequence in wrong:
        yield failure("queue", f"{name}: {seen}, so {consequence}", _DEPLOY_AGAIN)
    if not _encrypted(found):
        yield warning("queue", f"{name} is not encrypted", _DEPLOY_AGAIN)
    if not wrong:
        waiting, in_flight = found["ApproximateNumberOfMessages"], found["ApproximateNumberOfMessagesNotVisible"]
        yield ok("queue", f"{name} is as deployed: {waiting} waiting, {in_flight} in flight")


def look_at_dead_letters(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The dead-letter queue, and what has ended there."""
    name = _name(fleet.settings.dead_letter_queue_url)
    yield from dead_letter_findings(
        name, _attributes(fleet, fleet.settings.dead_letter_queue_url), fleet.settings.queue_retention_seconds
    )


def dead_letter_findings(name: str, found: Mapping[str, str], source_retention: int) -> Iterator[Finding]:
    """What the attributes of the dead-letter queue tell; empty ones mean that it does not exist."""
    if not found:
        yield failure("dead letters", f"the queue {name} does not exist", "deploy again")
        return
    if int(found["MessageRetentionPeriod"]) <= source_retention:
        # A message that SQS moves keeps the age that it had on its first queue.
        seen = f"{name} keeps messages no longer than the job queues, so some vanish before anyone has seen them"
        yield warning("dead letters", seen, _DEPLOY_AGAIN)
    waiting = int(found["ApproximateNumberOfMessages"])
    if waiting:
        yield warning(
            "dead letters",
            f"{waiting} on {name}: jobs that failed for good",
            "read their attributes `reason` and `detail`; docs/how-it-works.md explains each reason",
        )
    else:
        yield ok("dead letters", f"none on {name}")


def _differences(found: Mapping[str, str], wanted: ExpectedQueue) -> Iterator[tuple[str, str]]:
    visibility = int(found["VisibilityTimeout"])
    if visibility != wanted.visibility_seconds:
        yield f"visibility timeout {visibility} s, deployed {wanted.visibility_seconds} s", "leases are not as long"
    retention = int(found["MessageRetentionPeriod"])
    if retention != wanted.retention_seconds:
        consequence = "the ledger holds gaps back for another time than their jobs live"
        yield f"retention {retention} s, deployed {wanted.retention_seconds} s", consequence
    target = json.loads(found.get("RedrivePolicy") or "{}").get("deadLetterTargetArn")
    if target != wanted.dead_letter_arn:
        consequence = "a job that kills its worker comes back for ever"
        yield f"dead letters go to {target or 'nowhere'}, not to the fleet's dead-letter queue", consequence


def _encrypted(found: Mapping[str, str]) -> bool:
    return found.get("SqsManagedSseEnabled") == "true" or bool(found.get("KmsMasterKeyId"))


def _attributes(fleet: ExaminedFleet, url: str) -> Mapping[str, str]:
    """All attributes of a queue; none where it does not exist."""
    try:
        attributes = fleet.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {str(name): value for name, value in attributes.items()}
    except AWS_ERRORS as error:
        if error_code(error) in _GONE:
            return {}
        raise


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
