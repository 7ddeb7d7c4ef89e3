"""Which session a person means."""

from typing import TYPE_CHECKING

import pytest

from producer.operator.sessions import find
from producer.operator.sessions.find import FoundSession, SessionUnknownError, closest, find_session, parse_session

if TYPE_CHECKING:
    from tests.conftest import Cloud

S1 = FoundSession("alice", "s1")


@pytest.mark.parametrize(
    "text",
    [
        "alice/s1",
        "users/alice/audio/sessions/s1",
        "users/alice/audio/sessions/s1/",
        "users/alice/audio/sessions/s1/chunk-001.webm",
        "s3://recordings/users/alice/audio/sessions/s1/",
    ],
)
def test_a_session_named_with_its_user_is_taken_as_it_is(text: str) -> None:
    assert parse_session(text) == S1


@pytest.mark.parametrize("text", ["", "/", "a/b/c", "users/alice/audio"])
def test_what_names_no_session_is_refused(text: str) -> None:
    with pytest.raises(SessionUnknownError, match="is no session"):
        parse_session(text)


def test_a_session_is_found_by_its_id_alone(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.put_audio("bob", "s10", "001")
    searched: list[int] = []
    assert find_session(cloud.s3, "recordings", "s1", searched.append) == S1
    assert searched == [2]


def test_an_id_that_begins_others_is_found_among_many_of_them(cloud: "Cloud") -> None:
    # `s1-…` sorts before `s1/`, so the very id is not the first that a listing tells
    for number in range(10):
        cloud.put_audio("alice", f"s1-{number}", "001")
    cloud.put_audio("alice", "s1", "001")
    assert find_session(cloud.s3, "recordings", "s1") == S1


def test_an_id_that_several_users_have_names_them_all(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.put_audio("bob", "s1", "001")
    with pytest.raises(SessionUnknownError, match=r"2 users have a session s1(?s:.*)alice/s1\n  bob/s1"):
        find_session(cloud.s3, "recordings", "s1")


def test_an_unknown_id_is_answered_with_the_closest_ones(cloud: "Cloud") -> None:
    for session in ("meeting-2026-03-01", "meeting-2026-03-02", "unrelated"):
        cloud.put_audio("alice", session, "001")
    with pytest.raises(SessionUnknownError) as error:
        find_session(cloud.s3, "recordings", "meting-2026-03-01")
    assert "alice/meeting-2026-03-01\n  alice/meeting-2026-03-02" in str(error.value)
    assert "unrelated" not in str(error.value)


def test_the_beginning_of_an_id_is_no_session_but_names_those_that_begin_so(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "2f9c-and-more", "001")
    with pytest.raises(SessionUnknownError, match="alice/2f9c-and-more"):
        find_session(cloud.s3, "recordings", "2f9c")


def test_a_mistyped_user_is_answered_with_the_one_who_has_the_session(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "s1", "001")
    with pytest.raises(SessionUnknownError, match="alice/s1"):
        find_session(cloud.s3, "recordings", "alise/s1")


def test_an_unknown_session_of_a_user_is_answered_with_their_own(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "meeting-1", "001")
    cloud.put_audio("bob", "meeting-2", "001")
    with pytest.raises(SessionUnknownError) as error:
        find_session(cloud.s3, "recordings", "alice/meeting-2")
    assert "alice/meeting-1" in str(error.value)
    assert "bob" not in str(error.value)


def test_in_an_empty_bucket_there_is_none_that_is_close(cloud: "Cloud") -> None:
    with pytest.raises(SessionUnknownError, match="none whose name is close"):
        find_session(cloud.s3, "recordings", "s1")


def test_the_search_by_id_is_bounded(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MAX_USERS", 2)
    for user in ("a", "b", "c"):
        cloud.put_audio(user, "s1", "001")
    with pytest.raises(SessionUnknownError, match="USER/s1"):
        find_session(cloud.s3, "recordings", "s1")


def test_ids_of_any_characters_are_found(cloud: "Cloud") -> None:
    cloud.put_audio("al ice+[b]", "s=1 é&%2F", "001")
    assert find_session(cloud.s3, "recordings", "s=1 é&%2F") == FoundSession("al ice+[b]", "s=1 é&%2F")


def test_those_that_begin_with_what_was_asked_come_first() -> None:
    others = [FoundSession("u", "session-9"), FoundSession("u", "sessoin-1"), FoundSession("u", "session-10")]
    found = [each.session_id for each in closest("session-1", others)]
    assert found[0] == "session-10"
    assert set(found) == {"session-10", "session-9", "sessoin-1"}
