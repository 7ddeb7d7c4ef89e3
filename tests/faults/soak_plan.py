"""What happens in a soak, and when: drawn ahead from one seed, so that a soak can be replayed.

Pure: the same seed, length and number of workers always give the same plan. Carrying it out is `soak`'s business; what
the machine's speed makes of it is not in the plan.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.layout import LOCK_KEY
from tests.faults.harness.effects import (
    CONFLICT,
    INTERNAL,
    NO_CAPACITY,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    Delay,
    DeliverTwice,
    Order,
    Reorder,
    Reset,
    StaleReceipt,
    Swallow,
    Truncate,
    Twice,
)
from tests.faults.harness.rules import Rule

# Faults of the lock's object are a kind of their own, as the recorder's calls would be struck, too.
_NOT_THE_LOCK: Final = rf"^(?!{LOCK_KEY})"
_RECORDING: Final = "^users/"


@dataclass(frozen=True, slots=True)
class Recording:
    """A session is stored; times are seconds from the soak's start.

    Attributes:
        chunks: how many it has, numbered from 1.
        live: those that the live path has transcribed.
    """

    at: float
    user: str
    session: str
    chunks: int
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


DEEDS: Final = ("kill", "terminate", "pause", "live-session", "spot-notice")
"""What is done to processes, hosts and the lock."""

RULES: Final[Mapping[str, Callable[[str, float], Rule]]] = {
    "s3-slow-down": lambda _, share: Rule("s3:*", SLOW_DOWN, target=_NOT_THE_LOCK, probability=share),
    "s3-internal-error": lambda _, share: Rule("s3:*", INTERNAL, target=_NOT_THE_LOCK, probability=share),
    "s3-delay": lambda _, share: Rule("s3:*", Delay(2 * share), target=_NOT_THE_LOCK, probability=0.5),
    "s3-reset": lambda _, share: Rule("s3:*", Reset(), target=_NOT_THE_LOCK, probability=share),
    "s3-answer-lost": lambda _, share: Rule("s3:PutObject", Reset(after=True), target=_RECORDING, probability=share),
    "s3-put-twice": lambda _, share: Rule("s3:PutObject", Twice("last"), target=_RECORDING, probability=share),
    "s3-conflict": lambda _, share: Rule("s3:PutObject", CONFLICT, target=_RECORDING, probability=share),
    "s3-truncated": lambda _, share: Rule("s3:GetObject", Truncate(200), target=_RECORDING, probability=share),
    "s3-reorder": lambda _, share: Rule("s3:PutObject", Reorder(), target=_RECORDING, probability=share),
    "lock-unreadable": lambda actor, share: Rule("s3:GetObject", INTERNAL, actor, LOCK_KEY, probability=share),
    "sqs-throttled": lambda actor, share: Rule("sqs:*", SQS_THROTTLED, actor, probability=share),
    "sqs-reset": lambda actor, share: Rule("sqs:*", Reset(), actor, probability=share),
    "sqs-answer-lost": lambda actor, share: Rule("sqs:*", Reset(after=True), actor, probability=share),
    "sqs-delay": lambda actor, share: Rule("sqs:*", Delay(2 * share), actor, probability=0.5),
    "delivered-twice": lambda actor, share: Rule("sqs:ReceiveMessage", DeliverTwice(), actor, probability=share),
    "stale-receipt": lambda actor, share: Rule("sqs:DeleteMessage", StaleReceipt(), actor, probability=share),
    "ledger-away": lambda _, __: Rule("dynamodb:*", INTERNAL),
    "ledger-throttled": lambda _, share: Rule("dynamodb:*", THROTTLED, probability=share),
    "start-refused": lambda _, __: Rule("ec2:StartInstances", NO_CAPACITY),
    "stop-ignored": lambda _, share: Rule("ec2:StopInstances", Swallow(), probability=share),
    "model-hangs": lambda actor, _: Rule("model:TranscribeBegin", Order("hang"), actor, times=1),
    "model-crashes": lambda actor, _: Rule("model:TranscribeBegin", Order("crash"), actor, times=1),
    "model-out-of-memory": lambda actor, _: Rule("model:TranscribeBegin", Order("memory"), actor, times=1),
    "model-broken": lambda actor, _: Rule("model:TranscribeBegin", Order("broken"), actor, times=1),
    "window-fails": lambda actor, _: Rule("model:TranscribeBegin", Order("window"), actor, times=2),
}
"""Kind -> the rule for an actor and a share of the calls."""

# Seconds between two; both are drawn evenly from the range.
_BETWEEN_RECORDINGS: Final = (4.0, 20.0)
_BETWEEN_BLOWS: Final = (3.0, 12.0)
_MOST_CHUNKS: Final = 60


def plan(seed: int, seconds: float, workers: int) -> Plan:
    """The soak of a seed.

    Args:
        seconds: how long recordings come and things go wrong.
        workers: their number; blows name one of them.
    """
    draw = random.Random(seed)
    return Plan(seed, seconds, tuple(_recordings(draw, seconds)), tuple(_blows(draw, seconds, workers)))


def _recordings(draw: random.Random, seconds: float) -> list[Recording]:
    found: list[Recording] = []
    at = 0.0  # there is work from the first second on
    while at < seconds:
        chunks = draw.randint(1, _MOST_CHUNKS)
        live = tuple(n for n in range(1, chunks + 1) if draw.random() < 0.2)
        user = f"user-{draw.randint(1, 5)}"
        found.append(Recording(round(at, 2), user, f"session-{len(found) + 1}", chunks, live))
        at += draw.uniform(*_BETWEEN_RECORDINGS)
    return found


def _blows(draw: random.Random, seconds: float, workers: int) -> list[Blow]:
    kinds = (*DEEDS, *DEEDS, *RULES)  # what is done to processes comes twice as often as any one rule
    found: list[Blow] = []
    at = draw.uniform(*_BETWEEN_BLOWS)
    while at < seconds:
        found.append(
            Blow(
                at=round(at, 2),
                kind=draw.choice(kinds),
                worker=draw.randint(1, workers),
                seconds=round(draw.uniform(1.0, 10.0), 2),
                share=round(draw.uniform(0.05, 0.4), 2),
            )
        )
        at += draw.uniform(*_BETWEEN_BLOWS)
    return found
