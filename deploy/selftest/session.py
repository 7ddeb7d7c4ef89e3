"""The self-test's own session: its names, its recording, and how it gets into the bucket and onto the queue.

It lives under a user id made for one self-test, so nothing of anyone else's is ever touched.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from shared.formats.layout import USERS_PREFIX, session_path, transcript_key
from shared.formats.messages import ChunkJob, chunk_job
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

USER_PREFIX: Final = "scribefleet-selftest-"
_USER_ID: Final = re.compile(re.escape(USER_PREFIX) + r"(\d{8}T\d{6})Z-[0-9a-f]{6}")
GAP: Final = "002"
SAID: Final = ("it", "was", "the", "age", "of", "wisdom", "it", "was", "the", "age", "of", "foolishness")
LANGUAGE: Final = "en"
# What a live recorder would have written for the chunks around the gap.
_LIVE: Final = {
    "001": "It was the best of times, it was the worst of times,",
    "003": "belief, it was the epoch of incredulity, it was the season of light,",
}
_CHUNK_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class TrialSession:
    """One self-test's session. `user_id` begins with `USER_PREFIX`."""

    user_id: str
    session_id: str = "gap"

    @property
    def made_at(self) -> datetime:
        """When it was made, as its user id says."""
        match = _USER_ID.fullmatch(self.user_id)
        if match is None:
            raise ValueError(f"not a self-test's user id: {self.user_id!r}")
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)

    @property
    def path(self) -> str:
        return session_path(self.user_id, self.session_id)

    @property
    def prefix(self) -> str:
        """What all of its objects' keys begin with."""
        return f"{USERS_PREFIX}{self.user_id}/"

    @property
    def gap_key(self) -> str:
        """The transcript that the fleet is to make."""
        return transcript_key(self.path, GAP)

    def objects(self) -> Iterator[tuple[str, bytes, str]]:
        """Key, content and content type of what is uploaded, transcripts first.

        A scan in between must not take the chunks around the gap for gaps as well.
        """
        for chunk, text in _LIVE.items():
            segment = {"text": text, "start": 0, "end": _CHUNK_SECONDS, "is_final": True, "words": []}
            yield transcript_key(self.path, chunk), json.dumps({"segments": [segment]}).encode(), "application/json"
        for chunk in sorted({*_LIVE, GAP}):
            yield f"{self.path}/chunk-{chunk}.webm", _audio(chunk), "audio/webm"


def is_trial(user_id: str) -> bool:
    """Whether a user id is one that `new_session` makes, and no person's."""
    return _USER_ID.fullmatch(user_id) is not None


def new_session(now: datetime) -> TrialSession:
    """A session that no other self-test has."""
    return TrialSession(f"{USER_PREFIX}{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


def upload(s3: "S3Client", bucket: str, session: TrialSession) -> None:
    """Put the session into the bucket. Raises what boto3 raises."""
    for key, body, content_type in session.objects():
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def gap_job(session: TrialSession, bucket: str, now: datetime) -> ChunkJob:
    """The job for the gap; its language is the recording's, whatever the fleet's is."""
    job = chunk_job(
        bucket=bucket,
        audio_key=f"{session.path}/chunk-{GAP}.webm",
        audio_size=len(_audio(GAP)),
        enqueued_at=now,
        scan_id=session.user_id,
    )
    return job.model_copy(update={"reason": "rerun", "language": LANGUAGE})


def enqueue(sqs: "SQSClient", ledger: Ledger, queue_url: str, job: ChunkJob) -> None:
    """Queue the job as the scanner would: claimed first, so that a scan meanwhile does not queue it again."""
    ledger.claim(job)
    sqs.send_message(QueueUrl=queue_url, MessageBody=job.to_json())
    ledger.queued(job)


def _audio(chunk: str) -> bytes:
    """A chunk of the recording; that of the gap is the clip by which workers test their model."""
    if chunk == GAP:
        return files("consumer.model").joinpath("selftest.webm").read_bytes()
    return files("deploy.selftest").joinpath("recording", f"chunk-{chunk}.webm").read_bytes()
