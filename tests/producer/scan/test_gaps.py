"""Finding gaps: which chunks are gaps, in which order, and at what cost in calls and memory."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.scan.gaps import ScanTally, SessionGaps, compare, find_gaps
from producer.scan.unfinished import MOST, Unfinished, UnfinishedSession
from shared.formats.layout import session_path
from tests.fixtures.fleet_resources import lay_out_objects

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from tests.conftest import Cloud

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FOLDER = "users/alice/audio/sessions/s1"


def listed(key: str, *, size: int = 10, age_seconds: float = 3600) -> "ObjectTypeDef":
    return {"Key": key, "Size": size, "ETag": '"e"', "LastModified": NOW - timedelta(seconds=age_seconds)}


def gaps_among(*objects: "ObjectTypeDef", tally: ScanTally | None = None) -> list[SessionGaps]:
    ordered = sorted(objects, key=lambda one: one["Key"].encode())
    return list(compare(ordered, now=NOW, quiet_for=timedelta(seconds=120), tally=tally or ScanTally()))


def chunks_of(sessions: list[SessionGaps]) -> list[tuple[str, list[str]]]:
    return [(session.session_id, [gap.chunk for gap in session.gaps]) for session in sessions]


def test_a_complete_session_is_left_alone() -> None:
    assert gaps_among(listed(f"{FOLDER}/chunk-001.webm"), listed(f"{FOLDER}/transcription-chunk-001.json")) == []


def test_a_chunk_without_a_transcript_is_a_gap() -> None:
    found = gaps_among(
        listed(f"{FOLDER}/chunk-001.webm", size=7),
        listed(f"{FOLDER}/chunk-002.webm", size=8, age_seconds=7200),
        listed(f"{FOLDER}/transcription-chunk-001.json"),
        listed(f"{FOLDER}/metadata.json"),
    )
    assert chunks_of(found) == [("s1", ["002"])]
    assert found[0].audio_chunks == 2
    assert found[0].transcript_chunks == 1
    assert found[0].total_audio_bytes == 15
    assert found[0].created_at == NOW - timedelta(seconds=7200)


def test_a_transcript_without_audio_is_no_gap() -> None:
    assert gaps_among(listed(f"{FOLDER}/transcription-chunk-001.json")) == []


def test_gaps_come_in_the_order_of_the_recording_and_not_of_the_keys() -> None:
    found = gaps_among(*(listed(f"{FOLDER}/chunk-{chunk}.webm") for chunk in ("1000", "999", "002")))
    assert chunks_of(found) == [("s1", ["002", "999", "1000"])]


def test_one_and_001_are_two_chunks() -> None:
    found = gaps_among(
        listed(f"{FOLDER}/chunk-1.webm"),
        listed(f"{FOLDER}/chunk-001.webm"),
        listed(f"{FOLDER}/transcription-chunk-001.json"),
    )
    assert chunks_of(found) == [("s1", ["1"])]


def test_a_chunk_stored_in_two_formats_is_one_gap_with_the_larger_file() -> None:
    [session] = gaps_among(listed(f"{FOLDER}/chunk-001.mp4", size=5), listed(f"{FOLDER}/chunk-001.webm", size=9))
    assert [(gap.key, gap.size) for gap in session.gaps] == [(f"{FOLDER}/chunk-001.webm", 9)]


def test_a_young_chunk_is_left_to_the_live_path_and_counted() -> None:
    tally = ScanTally()
    found = gaps_among(
        listed(f"{FOLDER}/chunk-001.webm", age_seconds=119), listed(f"{FOLDER}/chunk-002.webm"), tally=tally
    )
    assert chunks_of(found) == [("s1", ["002"])]
    assert (tally.too_young, tally.gaps) == (1, 1)


def test_a_key_that_does_not_fit_is_counted_and_told() -> None:
    told: list[str] = []
    tally = ScanTally()
    keys = ["users/alice/avatar.png", f"{FOLDER}/chunk-x.webm", f"{FOLDER}/chunk-001.webm"]
    objects = [listed(key) for key in sorted(keys)]
    list(compare(objects, now=NOW, quiet_for=timedelta(0), tally=tally, on_ignored=told.append))
    assert (tally.keys, tally.ignored_keys, tally.sessions) == (3, 2, 1)
    assert sorted(told) == sorted(keys[:2])


def unfinished_among(*objects: "ObjectTypeDef") -> tuple[int, list[UnfinishedSession]]:
    tally = ScanTally()
    gaps_among(*objects, tally=tally)
    return tally.unfinished.count, tally.unfinished.first()


def session_of(*others: "ObjectTypeDef", chunk_age: float = 3600) -> "list[ObjectTypeDef]":
    """A chunk with its transcript, and whatever lies beside them."""
    return [
        listed(f"{FOLDER}/chunk-001.webm", age_seconds=chunk_age),
        listed(f"{FOLDER}/transcription-chunk-001.json", age_seconds=chunk_age - 10),
        *others,
    ]


def test_a_session_that_lacks_only_its_own_transcript_is_unfinished_since_its_last_chunk() -> None:
    found = unfinished_among(*session_of(listed(f"{FOLDER}/metadata.json"), listed(f"{FOLDER}/transcription.txt")))

    assert found == (1, [UnfinishedSession(False, NOW - timedelta(seconds=3590), FOLDER)])


@pytest.mark.parametrize(("own_age", "unfinished"), [(3591, 1), (3590, 0), (3500, 0)])
def test_a_session_is_unfinished_when_its_transcript_is_older_than_a_chunks(own_age: float, unfinished: int) -> None:
    count, found = unfinished_among(*session_of(listed(f"{FOLDER}/transcription.json", age_seconds=own_age)))

    assert (count, [each.has_older for each in found]) == (unfinished, [True] * unfinished)


def test_a_session_that_may_be_going_on_is_not_unfinished() -> None:
    assert unfinished_among(*session_of(chunk_age=119)) == (0, [])
    # and of a chunk in two formats the smaller one counts as well
    assert unfinished_among(*session_of(listed(f"{FOLDER}/chunk-001.mp4", size=1, age_seconds=5))) == (0, [])


def test_a_session_without_audio_is_unfinished_by_its_transcripts() -> None:
    assert unfinished_among(listed(f"{FOLDER}/transcription-chunk-001.json"))[0] == 1
    assert unfinished_among(listed(f"{FOLDER}/transcription-chunk-001.json", age_seconds=5))[0] == 0


def test_a_folder_without_chunks_is_not_unfinished() -> None:
    assert unfinished_among(listed(f"{FOLDER}/metadata.json")) == (0, [])


@pytest.mark.parametrize(("own_age", "unfinished"), [(None, True), (3601, True), (3500, False)])
def test_a_session_with_gaps_says_whether_it_is_unfinished_but_for_them(
    own_age: float | None, unfinished: bool
) -> None:
    own = [] if own_age is None else [listed(f"{FOLDER}/transcription.json", age_seconds=own_age)]
    # given: a gap that came later than the chunk's transcript
    objects = session_of(listed(f"{FOLDER}/chunk-002.webm", age_seconds=3550), *own)
    tally = ScanTally()

    [session] = gaps_among(*objects, tally=tally)

    assert tally.unfinished.count == 0
    assert bool(session.unfinished) is unfinished
    if session.unfinished:
        assert session.unfinished.given_up == {"002"}


def test_a_gap_that_is_young_keeps_a_session_from_being_unfinished() -> None:
    objects = session_of(listed(f"{FOLDER}/chunk-002.webm"), listed(f"{FOLDER}/chunk-003.webm", age_seconds=5))

    [session] = gaps_among(*objects)

    assert session.unfinished is None


def waiting(number: int, *, has_older: bool = False) -> UnfinishedSession:
    return UnfinishedSession(has_older, NOW - timedelta(seconds=number), f"users/u/audio/sessions/s{number}")


def test_all_unfinished_sessions_are_counted_and_the_first_by_turn_are_kept() -> None:
    one, other = Unfinished(), Unfinished()
    for number in range(3 * MOST):
        (one if number % 2 else other).add(waiting(number))

    one.merge(other)

    assert one.count == 3 * MOST
    assert one.first() == [waiting(number) for number in range(3 * MOST - 1, 2 * MOST - 1, -1)]


def test_sessions_whose_transcript_only_seems_old_do_not_keep_those_without_one_from_their_turn() -> None:
    both = Unfinished()
    for number in range(MOST + 1):
        both.add(waiting(1000 + number, has_older=True))
    both.add(waiting(1))

    assert both.first()[0] == waiting(1)


IDS = st.text(alphabet=st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=6)
SESSIONS = st.dictionaries(
    st.tuples(IDS, IDS),
    st.dictionaries(st.from_regex(r"[0-9]{1,4}", fullmatch=True), st.booleans(), max_size=5),
    max_size=5,
)


@given(SESSIONS)
def test_exactly_the_chunks_without_transcript_are_gaps(sessions: dict[tuple[str, str], dict[str, bool]]) -> None:
    objects, expected = [], set()
    for (user, session), chunks in sessions.items():
        folder = f"users/{user}/audio/sessions/{session}"
        for chunk, transcribed in chunks.items():
            objects.append(listed(f"{folder}/chunk-{chunk}.ogg"))
            if transcribed:
                objects.append(listed(f"{folder}/transcription-chunk-{chunk}.json"))
            else:
                expected.add((user, session, chunk))
    tally = ScanTally()
    found = {(s.user_id, s.session_id, gap.chunk) for s in gaps_among(*objects, tally=tally) for gap in s.gaps}
    assert found == expected
    assert tally.gaps == len(expected)
    assert tally.sessions == sum(bool(chunks) for chunks in sessions.values())


class Calls:
    """Counts a client's calls by operation."""

    def __init__(self, client: Any) -> None:
        self.names: list[str] = []
        client.meta.events.register("before-call.s3", self._note)

    def _note(self, model: Any, **_: Any) -> None:
        self.names.append(model.name)


