"""Removes everything that a self-test has made.

A message cannot simply be deleted. It is received, which takes luck on a busy queue; or it is made harmless by a
transcript in the place of the one that it asks for, since a worker drops a job whose transcript exists.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from deploy.clients import OperatorClients
from deploy.selftest.session import GAP, USER_PREFIX, TrialSession, is_trial
from shared.aws.sqs import queue_depth
from shared.aws.storage import put_if_absent
from shared.errors import AWS_ERRORS, cause_of
from shared.formats.layout import USERS_PREFIX
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Each look at a message counts as a receive, of which its own job has only a few: a full queue is left alone.
_MAX_MESSAGES: Final = 20
_ROUNDS: Final = 3
_HOLD_SECONDS: Final = 10
_BATCH: Final = 1000  # most keys of one DeleteObjects


@dataclass(slots=True)
class Cleaned:
    """What a cleaning did.

    Attributes:
        removed: objects deleted.
        left: one line for each thing that is still there, and why.
    """

    removed: int = 0
    left: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Cleaned") -> "Cleaned":
        self.removed += other.removed
        self.left += other.left
        return self


class Cleaner:
    """Cleans up in one fleet."""

    def __init__(self, clients: OperatorClients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def clean(self, session: TrialSession, *, queued: bool, status: str | None) -> Cleaned:
        """Remove one self-test.

        Args:
            queued: whether its job may be on a queue or in a worker's hand.
            status: what the ledger last said of the job; `None` when nothing.

        Never raises for what AWS refuses: that is in the result, with all else done.
        """
        done = Cleaned()
        settings = self._settings
        if status == "failed":
            self._take(settings.dead_letter_queue_url, session, done)
        elif queued and status not in {"completed", "skipped"}:
            urls = (settings.priority_queue_url, settings.jobs_queue_url)
            if not any(self._take(url, session, done) for url in urls) and self._neutralise(session, done):
                done += self._delete(session, keep=session.gap_key)
                return done
        done += self._delete(session)
        if not done.left:
            self._forget(session, done)
        return done

    def clean_leftover(self, session: TrialSession, *, status: str | None, now: datetime) -> Cleaned:
        """Remove what an earlier self-test has left, unless its job could still find its audio gone.

        Args:
            status: what the ledger says of the job; without an entry it was never queued, or is over.
        """
        done, settings = Cleaned(), self._settings
        expired = now - session.made_at > timedelta(seconds=settings.queue_retention_seconds)
        if status == "failed":
            self._take(settings.dead_letter_queue_url, session, done)
        elif status in {"queued", "processing"} and not expired:
            urls = (settings.priority_queue_url, settings.jobs_queue_url)
            if not any(self._take(url, session, done) for url in urls):
                done.left.append(f"{session.user_id}: its job is still on its way ({status})")
                return done
        done += self._delete(session)
        if not done.left:
            self._forget(session, done)
        return done

    def leftovers(self) -> Iterator[TrialSession]:
        """The self-tests that have objects in the bucket. Raises what boto3 raises."""
        pages = self._clients.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._settings.bucket, Prefix=f"{USERS_PREFIX}{USER_PREFIX}", Delimiter="/"
        )
        users = (c["Prefix"].removeprefix(USERS_PREFIX).rstrip("/") for p in pages for c in p.get("CommonPrefixes", ()))
        yield from (TrialSession(user) for user in users if is_trial(user))

    def _take(self, queue_url: str, session: TrialSession, done: Cleaned) -> bool:
        """Take the self-test's message off a queue; returns whether it was there. Others are given back at once."""
        others: list[MessageTypeDef] = []
        try:
            if queue_depth(self._clients.sqs, queue_url).visible > _MAX_MESSAGES:
                return False
            for _ in range(_ROUNDS):
                received = self._receive(queue_url)
                others += [message for message in received if not _is_of(message, session)]
                for message in received:
                    if _is_of(message, session):
                        self._clients.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                        return True
                if not received:
                    break
        except AWS_ERRORS as error:
            done.left.append(f"its message on {queue_url.rsplit('/', 1)[-1]}: {_cause(error)}")
        finally:
            self._give_back(queue_url, others)
        return False

    def _receive(self, queue_url: str) -> "list[MessageTypeDef]":
        return self._clients.sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            # A poll that waits asks all of SQS's servers, one that does not only some.
            WaitTimeSeconds=min(1, self._settings.long_poll_seconds),
            VisibilityTimeout=_HOLD_SECONDS,
        ).get("Messages", [])

    def _give_back(self, queue_url: str, messages: "list[MessageTypeDef]") -> None:
        for message in messages:
            try:
                self._clients.sqs.change_message_visibility(
                    QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
            except AWS_ERRORS:
                return  # they come back by themselves, some seconds later

    def _neutralise(self, session: TrialSession, done: Cleaned) -> bool:
        """Leave a transcript where the job's would be; returns whether it has to stay there for the job's sake."""
        try:
            marker = put_if_absent(
                self._clients.s3,
                self._settings.bucket,
                session.gap_key,
                b'{"segments": []}',
                "application/json",
                # So that this cleaning knows its own marker from one that an earlier cleaning has left.
                {"marker": uuid4().hex},
            )
        except AWS_ERRORS as error:
            done.left.append(f"s3://{self._settings.bucket}/{session.prefix}: {_cause(error)}")
            return True
        if marker:
            done.left.append(
                f"s3://{self._settings.bucket}/{session.gap_key}: its job is still on its way and finds this instead "
                "of work; `scribefleet selftest --clean` removes it later"
            )
        return marker

    def _delete(self, session: TrialSession, keep: str | None = None) -> Cleaned:
        """Delete the session's objects, in a versioned bucket all their versions."""
        done, bucket = Cleaned(), self._settings.bucket
        try:
            pages = self._clients.s3.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Prefix=session.prefix
            )
            found: list[ObjectIdentifierTypeDef] = [
                {"Key": version["Key"], "VersionId": version["VersionId"]}
                for page in pages
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                if version["Key"] != keep
            ]
            for start in range(0, len(found), _BATCH):
                some = found[start : start + _BATCH]
                answer = self._clients.s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
                done.left += [f"s3://{bucket}/{each['Key']}: {each['Code']}" for each in answer.get("Errors", ())]
                done.removed += len(some) - len(answer.get("Errors", ()))
        except AWS_ERRORS as error:
            done.left.append(f"s3://{bucket}/{session.prefix}: {_cause(error)}")
        return done

    def _forget(self, session: TrialSession, done: Cleaned) -> None:
        key = {"sessionPath": {"S": session.path}, "chunk": {"S": GAP}}
        try:
            self._clients.dynamodb.delete_item(TableName=self._settings.table_name, Key=key)
        except AWS_ERRORS as error:
            done.left.append(f"its entry in the ledger: {_cause(error)}")


def _is_of(message: "MessageTypeDef", session: TrialSession) -> bool:
    try:
        body = json.loads(message["Body"])
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("userId") == session.user_id


def _cause(error: Exception) -> str:
    return cause_of(error)
