"""A session's folder as LIST shows it: when its recording is over, and what counts of it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.formats.layout import session_path
from shared.session.folder import SessionFolder, folders, list_folder

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from tests.conftest import Cloud

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATH = session_path("alice", "s1")
QUIET_FOR = timedelta(seconds=120)


def listed(name: str, *, age_seconds: float, size: int = 10) -> "ObjectTypeDef":
    return {
        "Key": f"{PATH}/{name}",
        "Size": size,
        "ETag": '"e"',
        "LastModified": NOW - timedelta(seconds=age_seconds),
    }


def folder(*objects: "ObjectTypeDef") -> SessionFolder:
    return next(folders(sorted(objects, key=lambda one: one["Key"])), SessionFolder(PATH, "alice", "s1"))


@pytest.mark.parametrize(
    ("audio_age", "transcript_age", "is_over"),
    [
        (120, None, True),
        (119, None, False),
        (120, 5, True),  # a worker has just filled the last gap
        (119, 3600, False),
        (None, 120, True),
        (None, 119, False),  # nothing but what the live path writes
        (None, None, True),
    ],
)
def test_a_session_is_over_by_its_newest_audio_and_without_any_by_its_newest_transcript(
    audio_age: float | None, transcript_age: float | None, is_over: bool
) -> None:
    objects = [listed("metadata.json", age_seconds=0)]
    if audio_age is not None:
        objects += [listed("chunk-001.webm", age_seconds=3600), listed("chunk-002.webm", age_seconds=audio_age)]
    if transcript_age is not None:
        objects.append(listed("transcription-chunk-001.json", age_seconds=transcript_age))

    assert folder(*objects).is_over(NOW, QUIET_FOR) is is_over


def test_the_smaller_file_of_a_chunk_in_two_formats_keeps_its_session_young() -> None:
    found = folder(listed("chunk-001.mp4", age_seconds=5, size=1), listed("chunk-001.webm", age_seconds=3600, size=9))

    assert found.seconds_until_over(NOW, QUIET_FOR) == 115
    assert found.audio["001"].key.endswith(".webm")


def test_given_no_quiet_time_then_every_session_is_over_also_by_a_clock_that_is_slow() -> None:
    assert folder(listed("chunk-001.webm", age_seconds=-30)).is_over(NOW, timedelta(0))


def test_what_does_not_fit_the_layout_is_kept_apart(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/notes.txt", Body=b"")

    found = list_folder(cloud.s3, cloud.settings.bucket, PATH)

    assert found.chunks == {"001"}
    assert [other.key for other in found.others] == [f"{PATH}/notes.txt"]
