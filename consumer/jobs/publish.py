"""Conditional reads and writes of chunk transcripts in S3: of two workers with the same job one result is kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.aws.storage import put_if_absent, put_if_unchanged
from shared.errors import AWS_ERRORS, TransientError, is_missing
from shared.formats.messages import ChunkJob
from shared.formats.transcripts import ChunkTranscript

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Existing:
    """The transcript that is in S3 when a job begins."""

    etag: str
    written_at: datetime

    def satisfies(self, job: ChunkJob) -> bool:
        """Whether the job has nothing left to do.

        A forced job replaces the transcript that was there when it was queued. A later one is its own result, from an
        earlier delivery of the same message. S3's times are in whole seconds, so a tie counts as earlier.
        """
        return not job.force or self.written_at > job.enqueued_at


def existing_transcript(s3: "S3Client", job: ChunkJob) -> Existing | None:
    """The job's transcript, if there is one. Raises what boto3 raises."""
    try:
        head = s3.head_object(Bucket=job.bucket, Key=job.transcript_key)
    except AWS_ERRORS as error:
        if is_missing(error):
            return None
        raise
    return Existing(head["ETag"], head["LastModified"])


def publish(s3: "S3Client", job: ChunkJob, transcript: ChunkTranscript, replaces: Existing | None) -> bool:
    """Write the transcript if nothing has changed since `replaces` was read.

    Returns:
        False when another writer was faster: its result is kept.

    Raises:
        TransientError: S3 refused the write though there is no transcript: the old one was deleted meanwhile.

    Also raises what boto3 raises.
    """
    body = transcript.to_json().encode()
    if replaces is None:
        written = put_if_absent(s3, job.bucket, job.transcript_key, body, "application/json")
    else:
        written = put_if_unchanged(s3, job.bucket, job.transcript_key, body, "application/json", replaces.etag)
    # The job's message is deleted next, so the transcript must really be there; a refused write is no proof of it.
    if not written and existing_transcript(s3, job) is None:
        raise TransientError("the write was refused, and there is no transcript")
    return written
