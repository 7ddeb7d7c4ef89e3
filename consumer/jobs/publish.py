"""Reads and writes chunk transcripts in S3, so that of two workers with one job exactly one result stands."""

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
    """The transcript that stands in S3 when a job begins."""

    etag: str
    written_at: datetime

    def satisfies(self, job: ChunkJob) -> bool:
        """Whether the job has nothing left to do.

        A forced job replaces what stood when it was queued; what was written later is its own result, from an
        earlier delivery of the same message. S3 stamps whole seconds, so a tie counts as earlier.
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
    """Write the transcript if nothing has changed since `replaces` was looked up.

    Returns:
        False when another writer was faster: its result stands.

    Raises:
        TransientError: S3 refused the write, and nothing stands: what stood was deleted meanwhile. Else what boto3
            raises.
    """
    body = transcript.to_json().encode()
    if replaces is None:
        written = put_if_absent(s3, job.bucket, job.transcript_key, body, "application/json")
    else:
        written = put_if_unchanged(s3, job.bucket, job.transcript_key, body, "application/json", replaces.etag)
    # The job's message is deleted next: by its own look, not by what a refusal suggests, the transcript is there.
    if not written and existing_transcript(s3, job) is None:
        raise TransientError("the write was refused, and no transcript stands")
    return written
