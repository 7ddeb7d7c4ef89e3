"""Which chunks a re-run is about, and what of a session can be called off."""

from datetime import UTC, datetime

import pytest

from producer.operator.cancel import candidates
from producer.operator.rerun.selection import ChunkRequest, choose
from producer.operator.sessions.chunk_ranges import parse_chunks, ranges
from producer.operator.sessions.history import history_key, settled
from shared.formats.layout import parse_key
from shared.session.folder import SessionFolder, StoredObject

PATH = "users/u/audio/sessions/s"
EARLY, LATE = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


def folder(audio: str, transcripts: str = "") -> SessionFolder:
    """A folder with these chunks, given as spelled and separated by spaces."""
    made = SessionFolder(PATH, "u", "s")
    for chunk in audio.split():
        made.audio[chunk] = StoredObject(f"{PATH}/chunk-{chunk}.webm", 10, "a", EARLY)
    for chunk in transcripts.split():
        made.transcripts[chunk] = StoredObject(f"{PATH}/transcription-chunk-{chunk}.json", 10, "t", EARLY)
    return made


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1", (1,)), ("1,7-9", (1, 7, 8, 9)), (" 3 , 1 - 2 ", (1, 2, 3)), ("007", (7,)), ("2,2,1-2", (1, 2))],
)
def test_a_list_of_chunks_is_read(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_chunks(text) == numbers


@pytest.mark.parametrize("text", ["", "1,,2", "a", "1-", "-1", "9-7", "1.5", "0-99999999", "\u0661"])
def test_what_is_no_list_of_chunks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        parse_chunks(text)


def test_without_a_word_it_is_the_gaps() -> None:
    assert choose(folder("001 002 003", "002"), ChunkRequest()).run == ("001", "003")


def test_chunks_with_a_transcript_are_left_alone_unless_forced() -> None:
    recording = folder("001 002 003", "002")
    asked = choose(recording, ChunkRequest(numbers=(1, 2)))
    assert (asked.run, asked.left) == (("001",), ("002",))
    assert choose(recording, ChunkRequest(numbers=(1, 2), force=True)).run == ("001", "002")
    assert choose(recording, ChunkRequest(everything=True)).left == ("002",)
    assert choose(recording, ChunkRequest(everything=True, force=True)).run == ("001", "002", "003")


def test_a_number_means_the_chunk_however_it_is_spelled() -> None:
    assert choose(folder("1 001 02 1000"), ChunkRequest(numbers=(1, 2, 1000))).run == ("001", "1", "02", "1000")


def test_numbers_without_audio_are_named() -> None:
    assert choose(folder("001 003"), ChunkRequest(numbers=(1, 2, 5))).without_audio == (2, 5)


def test_failed_are_those_of_the_ledger() -> None:
    assert choose(folder("001 002 003", "003"), ChunkRequest(failed=True), {"002", "003", "009"}).run == ("002",)


def test_a_session_without_audio_has_nothing_to_run() -> None:
    assert choose(folder("", "001"), ChunkRequest(everything=True, force=True)).run == ()


def test_numbers_are_shortened_for_people() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


def test_the_history_fits_no_part_of_the_layout_that_scans_read() -> None:
    assert parse_key(history_key(PATH, "rerun-20260301T000000Z", "001")) is None


def test_a_copy_is_settled_only_by_a_transcript_that_is_newer() -> None:
    made = folder("001 002 003", "002")
    for chunk in ("001", "002", "003"):
        made.others.append(StoredObject(history_key(PATH, "rerun-1", chunk), 10, "h", EARLY))
    made.transcripts["003"] = StoredObject(f"{PATH}/transcription-chunk-003.json", 10, "t", LATE)
    assert settled(made) == [history_key(PATH, "rerun-1", "003")]  # 001 has none, 002 the one that was copied


def test_gaps_and_jobs_can_be_called_off_and_failures_cannot() -> None:
    rows = {
        "001": {"status": "queued"},
        "002": {"status": "completed"},
        "003": {"status": "failed"},
        "005": {"status": "processing"},
        "006": {"status": "queued"},  # a forced one, of a chunk that has a transcript
    }
    found = candidates(folder("001 002 003 004 005 006", "002 006"), rows, None)
    assert (found.cancel, found.failed) == (("001", "004", "005", "006"), ("003",))
    assert candidates(folder("001 002", "002"), rows, (1, 2, 9)).without == (2, 9)
