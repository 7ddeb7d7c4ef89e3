"""Keys: everything that the layout allows is understood as it is spelled, and everything else is left out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.layout import (
    AUDIO_EXTENSIONS,
    MAX_KEY_BYTES,
    chunk_order,
    is_chunk,
    metadata_key,
    parse_key,
    report_stem,
    session_path,
    sibling_audio_keys,
    transcript_key,
)

ids = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=40)
numbers = st.text("0123456789", min_size=1, max_size=12)


@given(user=ids, session=ids, chunk=numbers, ext=st.sampled_from(AUDIO_EXTENSIONS))
def test_an_audio_key_is_read_back_as_it_was_built(user: str, session: str, chunk: str, ext: str) -> None:
    parsed = parse_key(f"{session_path(user, session)}/chunk-{chunk}.{ext}")

    assert parsed is not None
    assert (parsed.user_id, parsed.session_id) == (user, session)
    assert parsed.session_path == session_path(user, session)
    assert (parsed.audio_chunk, parsed.transcript_chunk) == (chunk, None)


@given(user=ids, session=ids, chunk=numbers)
def test_a_transcript_key_is_read_back_as_it_was_built(user: str, session: str, chunk: str) -> None:
    parsed = parse_key(transcript_key(session_path(user, session), chunk))

    assert parsed is not None
    assert (parsed.user_id, parsed.session_id) == (user, session)
    assert (parsed.audio_chunk, parsed.transcript_chunk) == (None, chunk)


@given(st.text())
def test_no_text_makes_the_parser_fail(key: str) -> None:
    parse_key(key)
    parse_key(f"users/{key}")


@pytest.mark.parametrize(
    "odd", ["ünï", "ユーザー", "a b", "line\nbreak", ".", "..", "a.b", "chunk-001.webm", "100%", "a+b", "'\"<>&", "#?"]
)
def test_odd_ids_are_taken_as_they_are(odd: str) -> None:
    parsed = parse_key(f"users/{odd}/audio/sessions/{odd}/chunk-007.webm")

    assert parsed is not None
    assert (parsed.user_id, parsed.session_id, parsed.audio_chunk) == (odd, odd, "007")


@pytest.mark.parametrize("name", ["transcription.json", "transcription.srt", "metadata.json"])
def test_other_objects_of_a_session_fit_and_are_no_chunk(name: str) -> None:
    parsed = parse_key(f"users/u/audio/sessions/s/{name}")

    assert parsed is not None
    assert (parsed.audio_chunk, parsed.transcript_chunk) == (None, None)


@pytest.mark.parametrize(
    "name",
    [
        "chunk-.webm",
        "chunk-\u0661\u0662.webm",
        "chunk-\uff11\uff12.webm",
        "chunk-1²3.webm",
        "chunk-12a.webm",
        "chunk--1.webm",
        "chunk-001.exe",
        "chunk-001.webm\n",
        "chunk-001.webm.tmp",
        "chunk-001",
        "xchunk-001.webm",
        "transcription-chunk-001.txt",
        "transcription-chunk-\u0661.json",
        "notes.txt",
        "",
        "deeper/chunk-001.webm",
    ],
)
def test_a_name_that_does_not_fit_is_no_key_of_ours(name: str) -> None:
    assert parse_key(f"users/u/audio/sessions/s/{name}") is None


@pytest.mark.parametrize(
    "key",
    [
        "users//audio/sessions/s/chunk-001.webm",
        "users/u/audio/sessions//chunk-001.webm",
        "users/u/sessions/s/chunk-001.webm",
        "xusers/u/audio/sessions/s/chunk-001.webm",
        "/users/u/audio/sessions/s/chunk-001.webm",
    ],
)
def test_a_path_that_does_not_fit_is_no_key_of_ours(key: str) -> None:
    assert parse_key(key) is None


def test_spellings_of_one_number_are_different_chunks_beside_each_other() -> None:
    path = session_path("u", "s")

    assert transcript_key(path, "1") != transcript_key(path, "001")
    assert sorted(["10", "9", "001", "1", "1234"], key=chunk_order) == ["001", "1", "9", "10", "1234"]


@pytest.mark.parametrize(
    ("text", "is_one"), [("1", True), ("007", True), ("", False), ("-1", False), ("\u0661", False)]
)
def test_a_chunks_number_is_of_plain_digits(text: str, is_one: bool) -> None:
    assert is_chunk(text) is is_one


def test_the_metadata_of_a_session_stands_in_its_folder() -> None:
    key = metadata_key(session_path("u", "s"))

    assert key == "users/u/audio/sessions/s/metadata.json"
    assert parse_key(key) is not None


@pytest.mark.parametrize(
    ("spelled", "number", "siblings"),
    [
        ("001", 2, ["002"]),
        ("002", 1, ["001"]),
        ("099", 100, ["100"]),
        ("100", 99, ["099", "99"]),
        ("999", 1000, ["1000"]),
        ("1000", 999, ["999", "0999"]),
        ("1000", 9, ["009", "0009", "9"]),
        ("0999", 1000, ["1000"]),
        ("1", 2, ["2"]),
        ("9", 10, ["10"]),
        ("10", 9, ["09", "9"]),
        ("10", 11, ["11"]),
        ("09", 10, ["10"]),
        ("0", 1, ["1"]),
        ("000", 1, ["001"]),
        ("00009", 10, ["00010"]),
    ],
)
def test_a_sibling_is_looked_for_under_every_spelling_that_its_recorder_can_use(
    spelled: str, number: int, siblings: list[str]
) -> None:
    folder = session_path("u", "s")

    found = sibling_audio_keys(f"{folder}/chunk-{spelled}.webm", number)

    assert found == [f"{folder}/chunk-{sibling}.webm" for sibling in siblings]


@given(
    number=st.integers(0, 10**6),
    other=st.integers(0, 10**6),
    width=st.sampled_from([1, 3]),
    ext=st.sampled_from(AUDIO_EXTENSIONS),
)
def test_a_recorder_that_pads_to_three_digits_or_not_at_all_finds_all_its_siblings(
    number: int, other: int, width: int, ext: str
) -> None:
    keys = [f"{session_path('u', 's')}/chunk-{each:0{width}d}.{ext}" for each in (number, other)]

    assert keys[1] in sibling_audio_keys(keys[0], other)


@given(user=ids, session=ids, chunk=numbers, number=st.integers(0, 10**6), ext=st.sampled_from(AUDIO_EXTENSIONS))
def test_siblings_are_audio_of_the_number_asked_for_in_the_same_session_each_named_once(
    user: str, session: str, chunk: str, number: int, ext: str
) -> None:
    siblings = sibling_audio_keys(f"{session_path(user, session)}/chunk-{chunk}.{ext}", number)

    assert len(set(siblings)) == len(siblings)
    for sibling in siblings:
        parsed = parse_key(sibling)
        assert parsed is not None
        assert parsed.session_path == session_path(user, session)
        assert int(parsed.audio_chunk or -1) == number
        assert sibling.endswith(f".{ext}")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "notes.txt",
        "users/u/audio/sessions/s/metadata.json",
        "users/u/audio/sessions/s/transcription-chunk-001.json",
    ],
)
def test_what_is_no_audio_has_no_siblings(key: str) -> None:
    with pytest.raises(ValueError, match="not the key of a chunk's audio"):
        sibling_audio_keys(key, 1)


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_audio_fits_as_long_as_its_transcript_can_have_a_key(letter: str) -> None:
    room = MAX_KEY_BYTES - len(transcript_key(session_path("u", ""), "001").encode())
    width = len(letter.encode())
    longest = letter * (room // width) + "x" * (room % width)

    assert parse_key(f"{session_path('u', longest)}/chunk-001.webm") is not None
    assert parse_key(f"{session_path('u', longest + 'x')}/chunk-001.webm") is None


def test_a_report_is_named_by_its_start_in_utc_its_instance_and_its_copy() -> None:
    started = datetime(2026, 1, 2, 3, 4, 59, tzinfo=UTC)

    assert report_stem(started) == "batch-2026-01-02-0304"
    assert report_stem(started, "i-0abc") == "batch-2026-01-02-0304-i-0abc"
    assert report_stem(started, "i-0abc", 2) == "batch-2026-01-02-0304-i-0abc-2"
    assert report_stem(started.astimezone(timezone(timedelta(hours=9)))) == "batch-2026-01-02-0304"