def scan_all(cloud: "Cloud", tally: ScanTally, threads: int = 4) -> list[SessionGaps]:
    later = datetime.now(UTC) + timedelta(hours=1)
    quiet_for = timedelta(seconds=120)
    found = find_gaps(cloud.s3, cloud.settings.bucket, now=later, quiet_for=quiet_for, threads=threads, tally=tally)
    return list(found)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_bucket_is_scanned_user_by_user_with_list_calls_alone(cloud: "Cloud", threads: int) -> None:
    # given: 12 users, every third session complete, an odd object beside the users
    for number in range(12):
        for chunk in ("001", "002"):
            cloud.put_audio(f"user-{number:02d}", "s", chunk)
            if number % 3 == 0 or chunk == "001":
                cloud.put_transcript(f"user-{number:02d}", "s", chunk)
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="users/readme.txt", Body=b"")
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="elsewhere/chunk-001.webm", Body=b"")
    calls, tally = Calls(cloud.s3), ScanTally()
    # when
    found = scan_all(cloud, tally, threads)
    # then
    assert [s.user_id for s in found] == [f"user-{n:02d}" for n in range(12) if n % 3]
    assert all([gap.chunk for gap in s.gaps] == ["002"] for s in found)
    assert calls.names == ["ListObjectsV2"] * 13
    assert (tally.users, tally.sessions, tally.ignored_keys, tally.gaps) == (12, 12, 1, 8)
    assert tally.unfinished.count == 4


def test_a_session_of_several_listing_pages_is_compared_as_one(cloud: "Cloud") -> None:
    session = session_path("alice", "long")
    chunks = {f"{session}/chunk-{number:03d}.webm": b"audio" for number in range(1, 1101)}
    lay_out_objects(cloud.settings.bucket, chunks)
    cloud.put_transcript("alice", "long", "1100")
    tally = ScanTally()
    [found] = scan_all(cloud, tally)
    assert [gap.chunk for gap in found.gaps] == [f"{number:03d}" for number in range(1, 1100)]
    assert tally.sessions == 1


def test_odd_ids_survive_the_listing(cloud: "Cloud") -> None:
    cloud.put_audio("zoë & co", "mañana +100%", "001")
    [session] = scan_all(cloud, ScanTally())
    assert (session.user_id, session.session_id) == ("zoë & co", "mañana +100%")


def test_an_empty_bucket_has_no_gaps(cloud: "Cloud") -> None:
    tally = ScanTally()
    assert scan_all(cloud, tally) == []
    assert tally == ScanTally()
