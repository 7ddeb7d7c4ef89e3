"""Gives inputs to a target, tells what each came to, and puts failures of one cause together."""

import traceback
from dataclasses import dataclass, field
from typing import Final

from tests.faults.fuzz.budget import TooMuchWorkError, bounded
from tests.faults.fuzz.shrink import shrunk
from tests.faults.fuzz.target import Target

_SHRINKING_TRIES: Final = 600
# Each try of what takes too long takes long.
_SHRINKING_TRIES_OF_LONG_ONES: Final = 12


@dataclass(frozen=True, slots=True)
class Cause:
    """What failed and where: inputs that fail in the same way have the same cause."""

    error: str
    where: str


@dataclass(slots=True)
class Failure:
    """One cause, and the smallest input that is known to show it.

    Attributes:
        inputs: how many failed so.
        said: the error's own text for the first of them.
    """

    cause: Cause
    data: bytes
    said: str
    inputs: int = 1


@dataclass(slots=True)
class Tally:
    """What the inputs given to a target came to."""

    target: Target
    accepted: int = 0
    refused: int = 0
    failures: dict[Cause, Failure] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + sum(failure.inputs for failure in self.failures.values())

    def take(self, data: bytes) -> None:
        """Give `data` to the target and count what comes of it."""
        try:
            accepted = bounded(self.target.check, data)
        except (Exception, TooMuchWorkError) as error:  # noqa: BLE001 - to find out what it raises is what this is for
            self._failed(data, error)
            return
        if accepted:
            self.accepted += 1
        else:
            self.refused += 1

    def _failed(self, data: bytes, error: BaseException) -> None:
        cause = cause_of(error)
        if cause in self.failures:
            self.failures[cause].inputs += 1
            return
        tries = _SHRINKING_TRIES_OF_LONG_ONES if isinstance(error, TooMuchWorkError) else _SHRINKING_TRIES
        smallest = shrunk(data, lambda candidate: failure_of(self.target, candidate) == cause, tries)
        self.failures[cause] = Failure(cause, smallest, f"{type(error).__name__}: {error}"[:300])


def failure_of(target: Target, data: bytes) -> Cause | None:
    """Why `data` fails; `None` when it does not."""
    try:
        bounded(target.check, data)
    except (Exception, TooMuchWorkError) as error:  # noqa: BLE001 - as in `Tally.take`
        return cause_of(error)
    return None


def cause_of(error: BaseException) -> Cause:
    """The kind of error, and the place in the product at which it left it."""
    if isinstance(error, TooMuchWorkError):
        # It is raised wherever the count happened to be full.
        return Cause(type(error).__name__, "")
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(f"/{part}/" in frame.filename for part in _PARTS)]
    last = (ours or list(frames))[-1]
    name = "/".join(last.filename.split("/")[-3:])
    return Cause(type(error).__name__, f"{name}:{last.lineno}")


_PARTS: Final = ("shared", "producer", "consumer", "autoscaler", "tests/faults/fuzz/targets")
