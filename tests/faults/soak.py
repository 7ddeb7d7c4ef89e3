"""`python -m tests.faults.soak`: random faults under random load for a bounded time, then the verdict of invariants.

The plan comes from a seed, which is printed first; `--seed` replays it. It stops by itself; Ctrl-C ends it in order.
"""

import heapq
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from deploy.local.cloud import EmbeddedCloudError
from shared.background import repeating
from tests.faults.harness.evidence import Evidence
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.gather import gather
from tests.faults.harness.invariants import violations
from tests.faults.harness.outcome import Outcome, tally
from tests.faults.harness.scenario import end_workers, keep_journal
from tests.faults.harness.table import to_table
from tests.faults.soak_plan import DEEDS, RULES, Blow, Plan, Recording, plan

SETTINGS: Final[Mapping[str, Any]] = {
    "job_deadline_seconds": 8,
    "max_receives": 9,
    "boot_limit_seconds": 30,
    "silent_limit_seconds": 15,
    "idle_limit_seconds": 30,
}
"""A job that hangs and a host without a worker are noticed soon, and few jobs are given up for all that goes wrong."""

EXHAUSTED: Final = frozenset({"attempts-exhausted", "received-too-often"})
"""Reasons of dead letters that so many faults at once may bring: the job is not lost, and its letter says why."""

_TICK_SECONDS: Final = 2.0
_SCAN_SECONDS: Final = 10.0
_REST_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 120.0
_LONGEST_PAUSE: Final = 0.2
_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"


class Soak:
    """Carries a plan out on a fleet.

    Args:
        say: takes a line for people.
    """

    def __init__(self, made: Fleet, what: Plan, say: Callable[[str], None]) -> None:
        self._fleet = made
        self._plan = what
        self._say = say
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._began = time.monotonic()
        self.deeds = 0

    def run(self) -> None:
        """Do all that the plan says, then let everything go on as if nothing had been."""
        for recording in self._plan.recordings:
            self._later(recording.at, partial(self._record, recording))
        for blow in self._plan.blows:
            self._later(blow.at, partial(self._strike, blow))
        for minute in range(1, int(self._plan.seconds // 60) + 1):
            self._later(minute * 60.0, partial(self._say_state, minute))
        while self._due:
            at, _, act = self._due[0]
            wait = at - (time.monotonic() - self._began)
            if wait > 0:
                time.sleep(min(wait, _LONGEST_PAUSE))
                continue
            heapq.heappop(self._due)
            act()
        self._fleet.proxy.clear()

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), act))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._later(time.monotonic() - self._began + seconds, act)

    def _record(self, recording: Recording) -> None:
        self._fleet.put_session(
            recording.user, recording.session, range(1, recording.chunks + 1), transcribed=set(recording.live)
        )

    def _strike(self, blow: Blow) -> None:
        if blow.kind in DEEDS:
            self.deeds += self._do(blow)
            return
        rule = self._fleet.proxy.add(RULES[blow.kind](f"worker-{blow.worker}", blow.share))
        self._after(blow.seconds, lambda: self._fleet.proxy.remove(rule))

    def _do(self, blow: Blow) -> bool:
        """Do something to a process, a host or the lock; returns whether there was one to do it to."""
        if blow.kind == "live-session":
            self._fleet.take_lock("live", f"at-{blow.at}")
            self._after(blow.seconds, lambda: self._release(f"at-{blow.at}"))
            return True
        host = self._fleet.host(blow.worker)
        worker = host.worker
        if worker is None or not worker.alive:
            return False
        match blow.kind:
            case "kill":
                worker.signal(signal.SIGKILL)
            case "terminate":
                worker.signal(signal.SIGTERM)
            case "pause":
                worker.signal(signal.SIGSTOP)
                self._after(blow.seconds, lambda: worker.signal(signal.SIGCONT))
            case "spot-notice":
                host.spot_notice(blow.seconds)
        return True

    def _release(self, session: str) -> None:
        self._fleet.release_lock("live", session)

    def _say_state(self, minute: int) -> None:
        self._say(f"minute {minute}: {self._state()}")

    def _state(self) -> str:
        jobs = sum(len(session.gaps) for session in self._fleet.sessions)
        done = len(self._fleet.proxy.journal.calls("s3:PutObject", target=_TRANSCRIPT))
        up = sum(process.alive for process in self._fleet.processes)
        strikes = self._fleet.proxy.injected + self.deeds
        return f"{len(self._fleet.sessions)} sessions, {jobs} jobs, {done} written, {strikes} strikes, {up} processes"


