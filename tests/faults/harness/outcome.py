"""What came of a fault: a row of the table. Pure: numbers come from evidence, the verdict from the invariants."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tests.faults.harness.evidence import Evidence

HOLDS: Final = "holds"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row.

    Attributes:
        injected: how often the fault struck.
        jobs: chunks that the fleet had to transcribe.
        lost: of these, how many are neither transcribed nor on the dead-letter queue.
        duplicated: how many transcripts too many were written.
        dead_lettered: reason -> chunks.
        recovery_seconds: from the last strike until nothing was left to do; `None` when that never came.
        broken: what does not hold; empty when all does.
        seconds: what the whole took.
    """

    name: str
    group: str = ""
    what: str = ""
    injected: int = 0
    jobs: int = 0
    lost: int = 0
    duplicated: int = 0
    dead_lettered: Mapping[str, int] = field(default_factory=dict)
    recovery_seconds: float | None = None
    broken: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.broken

    @property
    def verdict(self) -> str:
        """`holds`, or the first thing that does not and how many more."""
        if self.holds:
            return HOLDS
        more = f" (and {len(self.broken) - 1} more)" if len(self.broken) > 1 else ""
        return f"{self.broken[0]}{more}"

    def as_json(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the jobs, as numbers; the attributes are those of `Outcome`."""

    jobs: int
    lost: int
    duplicated: int
    dead_lettered: Mapping[str, int]


def tally(evidence: Evidence) -> Tally:
    """Count what became of the jobs."""
    lost = [
        chunk
        for chunk in evidence.jobs
        if chunk.transcript_key not in evidence.objects and (chunk.session, chunk.chunk) not in evidence.lettered
    ]
    surplus = [evidence.publications.get(chunk.transcript_key, 0) - 1 for chunk in evidence.jobs if not chunk.forced]
    return Tally(
        jobs=len(evidence.jobs),
        lost=len(lost),
        duplicated=sum(each for each in surplus if each > 0),
        dead_lettered=dict(sorted(Counter(letter.reason for letter in evidence.letters).items())),
    )
