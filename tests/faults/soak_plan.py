"""What happens in a soak, and when: drawn ahead from one seed, so that a soak can be replayed.

Pure: the same seed, length and number of workers always give the same plan. Carrying it out is the business of
`soak_course`; what the machine's speed makes of it is not in the plan. What the kinds of blows do is in `soak_blows`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from tests.faults.soak_blows import DEEDS, RULES


@dataclass(frozen=True, slots=True)
class Recording:
    """Chunks of a session are stored; times are seconds from the soak's start.

    Attributes:
        first, last: the numbers of its chunks. A session can be recorded in several parts.
        live: those that the live path has transcribed; never all of them.
    """

    at: float
    user: str
    session: str
    first: int
    last: int
    live: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blow:
    """Something goes wrong.

    Attributes:
        kind: one of `DEEDS` or of `RULES`.
        worker: whom it concerns; rules that strike everybody take no notice.
        seconds: how long it lasts, or how much time a spot notice gives.
        share: of the calls that a rule strikes, 0 to 1.
    """

    at: float
    kind: str
    worker: int
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A soak, in the order of time."""

    seed: int
    seconds: float
    recordings: tuple[Recording, ...]
    blows: tuple[Blow, ...]


# Seconds between two; all are drawn evenly from their range.
_BETWEEN_BLOWS: Final = (1.0, 6.0)
_BETWEEN_PARTS: Final = (1.0, 8.0)
_IN_A_BURST: Final = (0.0, 1.0)
# Long enough for instances to stop, and for the next work to meet them while they do.
_LULL: Final = (5.0, 45.0)
_MAX_CHUNKS: Final = {"steady": 30, "burst": 80}
_MAX_PARTS: Final = {"steady": 8, "burst": 4}


def plan(seed: int, seconds: float, workers: int) -> Plan:
    """The soak of a seed.

    Args:
        seconds: how long recordings come and things go wrong.
        workers: their number; blows name one of them.
    """
    draw = random.Random(seed)
    return Plan(seed, seconds, tuple(_recordings(draw, seconds)), tuple(_blows(draw, seconds, workers)))


def _recordings(draw: random.Random, seconds: float) -> Iterator[Recording]:
    """Steady work, bursts and lulls, in any order; there is work from the first second on."""
    recorded: dict[tuple[str, str], int] = {}
    at = 0.0
    while at < seconds:
        weather = draw.choice(("steady", "burst"))
        for _ in range(draw.randint(1, _MAX_PARTS[weather])):
            if at >= seconds:
                return
            yield _part(draw, at, recorded, draw.randint(1, _MAX_CHUNKS[weather]))
            at += draw.uniform(*(_IN_A_BURST if weather == "burst" else _BETWEEN_PARTS))
        at += draw.uniform(*_LULL) if draw.random() < 0.5 else 0.0


def _part(draw: random.Random, at: float, recorded: dict[tuple[str, str], int], chunks: int) -> Recording:
    """A new session, or more of one that is there; `recorded` has each session's last chunk."""
    if recorded and draw.random() < 0.2:
        user, session = draw.choice(sorted(recorded))
    else:
        user, session = f"user-{draw.randint(1, 5)}", f"session-{len(recorded) + 1}"
    first = recorded.get((user, session), 0) + 1
    last = recorded[user, session] = first + chunks - 1
    gap = draw.randint(first, last)
    live = tuple(number for number in range(first, last + 1) if draw.random() < 0.2 and number != gap)
    return Recording(round(at, 2), user, session, first, last, live)


def _blows(draw: random.Random, seconds: float, workers: int) -> Iterator[Blow]:
    """Each kind once before any comes again, so that a soak of some length brings all of them, and in mixed company."""
    at = draw.uniform(*_BETWEEN_BLOWS)
    for _ in count():
        for kind in draw.sample(kinds := (*DEEDS, *RULES), len(kinds)):
            if at >= seconds:
                return
            yield Blow(
                at=round(at, 2),
                kind=kind,
                worker=draw.randint(1, workers),
                seconds=round(draw.uniform(1.0, 10.0), 2),
                share=round(draw.uniform(0.05, 0.4), 2),
            )
            at += draw.uniform(*_BETWEEN_BLOWS)
