"""What is fuzzed: a parser of the product behind one function that takes bytes, and where its inputs come from.

It is responsible for the words that all targets share; how inputs are made and judged is `mutation`'s and `judge`'s
business. A target must not know how many inputs it gets, nor from where.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis.strategies import SearchStrategy

Kind = Literal["bytes", "json", "text"]


class Violation(Exception):  # noqa: N818 - it is no error of a program but a verdict about one
    """The parser did what it promises not to do; the text says what."""


def require(holds: bool, promise: str) -> None:
    """Raise `Violation` unless the promise holds."""
    if not holds:
        raise Violation(promise)


@dataclass(frozen=True, slots=True)
class Target:
    """One parser and what it promises.

    Attributes:
        name: what the table and the folder of its regressions call it.
        samples: inputs that are accepted, or nearly so, as they occur in real life: mutations begin with them.
        structured: inputs that have the right form and odd contents.
        check: gives an input to the product; returns whether it was accepted (False: refused in a documented way).
            Whatever it raises is a failure, `Violation` where something wrong was returned.
        kind: which mutations make sense.
        tokens: pieces that a mutation may put in.
        share: of the inputs asked for each target, how many this one gets. Below 1 only where an input costs much
            (a decoder), or where the issue asks for no number.
    """

    name: str
    samples: Callable[[], Sequence[bytes]]
    structured: Callable[[], SearchStrategy[bytes]]
    check: Callable[[bytes], bool]
    kind: Kind
    tokens: tuple[bytes, ...] = ()
    share: float = 1.0
