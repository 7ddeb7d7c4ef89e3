"""When a fault strikes: rules over calls, and the switch that a script opens and closes.

What happens then is the effect's (effects.py). A rule's choice depends on the calls it has seen and on its own seeded
random numbers, never on the time of day.
"""

import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.faults.harness.call import Call
from tests.faults.harness.effects import (
    CONFLICT,
    DENIED,
    EC2_THROTTLED,
    EXPIRED_TOKEN,
    INTERNAL,
    NO_CAPACITY,
    PRECONDITION,
    SKEWED,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    UNAVAILABLE,
    Delay,
    DeliverTwice,
    Effect,
    Fail,
    Hang,
    Kill,
    Order,
    Reorder,
    Reset,
    Rewrite,
    StaleReceipt,
    Swallow,
    Then,
    Truncate,
    Twice,
)

# A fault is written with rules and effects side by side: both come from here.
__all__ = (
    "CONFLICT",
    "DENIED",
    "EC2_THROTTLED",
    "EXPIRED_TOKEN",
    "INTERNAL",
    "NO_CAPACITY",
    "PRECONDITION",
    "SKEWED",
    "SLOW_DOWN",
    "SQS_THROTTLED",
    "THROTTLED",
    "UNAVAILABLE",
    "Delay",
    "DeliverTwice",
    "Effect",
    "Fail",
    "Hang",
    "Kill",
    "Order",
    "Reorder",
    "Reset",
    "Rewrite",
    "Rule",
    "StaleReceipt",
    "Swallow",
    "Switch",
    "Then",
    "Truncate",
    "Twice",
    "matching",
)


class Switch:
    """Says when rules are in force; closed until opened. Safe to share by threads."""

    def __init__(self, *, opened: bool = False) -> None:
        self._event = threading.Event()
        if opened:
            self._event.set()

    @property
    def is_open(self) -> bool:
        return self._event.is_set()

    def open(self) -> None:
        """Put its rules in force."""
        self._event.set()

    def close(self) -> None:
        """Suspend its rules."""
        self._event.clear()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open for as long as the block lasts."""
        self.open()
        try:
            yield
        finally:
            self.close()


@dataclass(eq=False, slots=True)
class Rule:
    """One fault: which calls it strikes, and what it does to them.

    Attributes:
        on: `service:Operation`; `*` stands for anything, as in `s3:*`.
        actor: strikes calls of this one only.
        target: a regular expression that must be found in the call's target.
        nth: strikes only the n-th call that matches, from 1.
        times: strikes at most so often.
        probability: of each call that matches, drawn for each anew.
        during: strikes only while this is open; calls that come while it is closed are not counted either.
        where: asked of calls that match otherwise, for what shows only in their bodies.
        struck: how often it struck.
        last_strike: when it last struck, in monotonic seconds; `None` when it never did.
    """

    on: str
    effect: Effect
    actor: str | None = None
    target: str | None = None
    nth: int | None = None
    times: int | None = None
    probability: float = 1.0
    during: Switch | None = None
    where: Callable[[Call], bool] | None = None
    struck: int = field(default=0, init=False)
    last_strike: float | None = field(default=None, init=False)
    _seen: int = field(default=0, init=False, repr=False)
    _random: random.Random = field(default_factory=random.Random, init=False, repr=False)
    _deciding: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def seed(self, seed: str) -> None:
        """Make the draws repeat those of another run with the same seed."""
        self._random.seed(seed)

    def matches(self, call: Call) -> bool:
        """Whether the call is one that this rule is about; changes nothing."""
        return (
            matching(self.on, self.actor, self.target, call)
            and (self.during is None or self.during.is_open)
            and (self.where is None or self.where(call))
        )

    def strikes(self, call: Call, now: float) -> bool:
        """Decide on a call that came, at `now` in monotonic seconds, and count it."""
        if not self.matches(call):
            return False
        with self._deciding:
            self._seen += 1
            drawn = self._random.random() < self.probability  # drawn always: the next draw must not depend on limits
            spent = self.times is not None and self.struck >= self.times
            if spent or not drawn or self.nth not in (None, self._seen):
                return False
            self.struck += 1
            self.last_strike = now
            return True


def matching(on: str, actor: str | None, target: str | None, call: Call) -> bool:
    """Whether a call is named by `on`, made by `actor`, and `target` is found in its target; `None` takes any."""
    return (
        fnmatchcase(call.on, on)
        and actor in (None, call.actor)
        and (target is None or re.search(target, call.target) is not None)
    )
