"""Finds the one session that a person means: by its path, by `user/session`, or by its id alone.

It never guesses: what is not exactly one session becomes an error that names the closest ones.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final

from shared.errors import ConfigurationError
from shared.formats.layout import USERS_PREFIX, session_path

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_USERS: Final = 20_000
_MAX_SESSIONS: Final = 20_000
_MAX_SUGGESTED: Final = 5
_THREADS: Final = 16
_AHEAD: Final = 512

OnSearched = Callable[[int], None]


class SessionUnknownError(ConfigurationError):
    """No session, or more than one, is what was asked for; the text names the closest ones."""


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session by its ids."""

    user_id: str
    session_id: str

    @property
    def path(self) -> str:
        return session_path(self.user_id, self.session_id)

    @property
    def name(self) -> str:
        return f"{self.user_id}/{self.session_id}"


def parse_session(text: str) -> FoundSession | str:
    """The session that `text` names with its user, or the session id that it consists of.

    Takes `users/U/audio/sessions/S` with anything after it and a bucket before it, `U/S`, or `S`.

    Raises:
        SessionUnknownError: it is none of these.
    """
    bare = text.split("/", 3)[-1] if text.startswith("s3://") else text
    match bare.strip("/").split("/"):
        case ["users", user, "audio", "sessions", session, *_] if user and session:
            return FoundSession(user, session)
        case [user, session] if user and session:
            return FoundSession(user, session)
        case [session] if session:
            return session
    raise SessionUnknownError(f"{text!r} is no session: give its id, USER/SESSION, or its path")


def find_session(s3: "S3Client", bucket: str, text: str, on_searched: OnSearched = lambda _: None) -> FoundSession:
    """The session that `text` means.

    By its id alone it takes one LIST a user, so this search is bounded.

    Args:
        on_searched: told how many users have been searched so far.

    Raises:
        SessionUnknownError: there is no such session, several users have one, or there are too many users to search.
        What boto3 raises otherwise.
    """
    asked = parse_session(text)
    if isinstance(asked, FoundSession):
        if _exists(s3, bucket, asked):
            return asked
        raise _unknown(asked.name, _beside(s3, bucket, asked))
    found = list(_starting_with(s3, bucket, asked, on_searched))
    exact = [session for session in found if session.session_id == asked]
    if len(exact) == 1:
        return exact[0]
    if exact:
        names = "\n".join(f"  {session.name}" for session in exact)
        raise SessionUnknownError(f"{len(exact)} users have a session {asked}; say which one:\n{names}")
    raise _unknown(asked, found or _all_sessions(s3, bucket))


def _exists(s3: "S3Client", bucket: str, session: FoundSession) -> bool:
    return s3.list_objects_v2(Bucket=bucket, Prefix=f"{session.path}/", MaxKeys=1)["KeyCount"] > 0


def _starting_with(s3: "S3Client", bucket: str, asked: str, on_searched: OnSearched) -> Iterator[FoundSession]:
    """Sessions of any user whose id is `asked` or begins with it."""

    def of_user(user: str) -> list[FoundSession]:
        # The very id comes first among those that begin with it only if none of the others has a character below `/`;
        # so it is asked for by itself.
        exact = FoundSession(user, asked)
        longer = islice(_sessions_of(s3, bucket, user, asked), _MAX_SUGGESTED)
        return list(dict.fromkeys([*([exact] if _exists(s3, bucket, exact) else []), *longer]))

    searched = 0
    users = _users(s3, bucket)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="find") as pool:
        while some := list(islice(users, _AHEAD)):
            if searched + len(some) > MAX_USERS:
                raise SessionUnknownError(
                    f"there are more than {MAX_USERS:,} users: give the session as USER/{asked}, or its path"
                )
            for found in pool.map(of_user, some):
                yield from found
            searched += len(some)
            on_searched(searched)


def _beside(s3: "S3Client", bucket: str, asked: FoundSession) -> list[FoundSession]:
    """Sessions that may have been meant: the user's own, or the same one of a user whose id is alike."""
    own = list(islice(_sessions_of(s3, bucket, asked.user_id), _MAX_SESSIONS))
    if own:
        return own
    users = get_close_matches(asked.user_id, list(islice(_users(s3, bucket), MAX_USERS)), n=_MAX_SUGGESTED)
    return [session for user in users for session in islice(_sessions_of(s3, bucket, user), 1000)]


def _all_sessions(s3: "S3Client", bucket: str) -> list[FoundSession]:
    users = islice(_users(s3, bucket), _MAX_SESSIONS)
    sessions = (session for user in users for session in islice(_sessions_of(s3, bucket, user), 1000))
    return list(islice(sessions, _MAX_SESSIONS))


def _users(s3: "S3Client", bucket: str) -> Iterator[str]:
    for prefix in _folders(s3, bucket, USERS_PREFIX):
        yield prefix.removeprefix(USERS_PREFIX).rstrip("/")


def _sessions_of(s3: "S3Client", bucket: str, user: str, beginning: str = "") -> Iterator[FoundSession]:
    folder = session_path(user, "")
    for prefix in _folders(s3, bucket, folder + beginning):
        yield FoundSession(user, prefix.removeprefix(folder).rstrip("/"))


def _folders(s3: "S3Client", bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        for common in page.get("CommonPrefixes", ()):
            yield common["Prefix"]


def _unknown(asked: str, others: Iterable[FoundSession]) -> SessionUnknownError:
    suggested = closest(asked, others)
    names = "\n".join(f"  {session.name}" for session in suggested)
    hint = f"; the closest are:\n{names}" if suggested else ", and none whose name is close to it"
    return SessionUnknownError(f"there is no session {asked}{hint}")


def closest(asked: str, others: Iterable[FoundSession]) -> list[FoundSession]:
    """The sessions whose names are most like `asked`, the likest first; those that begin with it come before all."""
    by_name = {(session.name if "/" in asked else session.session_id): session for session in others}
    beginning = [name for name in by_name if name.startswith(asked)]
    alike = get_close_matches(asked, by_name, n=_MAX_SUGGESTED, cutoff=0.6)
    return [by_name[name] for name in dict.fromkeys([*sorted(beginning), *alike])][:_MAX_SUGGESTED]
