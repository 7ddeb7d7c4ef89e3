"""What a fault is, and how one is run: make a fleet, let the script break it, wait until it is at rest, scan, judge.

How faults are run side by side is `slots`' business, what is judged the invariants'.
"""

import contextlib
import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from deploy.local.cloud import EmbeddedCloudError
from shared.background import repeating
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.gather import gather
from tests.faults.harness.invariants import violations
from tests.faults.harness.outcome import Outcome, tally
from tests.faults.harness.server import CloudServer

_JOURNAL: Final = "journal.jsonl"
_VERDICT: Final = "verdict.txt"
_SCANS: Final = 3


class Broken(AssertionError):  # noqa: N818 - a script says what is broken, not that it has failed
    """A script has seen that a promise is broken; the text says which."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a script did that its fault could not say beforehand.

    Attributes:
        dead_letters: reason -> how many chunks had to become dead letters with it.
        injected: how often the script struck by itself, beside its rules.
    """

    dead_letters: Mapping[str, int] = field(default_factory=dict)
    injected: int = 0


Script = Callable[[Fleet], Expected | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the matrix.

    Attributes:
        what: one sentence for people.
        script: arranges sessions, rules and workers, and may strike or check by itself.
        quick: whether `make test` runs it, too.
        expect_dead_letters: reason -> how many chunks must end on the dead-letter queue with it.
        settings: fields of `Settings` that differ from the fleet's short ones.
        bounds_seconds: how long the fleet may take to be at rest after the script.
        workers: how many workers or hosts it is about.
        injected: how often the script strikes by itself, such as by a signal.
        harmless: nothing is broken, as in the run that others are compared with.
        tick_seconds: how often the autoscaler ticks while the fleet comes to rest; never when absent.
        stop_seconds: how long an instance may run on when there is nothing left to do.
    """

    name: str
    group: str
    what: str
    script: Script
    quick: bool = False
    expect_dead_letters: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    bounds_seconds: float = 60.0
    workers: int = 2
    injected: int = 0
    harmless: bool = False
    tick_seconds: float | None = None
    stop_seconds: float = 20.0


@dataclass(slots=True)
class _Course:
    """How a fault went, beside what it left behind; times are monotonic seconds."""

    expected: Expected = field(default_factory=Expected)
    broken: list[str] = field(default_factory=list)
    struck_at: float | None = None
    settled_at: float | None = None
    left_alive: list[str] = field(default_factory=list)

    def recovery_seconds(self, last_rule: float | None) -> float | None:
        """From the last strike until the fleet was at rest; `None` without either."""
        strikes = [at for at in (self.struck_at, last_rule) if at is not None]
        if self.settled_at is None or not strikes:
            return None
        return max(0.0, self.settled_at - max(strikes))


def run_fault(fault: Fault, seed: int, workspace: Path, server: CloudServer | None = None) -> Outcome:
    """Run one fault, and judge.

    Args:
        workspace: is made; logs and journal are left there when something does not hold, else it is removed.
        server: an emulator to use; by default one of its own is started.

    Returns:
        The outcome; what went wrong in the script or the harness itself is in its `broken`, too.
    """
    began = time.monotonic()
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    outcome = Outcome(fault.name, fault.group, fault.what, seed=seed)
    try:
        with fleet(workspace, seed=seed, workers=fault.workers, server=server, **fault.settings) as made:
            course = _run(fault, made)
            outcome = _judged(outcome, fault, made, course)
            if not outcome.holds:
                keep_journal(made, workspace)
    except Exception as error:  # noqa: BLE001 - of one fault nothing may end the others: it is this one's verdict
        outcome = replace(outcome, broken=(*outcome.broken, f"the harness: {type(error).__name__}: {error}"))
    if outcome.holds:
        shutil.rmtree(workspace, ignore_errors=True)
    else:
        (workspace / _VERDICT).write_text("\n".join((f"seed {seed}", *outcome.broken)) + "\n", encoding="utf-8")
    return replace(outcome, seconds=round(time.monotonic() - began, 2))


def _run(fault: Fault, made: Fleet) -> _Course:
    """Script, rest, end; each is tried whatever became of the one before."""
    course = _Course()
    with ExitStack() as parts:
        try:
            course.expected = fault.script(made) or Expected()
        except Exception as error:  # noqa: BLE001 - a script's own checks, and what it waited for in vain
            course.broken.append(f"the script: {error if isinstance(error, Broken) else _named(error)}")
        if fault.injected or course.expected.injected:
            course.struck_at = time.monotonic()
        if fault.tick_seconds is not None:
            parts.enter_context(repeating(lambda: _tick(made), fault.tick_seconds, "ticks"))
        _come_to_rest(fault, made, course)
    end_workers(made, course.left_alive)
    if course.settled_at is not None:
        course.broken += scan_once_more(made)
    return course


def _come_to_rest(fault: Fault, made: Fleet, course: _Course) -> None:
    try:
        made.settled(fault.bounds_seconds)
        course.settled_at = time.monotonic()
        made.instances_stopped(fault.stop_seconds)
    except NotSettledError as error:
        course.broken.append(f"not at rest {error}")


def scan_once_more(made: Fleet) -> list[str]:
    """The next scan of the schedule, after all is over: it finds nothing to queue, and finishes what is not finished.

    Where a rule strikes it, the one after it counts.

    Returns:
        What it had to do that should have been done.
    """
    for _ in range(_SCANS):
        with contextlib.suppress(EmbeddedCloudError):
            said = made.scan()
            return [f"a scan queued {said['enqueued']} gaps when all was done"] if said["enqueued"] else []
    return [f"{_SCANS} scans in a row failed when all was done"]


def _tick(made: Fleet) -> None:
    """One tick. As with Lambda, one that fails is followed by the next all the same."""
    with contextlib.suppress(EmbeddedCloudError):
        made.tick()


def end_workers(made: Fleet, left_alive: list[str]) -> None:
    """Ask all workers to end; those that had to be killed are added to `left_alive`."""
    alive = [process for process in made.processes if process.alive]
    made.stop_workers()
    left_alive += [process.actor for process in alive if process.returncode in (None, -signal.SIGKILL)]


def _judged(outcome: Outcome, fault: Fault, made: Fleet, course: _Course) -> Outcome:
    evidence = gather(
        made,
        expected_letters=_expected_letters(fault, made, course.expected),
        left_alive=course.left_alive,
        idle_seconds=time.monotonic() - course.settled_at if course.settled_at is not None else 0.0,
        idle_bound_seconds=fault.stop_seconds,
    )
    counted = tally(evidence)
    injected = made.proxy.injected + fault.injected + course.expected.injected
    recovery = course.recovery_seconds(made.proxy.last_strike)
    return replace(
        outcome,
        injected=injected,
        jobs=counted.jobs,
        lost=counted.lost,
        duplicated=counted.duplicated,
        dead_lettered=counted.dead_lettered,
        recovery_seconds=None if recovery is None else round(recovery, 2),
        broken=(
            *course.broken,
            *(f"the script: a rule raised {_named(error)}" for error in made.proxy.failures),
            *violations(evidence),
            *_without_effect(fault, counted.jobs, injected),
        ),
    )


def _expected_letters(fault: Fault, made: Fleet, expected: Expected) -> Mapping[str, int]:
    """What the script or the fault says, else what the recordings say of audio that cannot be heard."""
    said = expected.dead_letters or fault.expect_dead_letters
    return said or Counter(reason for session in made.sessions for reason in session.fails_with.values())


def _without_effect(fault: Fault, jobs: int, injected: int) -> list[str]:
    """A fault that never struck proves nothing, nor does one without work."""
    idle = [] if jobs else ["the script: there was no job"]
    return idle if injected or fault.harmless else [*idle, "the script: the fault never struck"]


def keep_journal(made: Fleet, workspace: Path) -> None:
    """Write the journal as JSON lines beside the logs."""
    with (workspace / _JOURNAL).open("w", encoding="utf-8") as file:
        for entry in made.proxy.journal.calls():
            call = entry.call
            fields = {**asdict(entry), "call": f"{call.actor} {call.on} {call.target}", "body": dict(call.body)}
            file.write(json.dumps(fields) + "\n")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
