"""Hints from a session's metadata: taken where they make sense, and never in the way of a job."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from consumer.sessions.hints import Hints, SessionHints
from shared.aws.retrying import Retrier
from shared.formats.layout import metadata_key, session_path
from shared.formats.messages import ChunkJob, chunk_job

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.consumer.conftest import Refuse

LONGEST = 1000


@dataclass(slots=True)
class Library:
    """The hints of sessions in the test cloud."""

    cloud: "Cloud"
    clock: "FakeClock"

    def open(self) -> SessionHints:
        settings = self.cloud.settings
        return SessionHints(self.cloud.s3, settings.bucket, Retrier(settings.retry_attempts, self.clock))

    def job(self, session: str = "s", chunk: int = 1) -> ChunkJob:
        key = f"{session_path('u', session)}/chunk-{chunk:03d}.webm"
        bucket = self.cloud.settings.bucket
        return chunk_job(bucket=bucket, audio_key=key, audio_size=1, enqueued_at=self.clock.now())

    def put(self, body: bytes, session: str = "s") -> None:
        key = metadata_key(session_path("u", session))
        self.cloud.s3.put_object(Bucket=self.cloud.settings.bucket, Key=key, Body=body)

    def hints(self, body: bytes) -> Hints:
        """What a worker that starts now takes from this metadata."""
        self.put(body)
        return self.open().of(self.job())


@pytest.fixture
def library(cloud: "Cloud", clock: "FakeClock") -> Library:
    return Library(cloud, clock)


def test_hotwords_are_a_list_or_one_text_and_the_prompt_is_a_text(library: Library) -> None:
    spelled: dict[str, tuple[dict[str, Any], Hints]] = {
        "list": ({"hotwords": ["Sydney Carton", "Manette"]}, Hints("Sydney Carton, Manette", None)),
        "text": ({"hotwords": "Carton, Manette"}, Hints("Carton, Manette", None)),
        "prompt": ({"initialPrompt": "A reading of Dickens."}, Hints(None, "A reading of Dickens.")),
        "both": ({"hotwords": ["Käß 語"], "initialPrompt": "Ünï"}, Hints("Käß 語", "Ünï")),
        "among others": ({"title": 7, "participants": [{"n": 1}], "hotwords": "a"}, Hints("a", None)),
        "blank": ({"hotwords": " ", "initialPrompt": "\n"}, Hints()),
        "empty": ({"hotwords": [], "initialPrompt": ""}, Hints()),
        "null": ({"hotwords": None, "initialPrompt": None}, Hints()),
        "neither": ({}, Hints()),
    }
    for name, (metadata, expected) in spelled.items():
        assert (name, library.hints(json.dumps(metadata).encode())) == (name, expected)


def test_only_what_is_text_in_a_list_of_words_is_one(library: Library) -> None:
    mixed = {"hotwords": ["Carton", None, 7, {"word": "no"}, ["nor"], " ", "Manette "]}
    assert library.hints(json.dumps(mixed).encode()) == Hints("Carton, Manette", None)


def test_metadata_that_makes_no_sense_gives_no_hints(library: Library) -> None:
    nonsense = [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"null",
        b"[1, 2]",
        b"5",
        b'"text"',
        b"[" * 100_000,
        b'{"hotwords": 5}',
        b'{"hotwords": {"a": "b"}}',
        b'{"initialPrompt": ["a"]}',
        b'{"initialPrompt": {"a": {"b": "c"}}}',
        b'{"hotwords": "\\ud800"}',
        b'{"hotwords": ' + b"[" * 150 + b"]" * 150 + b"}",
    ]
    assert [body for body in nonsense if library.hints(body) != Hints()] == []


def test_metadata_of_more_than_a_megabyte_is_not_looked_into(library: Library) -> None:
    assert library.hints(json.dumps({"hotwords": "a", "notes": "x" * 1_000_000}).encode()) == Hints("a", None)
    assert library.hints(json.dumps({"hotwords": "a", "notes": "x" * 2_000_000}).encode()) == Hints()


def test_a_session_without_metadata_has_no_hints(library: Library) -> None:
    assert library.open().of(library.job()) == Hints()


def test_a_text_that_is_too_long_is_cut(library: Library) -> None:
    words = [f"word{number}" for number in range(10_000)]
    hints = library.hints(json.dumps({"hotwords": words, "initialPrompt": "é" * 5000}).encode())
    assert hints == Hints(", ".join(words)[:LONGEST], "é" * LONGEST)


def test_s3_that_refuses_leaves_the_job_without_hints(library: Library, refuse: "Refuse") -> None:
    library.put(b'{"hotwords": "Carton"}')
    for code, status, tries in (("AccessDenied", 403, 1), ("SlowDown", 503, library.cloud.settings.retry_attempts)):
        refused = refuse(library.cloud.s3, "s3.GetObject", code, status, times=tries)
        assert library.open().of(library.job()) == Hints()
        assert refused() == tries
    # S3 is itself again, and so is a worker that starts now.
    assert library.open().of(library.job()) == Hints("Carton", None)


def test_an_error_that_passes_costs_no_hints(library: Library, refuse: "Refuse") -> None:
    library.put(b'{"hotwords": "Carton"}')
    refuse(library.cloud.s3, "s3.GetObject", "SlowDown", 503, times=1)
    assert library.open().of(library.job()) == Hints("Carton", None)


def test_the_metadata_of_each_session_is_read_once_from_however_many_threads(library: Library) -> None:
    reads: list[str] = []
    library.cloud.s3.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: reads.append(params["url_path"].split("/")[-2])
    )
    library.put(b'{"hotwords": "Carton"}', "one")
    hints, together = library.open(), threading.Barrier(6)

    def ask(number: int) -> Hints:
        together.wait(timeout=10)
        return hints.of(library.job(("one", "two")[number % 2], number))

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ask, range(6)))
    assert found == [Hints("Carton", None), Hints()] * 3
    assert sorted(reads) == ["one", "two"]
