"""Keeps the transcripts that a forced re-run replaces, until the new ones are in place.

The re-run copies them before it queues anything, to

    {session path}/history/{re-run}/transcription-chunk-{NNN}.json

which fits no part of the layout that scans read. Workers replace the transcript itself in one conditional write, so
readers always find the old one or the new one. A copy has done its service when the transcript is newer than it; then
the re-run that waits removes it, or else the session's next one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from shared.errors import ScribefleetError
from shared.session.folder import SessionFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_KEY = re.compile(r"users/[^/]+/audio/sessions/[^/]+/history/[^/]+/transcription-chunk-(?P<chunk>[0-9]+)\.json")
_THREADS = 16
_MAX_DELETED = 1000  # with one DeleteObjects


class HistoryError(ScribefleetError):
    """Some of the history could not be removed; the text says what."""


def history_key(session_path: str, rerun_id: str, chunk: str) -> str:
    """Where a re-run keeps the transcript of a chunk that it replaces."""
    return f"{session_path}/history/{rerun_id}/transcription-chunk-{chunk}.json"


def parse_history_key(key: str) -> str | None:
    """The chunk whose former transcript lies at `key`; `None` when it is no history."""
    match = _KEY.fullmatch(key)
    return match["chunk"] if match else None


def settled(folder: SessionFolder) -> list[str]:
    """The keys of the history whose chunks have a newer transcript by now.

    S3's times are whole seconds; a transcript of the same second may be the one that was copied.
    """
    return [
        old.key
        for old in folder.others
        if (chunk := parse_history_key(old.key))
        and chunk in folder.transcripts
        and folder.transcripts[chunk].modified > old.modified
    ]


def keep(
    s3: "S3Client", bucket: str, copies: Mapping[str, str], on_progress: Callable[[int], None] = lambda _: None
) -> None:
    """Copy each key of `copies` to its value, within the bucket. Raises what boto3 raises, with some copies made."""

    def copy(source: str) -> None:
        s3.copy_object(Bucket=bucket, Key=copies[source], CopySource={"Bucket": bucket, "Key": source})

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="history") as pool:
        for _ in pool.map(copy, copies):
            on_progress(1)


def remove(s3: "S3Client", bucket: str, keys: Sequence[str]) -> None:
    """Delete `keys`.

    Raises:
        HistoryError: S3 did not delete some of them. What boto3 raises otherwise.
    """
    for start in range(0, len(keys), _MAX_DELETED):
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[start : start + _MAX_DELETED]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors"):
            first = errors[0]
            raise HistoryError(f"{len(errors)} of the history's objects stay, first {first['Key']}: {first['Code']}")
