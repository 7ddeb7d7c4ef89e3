from pathlib import PurePosixPath
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from bench.keyspace import KEYS_A_SESSION, Keyspace


def all_keys(keyspace: Keyspace) -> list[str]:
    return [keyspace.key(position) for position in range(len(keyspace))]


def test_five_hundred_users_make_a_million_keys_in_five_thousand_sessions() -> None:
    keyspace = Keyspace(500)

    assert (len(keyspace), keyspace.users, keyspace.sessions) == (1_000_000, 500, 5_000)


def test_the_keys_stand_in_utf8_order_and_none_twice() -> None:
    keys = all_keys(Keyspace(6))

    assert keys == sorted(set(keys), key=str.encode)


def test_no_key_is_changed_by_xml_or_by_url_encoding() -> None:
    keys = all_keys(Keyspace(6))

    assert all(quote(key, safe="/") == key == escape(key) for key in keys)


def test_the_expected_gaps_are_the_audio_chunks_without_a_transcript() -> None:
    keyspace = Keyspace(20)
    keys = set(all_keys(keyspace))

    missing = {
        key
        for key in keys
        if (path := PurePosixPath(key)).suffix == ".webm"
        and str(path.with_name(f"transcription-{path.stem}.json")) not in keys
    }

    assert missing
    assert {gap.key for gap in keyspace.expected_gaps()} == missing


def test_entries_over_a_session_border_carry_the_keys_of_their_positions() -> None:
    keyspace = Keyspace(4)
    positions = range(KEYS_A_SESSION - 2, 3 * KEYS_A_SESSION + 2)

    entries = list(keyspace.entries(positions))

    assert [entry.key for entry in entries] == [keyspace.key(position) for position in positions]


def test_expected_gaps_have_the_size_that_the_listing_shows() -> None:
    keyspace = Keyspace(2)
    sizes = {entry.key: entry.size for entry in keyspace.entries(range(len(keyspace)))}

    assert all(sizes[gap.key] == gap.size for gap in keyspace.expected_gaps())


def test_an_odd_number_of_users_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        Keyspace(3)


def test_the_sessions_that_are_said_to_lack_only_their_own_transcript_do() -> None:
    keyspace = Keyspace(20)
    names: dict[str, set[str]] = {}
    for key in all_keys(keyspace):
        names.setdefault(str(PurePosixPath(key).parent), set()).add(PurePosixPath(key).name)
    with_gaps = {gap.session_path for gap in keyspace.expected_gaps()}

    lacking = [path for path, found in names.items() if "transcription.json" not in found and path not in with_gaps]

    assert len(lacking) == keyspace.unfinished == 4
