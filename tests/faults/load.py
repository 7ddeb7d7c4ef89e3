"""`python -m tests.faults.load`: many jobs through a few workers while calls fail and workers die, and nothing is lost.

It measures nothing but the promises: the emulator and the harness share the machine with the fleet.
"""

import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from shared.queues import queue_depth
from tests.faults.harness.effects import (
    INTERNAL,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    Delay,
    DeliverTwice,
    Reset,
    StaleReceipt,
)
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.gather import gather
from tests.faults.harness.invariants import violations
from tests.faults.harness.outcome import Outcome, tally
from tests.faults.harness.processes import WorkerProcess
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import end_workers, keep_journal
from tests.faults.harness.table import to_table

SETTINGS: Final[Mapping[str, Any]] = {
    "visibility_timeout_seconds": 15,
    "max_receives": 9,
    "receive_max_jobs": 10,
    "max_jobs_in_hand": 60,
}
"""Leases that last where four workers, the emulator and the proxy share two cores."""

_SESSION_CHUNKS: Final = 250
_WINDOW_SECONDS: Final = 0.02
_KILL_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 1.0
_SAY_SECONDS: Final = 30.0
_REST_SECONDS: Final = 120.0


def rules() -> tuple[Rule, ...]:
    """What goes wrong throughout, each with a small share of the calls."""
    return (
        Rule("s3:*", SLOW_DOWN, probability=0.01),
        Rule("s3:GetObject", Reset(), probability=0.005),
        Rule("s3:PutObject", INTERNAL, probability=0.005),
        Rule("s3:PutObject", Reset(after=True), target="^users/", probability=0.005),
        Rule("s3:*", Delay(0.5), probability=0.005),
        Rule("sqs:*", SQS_THROTTLED, probability=0.01),
        Rule("sqs:ReceiveMessage", DeliverTwice(), probability=0.02),
        Rule("sqs:DeleteMessage", StaleReceipt(), probability=0.005),
        Rule("sqs:ReceiveMessage", Reset(after=True), probability=0.005),
        Rule("dynamodb:*", THROTTLED, probability=0.01),
    )


class Load:
    """One run over a fleet.

    Args:
        jobs: how many chunks without a transcript there are.
        say: takes a line for people.
    """

    def __init__(self, made: Fleet, jobs: int, workers: int, seed: int, say: Callable[[str], None]) -> None:
        self._fleet = made
        self._jobs = jobs
        self._draw = random.Random(seed)
        self._say = say
        self._names = [f"worker-{n}" for n in range(1, workers + 1)]
        self._workers: dict[str, WorkerProcess] = {}
        self.kills = 0

    def run(self, limit_seconds: float) -> None:
        """Store, queue and work off all jobs.

        Raises:
            NotSettledError: it took longer than `limit_seconds` from the first worker on.
        """
        self._store()
        for rule in rules():
            self._fleet.proxy.add(rule)
        self._queue()
        self._work(limit_seconds)

    def _store(self) -> None:
        began = time.monotonic()
        for number, start in enumerate(range(0, self._jobs, _SESSION_CHUNKS), 1):
            chunks = range(1, min(_SESSION_CHUNKS, self._jobs - start) + 1)
            self._fleet.put_session(f"user-{number % 7}", f"session-{number}", chunks)
        self._say(f"{self._jobs} chunks stored in {time.monotonic() - began:.0f} s")

    def _queue(self) -> None:
        """Scan until every gap is queued: a scan that a fault ends is followed by the next, as by schedule."""
        began = time.monotonic()
        for number in range(1, 6):
            process = self._fleet.start_scan(f"scanner-{number}")
            if process.wait(900) == 0:
                break
        self._say(f"queued after {number} scans and {time.monotonic() - began:.0f} s")

    def _work(self, limit_seconds: float) -> None:
        began = said = killed = time.monotonic()
        while self._left() or self._fleet.unsettled():
            now = time.monotonic()
            if now - began > limit_seconds:
                raise NotSettledError(f"after {limit_seconds:g} s: {self._fleet.unsettled()}")
            for name in self._names:
                if name not in self._workers or not self._workers[name].alive:
                    self._workers[name] = self._fleet.start_worker(name, seconds_per_window=_WINDOW_SECONDS)
            if now - killed > _KILL_SECONDS:
                killed = now
                self._workers[self._draw.choice(self._names)].signal(signal.SIGKILL)
                self.kills += 1
            if now - said > _SAY_SECONDS:
                said = now
                strikes = self._fleet.proxy.injected
                self._say(f"{now - began:4.0f} s: {self._left()} messages left, {strikes} strikes, {self.kills} kills")
            time.sleep(_LOOK_SECONDS)
        seconds = time.monotonic() - began
        self._say(f"worked off in {seconds:.0f} s, {self._jobs / seconds:.0f} jobs a second")

    def _left(self) -> int:
        settings = self._fleet.settings
        return queue_depth(self._fleet.cloud.sqs, settings.jobs_queue_url).total


def load(jobs: int, workers: int, seed: int, workspace: Path, minutes: float, say: Callable[[str], None]) -> Outcome:
    """Run it, and judge; logs and journal stay in the workspace.

    Args:
        minutes: the most that the jobs may take from the first worker on.
    """
    began = time.monotonic()
    shutil.rmtree(workspace, ignore_errors=True)
    with fleet(workspace, seed=seed, workers=workers, **SETTINGS) as made:
        course = Load(made, jobs, workers, seed, say)
        broken: list[str] = []
        left_alive: list[str] = []
        try:
            course.run(minutes * 60)
            at_rest = time.monotonic()
            made.sessions_finished(_REST_SECONDS)
        except NotSettledError as error:
            broken.append(f"not at rest {error}")
            at_rest = time.monotonic()
        last_strike = made.proxy.last_strike
        made.proxy.clear()
        end_workers(made, left_alive)
        say("all workers have ended; looking at every object")
        evidence = gather(made, expected_letters={}, left_alive=left_alive)
        broken += violations(evidence)
        if broken:
            keep_journal(made, workspace)
        counted = tally(evidence)
        return Outcome(
            "load",
            group="load",
            what=f"{jobs} jobs through {workers} workers, with faults throughout.",
            injected=made.proxy.injected + course.kills,
            jobs=counted.jobs,
            lost=counted.lost,
            duplicated=counted.duplicated,
            dead_lettered=counted.dead_lettered,
            recovery_seconds=max(0.0, at_rest - last_strike) if last_strike is not None else None,
            broken=tuple(broken),
            seed=seed,
            seconds=round(time.monotonic() - began, 1),
        )


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--jobs", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything that is drawn.")
@click.option("--minutes", type=float, default=40.0, show_default=True, help="The most that the jobs may take.")
@click.option("--workspace", type=click.Path(path_type=Path), default=Path("build/load"), show_default=True)
def main(*, jobs: int, workers: int, seed: int, minutes: float, workspace: Path) -> None:
    """Load the fleet; see the module."""
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    outcome = load(jobs, workers, seed, workspace, minutes, lambda line: console.print(line, soft_wrap=True))
    console.print(to_table([outcome]))
    for each in outcome.broken:
        console.print(each, style="bold red", markup=False, soft_wrap=True)
    console.print(f"seed {seed}, {outcome.seconds:.0f} s; logs: {workspace}")
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.load")