def soak(what: Plan, workspace: Path, workers: int, say: Callable[[str], None]) -> Outcome:
    """Carry a plan out, wait until the fleet is at rest, judge; logs and journal stay in the workspace.

    Raises KeyboardInterrupt as any program; nothing is left running then either.
    """
    began = time.monotonic()
    shutil.rmtree(workspace, ignore_errors=True)
    with fleet(workspace, seed=what.seed, workers=workers, **SETTINGS) as made:
        made.hosts(workers)
        broken: list[str] = []
        left_alive: list[str] = []
        course = Soak(made, what, say)
        with (
            repeating(lambda: _tick(made), _TICK_SECONDS, "ticks"),
            repeating(lambda: _scan(made), _SCAN_SECONDS, "scans"),
        ):
            course.run()
            at_rest = time.monotonic()
            say(f"nothing goes wrong any more: {made.unsettled() or 'nothing is left to do'}")
            recovery = _rest(made, broken)
        end_workers(made, left_alive)
        evidence = _evidence(made, left_alive, time.monotonic() - at_rest)
        keep_journal(made, workspace)
        counted = tally(evidence)
        return Outcome(
            "soak",
            group="soak",
            what="Random faults under random load.",
            injected=made.proxy.injected + course.deeds,
            jobs=counted.jobs,
            lost=counted.lost,
            duplicated=counted.duplicated,
            dead_lettered=counted.dead_lettered,
            recovery_seconds=recovery,
            broken=(*broken, *violations(evidence)),
            seed=what.seed,
            seconds=round(time.monotonic() - began, 1),
        )


def _rest(made: Fleet, broken: list[str]) -> float | None:
    """Wait until nothing is left to do and no instance runs; returns the seconds until the first of the two."""
    try:
        seconds = made.settled(_REST_SECONDS)
        made.instances_stopped(_STOP_SECONDS)
    except NotSettledError as error:
        broken.append(f"not at rest {error}")
        return None
    return round(seconds, 2)


def _evidence(made: Fleet, left_alive: list[str], idle_seconds: float) -> Evidence:
    letters = Counter(letter.reason for letter in made.dead_letters())
    allowed = {reason: times for reason, times in letters.items() if reason in EXHAUSTED}
    return gather(
        made,
        expected_letters=allowed,
        left_alive=left_alive,
        idle_seconds=idle_seconds,
        idle_bound_seconds=_STOP_SECONDS,
    )


def _tick(made: Fleet) -> None:
    with suppress(EmbeddedCloudError):  # a fault may strike it; the next comes anyway
        made.tick()


def _scan(made: Fleet) -> None:
    with suppress(EmbeddedCloudError):  # as for ticks
        made.scan()


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--minutes", type=click.FloatRange(0.1, 24 * 60), default=30.0, show_default=True)
@click.option("--seed", type=int, default=None, help="Replays a soak; drawn when it is not given.")
@click.option("--workers", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--workspace", type=click.Path(path_type=Path), default=Path("build/soak"), show_default=True)
def main(*, minutes: float, seed: int | None, workers: int, workspace: Path) -> None:
    """Soak; see the module."""
    drawn = random.SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    console.print(f"seed {drawn}: replay with --seed {drawn} --minutes {minutes:g} --workers {workers}")
    what = plan(drawn, minutes * 60, workers)
    console.print(f"{len(what.recordings)} recordings, {len(what.blows)} blows in {minutes:g} min")
    outcome = soak(what, workspace, workers, lambda line: console.print(line, soft_wrap=True))
    console.print(to_table([outcome]))
    for each in outcome.broken:
        console.print(each, style="bold red", markup=False, soft_wrap=True)
    console.print(f"seed {drawn}, {outcome.seconds:.0f} s; logs and journal: {workspace}")
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.soak")
