"""A folder of recordings, laid out as in the bucket: read into the embedded cloud, results written beside it.

Results are written under a temporary name and renamed, so that no reader and no interruption ever meets half a file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from producer.scan.gaps import ScanTally, SessionGaps, compare
from shared.errors import ConfigurationError
from shared.formats.layout import USERS_PREFIX, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef


@dataclass(frozen=True, slots=True)
class Recordings:
    """What a folder holds.

    Attributes:
        keys: every file under `users/` that fits the layout, sorted as S3 sorts keys.
        sessions: how many sessions there are.
        with_gaps: those with gaps.
        unfinished: paths of sessions without a gap whose own transcript is missing or out of date.
        ignored: files under `users/` that do not fit the layout.
    """

    directory: Path
    keys: tuple[str, ...]
    sessions: int
    with_gaps: tuple[SessionGaps, ...]
    unfinished: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def gaps(self) -> int:
        return sum(len(session.gaps) for session in self.with_gaps)


def read_recordings(directory: Path) -> Recordings:
    """Look through the folder, with the scanner's own comparison.

    Raises:
        ConfigurationError: there are no recordings in it, or results could not be written beside them.
    """
    tally = ScanTally()
    files = list(_files(directory))
    # S3's keys are UTF-8; a file name need not be.
    ignored = [listed["Key"] for listed in files if not _is_utf8(listed["Key"])]
    objects = sorted((listed for listed in files if _is_utf8(listed["Key"])), key=lambda listed: listed["Key"].encode())
    now = datetime.now(UTC)
    gaps = compare(objects, now=now, quiet_for=timedelta(0), tally=tally, on_ignored=ignored.append)
    with_gaps = tuple(gaps)
    keys = tuple(listed["Key"] for listed in objects if parse_key(listed["Key"]))
    if not any(_is_audio(key) for key in keys):
        raise ConfigurationError(
            f"no recordings in {directory}: expected "
            f"{directory}/users/USER/audio/sessions/SESSION/chunk-001.webm and the like"
        )
    if not os.access(directory, os.W_OK):
        raise ConfigurationError(f"{directory} cannot be written to, and transcripts go beside their audio")
    unfinished = tuple(session.session_path for session in tally.unfinished.first())
    return Recordings(directory, keys, tally.sessions, with_gaps, unfinished, tuple(ignored))


def write_result(directory: Path, key: str, body: bytes) -> Path:
    """Write an object of the bucket as a file of the folder, whole or not at all.

    Raises:
        ValueError: the key would lie outside the folder.
    """
    target = directory / key
    if not target.resolve().is_relative_to(directory.resolve()):
        raise ValueError(f"not a key of this folder: {key!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_bytes(body)
    unfinished.replace(target)
    return target


def _files(directory: Path) -> "Iterator[ObjectTypeDef]":
    root = directory / USERS_PREFIX
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                status = path.stat()
                yield {
                    "Key": path.relative_to(directory).as_posix(),
                    "Size": status.st_size,
                    "ETag": "",
                    "LastModified": datetime.fromtimestamp(status.st_mtime, UTC),
                }


def _is_utf8(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_audio(key: str) -> bool:
    parsed = parse_key(key)
    return parsed is not None and parsed.audio_chunk is not None
