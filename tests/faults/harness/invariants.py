"""What must hold after every fault, all of it in one list. Pure: evidence in, broken promises out."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from tests.faults.harness.checks_conduct import holds_are_respected, logs_are_events, reports_agree
from tests.faults.harness.checks_traces import (
    dead_letters_are_expected,
    no_message_is_stuck,
    nothing_runs_on,
    objects_are_whole,
    only_recorders_touch_recordings,
)
from tests.faults.harness.checks_transcripts import (
    session_transcripts_are_right,
    transcribed_exactly_once,
    transcripts_are_right,
)
from tests.faults.harness.evidence import Evidence

INVARIANTS: Final[Mapping[str, Callable[[Evidence], Iterator[str]]]] = {
    "each chunk is transcribed exactly once": transcribed_exactly_once,
    "each transcript is the right one": transcripts_are_right,
    "each session's transcript is right": session_transcripts_are_right,
    "no message is stuck": no_message_is_stuck,
    "dead letters are expected": dead_letters_are_expected,
    "objects are whole": objects_are_whole,
    "only recorders touch recordings and lock": only_recorders_touch_recordings,
    "nothing runs on": nothing_runs_on,
    "holds are respected": holds_are_respected,
    "reports agree": reports_agree,
    "logs are events": logs_are_events,
}

# A fault that breaks everything should be read, not scrolled through.
_MAX_EACH: Final = 5


def violations(evidence: Evidence) -> list[str]:
    """What is broken, in words, each with the name of the invariant; empty when all hold."""
    found = []
    for name, check in INVARIANTS.items():
        broken = check(evidence)
        found += [f"{name}: {each}" for each in islice(broken, _MAX_EACH)]
        more = sum(1 for _ in broken)
        if more:
            found.append(f"{name}: and {more} more")
    return found
