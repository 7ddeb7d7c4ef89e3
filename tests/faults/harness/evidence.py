"""What a fault has left behind: a plain picture of the whole world, on which every invariant is judged.

It is only data, made by `tests.faults.harness.gather` from a fleet that has come to rest, or by hand in tests. Nothing
here reads, waits or judges.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from shared.aws.sqs import QueueDepth
from shared.formats.layout import transcript_key
from tests.faults.harness.journal import Entry
from tests.faults.harness.recorder import Hold

_RECORDER: Final = "recorder"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The truth about one recorded chunk.

    Attributes:
        session: the session path.
        chunk: the number as its key spells it.
        words: what its audio says, in order; `None` of real speech, which models hear differently.
        live: whether the recorder wrote its transcript, so that it is no gap.
        forced: whether somebody asked for it to be transcribed again.
        redriven: whether it was a dead letter that an operator has put back.
    """

    session: str
    chunk: str
    words: tuple[str, ...] | None
    live: bool = False
    forced: bool = False
    redriven: bool = False

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


@dataclass(frozen=True)
class Evidence:
    """Everything that an invariant may look at.

    Attributes:
        objects: every object of the bucket but audio, by key; of audio the key alone, with an empty body.
        depths: queue name -> counts; the dead-letter queue is not among them.
        logs: actor -> what its processes have written, all of them.
        left_alive: processes that did not end when they were asked to.
        expected_letters: reason -> how many chunks the fault must bring to the dead-letter queue with it.
        strays: keys of objects that others have put, which the fleet has to leave where and as they are.
    """

    chunks: tuple[Chunk, ...]
    objects: Mapping[str, bytes]
    depths: Mapping[str, QueueDepth] = field(default_factory=dict)
    letters: tuple[Letter, ...] = ()
    journal: tuple[Entry, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    exits: tuple[Exit, ...] = ()
    hosts: tuple[Host, ...] = ()
    holds: tuple[Hold, ...] = ()
    left_alive: tuple[str, ...] = ()
    expected_letters: Mapping[str, int] = field(default_factory=dict)
    strays: frozenset[str] = frozenset()

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
        for entry in self.by_fleet("s3:PutObject"):
            found[entry.call.target] = found.get(entry.call.target, 0) + successes(entry)
        return found

    def by_fleet(self, on: str) -> Iterator[Entry]:
        """The fleet's own calls of one operation; what a recorder did is left out."""
        return (entry for entry in self.journal if entry.call.on == on and not is_recorder(entry.call.actor))

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
    return actor.startswith(_RECORDER)


def successes(entry: Entry) -> int:
    """How often the cloud did what a call asked for, whatever its caller was told."""
    return sum(200 <= status < 300 for status in entry.carried_out)


def lost_answer(entry: Entry) -> bool:
    """Whether a call was carried out and its caller was not told so."""
    return entry.effective and not 200 <= entry.status < 300
