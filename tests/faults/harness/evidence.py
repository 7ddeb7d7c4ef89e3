"""What a fault has left behind: a plain picture of the whole world, on which every invariant is judged.

It is only data, made by `tests.faults.harness.gather` from a fleet that has come to rest, or by hand in tests. Nothing
here reads, waits or judges.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import Any

from shared.layout import transcript_key
from shared.queues import QueueDepth
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Chunk:
    """The truth about one recorded chunk.

    Attributes:
        session: the session path.
        chunk: the number as its key spells it.
        words: what its audio says, in order.
        live: whether the recorder wrote its transcript, so that it is no gap.
        forced: whether somebody asked for it to be transcribed again.
        fails_with: the reason with which it has to end on the dead-letter queue; empty for audio that can be heard.
    """

    session: str
    chunk: str
    words: tuple[str, ...]
    live: bool = False
    forced: bool = False
    fails_with: str = ""

    @property
    def transcript_key(self) -> str:
        return transcript_key(self.session, self.chunk)

    @property
    def is_job(self) -> bool:
        """Whether the fleet has something to do about it."""
        return self.forced or not self.live

    def __str__(self) -> str:
        return f"{self.session.rpartition('/')[2]}/{self.chunk}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the cloud, as the proxy saw it; times are monotonic seconds of the machine.

    Attributes:
        on: service and operation, such as `s3:PutObject`.
        target: the S3 key, queue, table or instance.
        statuses: what the cloud answered, an entry each time the request was carried out.
        answered: the status that the caller got; `None` when it got no whole answer.
        struck: whether a fault was injected.
    """

    at: float
    ended: float
    actor: str
    on: str
    target: str
    statuses: tuple[int, ...] = (200,)
    answered: int | None = 200
    struck: bool = False

    @property
    def successes(self) -> int:
        """How often the cloud did what was asked."""
        return sum(200 <= status < 300 for status in self.statuses)

    @property
    def lost_answer(self) -> bool:
        """Whether it was done and its caller was not told so."""
        return bool(self.successes) and not (self.answered is not None and 200 <= self.answered < 300)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the dead-letter queue; session path and chunk are empty where its body names none."""

    session: str
    chunk: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: exit status, or the negative number of the signal that killed it."""

    actor: str
    status: int


@dataclass(frozen=True, slots=True)
class Host:
    """An instance at the end; `bound_seconds` is how long it may run on once there is nothing to do."""

    instance_id: str
    state: str
    owned: bool
    idle_seconds: float
    bound_seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """A span, in monotonic seconds, in which a live session held the lock."""

    begin: float
    end: float = inf


@dataclass(frozen=True)
class Evidence:
    """Everything that an invariant may look at.

    Attributes:
        objects: every object of the bucket but audio, by key; of audio the key alone, with an empty body.
        depths: queue name -> counts; the dead-letter queue is not among them.
        logs: actor -> what its processes have written, all of them.
        left_alive: processes that did not end when they were asked to.
        expected_letters: reason -> how many chunks the fault must bring to the dead-letter queue with it.
        foreign_letters: dead letters that are about no chunk of `chunks`, which the fault is expected to leave.
    """

    settings: Settings
    chunks: tuple[Chunk, ...]
    objects: Mapping[str, bytes]
    depths: Mapping[str, QueueDepth] = field(default_factory=dict)
    letters: tuple[Letter, ...] = ()
    requests: tuple[Request, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    exits: tuple[Exit, ...] = ()
    hosts: tuple[Host, ...] = ()
    holds: tuple[Hold, ...] = ()
    left_alive: tuple[str, ...] = ()
    expected_letters: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def jobs(self) -> tuple[Chunk, ...]:
        return tuple(chunk for chunk in self.chunks if chunk.is_job)

    @cached_property
    def sessions(self) -> Mapping[str, tuple[Chunk, ...]]:
        """Session path -> its chunks, in order."""
        found: dict[str, list[Chunk]] = {}
        for chunk in sorted(self.chunks, key=lambda chunk: (chunk.session, int(chunk.chunk))):
            found.setdefault(chunk.session, []).append(chunk)
        return {session: tuple(chunks) for session, chunks in found.items()}

    @cached_property
    def lettered(self) -> Mapping[tuple[str, str], tuple[Letter, ...]]:
        """Session path and chunk -> its dead letters."""
        found: dict[tuple[str, str], tuple[Letter, ...]] = {}
        for letter in self.letters:
            found[letter.session, letter.chunk] = (*found.get((letter.session, letter.chunk), ()), letter)
        return found

    @cached_property
    def publications(self) -> Mapping[str, int]:
        """Key -> how often the fleet has written it with effect."""
        found: dict[str, int] = {}
        for request in self.requests:
            if request.on == "s3:PutObject" and request.successes and not is_recorder(request.actor):
                found[request.target] = found.get(request.target, 0) + request.successes
        return found

    def events(self, actor: str) -> Iterator[dict[str, Any]]:
        """The events of an actor's log; lines that are none are left out."""
        for line in self.logs.get(actor, "").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def is_recorder(actor: str) -> bool:
    """Whether an actor plays the recording side, which alone may touch the lock and audio."""
    return actor.startswith("recorder")
