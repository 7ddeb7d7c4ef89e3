"""`python -m tests.faults.soak`: random faults under random load for a bounded time, then the verdict of invariants.

The plan comes from a seed, which is printed first; `--seed` replays it. It stops by itself; Ctrl-C ends it in order.
Exit code 0 if every promise holds, 1 if one is broken, 130 when it was interrupted.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from deploy.local.cloud import EmbeddedCloudError
from shared.background import repeating
from tests.faults.command import AFTER_CLAIMS_SECONDS, conclude, interruptible, line_by_line, new_console
from tests.faults.harness.evidence import Evidence
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.gather import gather
from tests.faults.harness.invariants import violations
from tests.faults.harness.later import late_scan
from tests.faults.harness.outcome import Outcome, tally
from tests.faults.harness.processes import HarnessProcess, NotInTimeError, WorkerProcess
from tests.faults.harness.redrive import redrive
from tests.faults.harness.rules import Switch
from tests.faults.harness.scenario import end_workers, keep_journal, scan_once_more
from tests.faults.soak_course import Course
from tests.faults.soak_plan import Plan, plan

SETTINGS: Final[Mapping[str, Any]] = {
    "visibility_timeout_seconds": 15,
    "job_deadline_seconds": 20,
    "max_receives": 9,
    "boot_limit_seconds": 60,
    "silent_limit_seconds": 30,
    "idle_limit_seconds": 30,
}
"""A job that hangs and a host without a worker are noticed soon, but not so soon that a busy machine looks like either;
and few jobs are given up for all that goes wrong."""

_WINDOW_SECONDS: Final = 0.4
_TICK_SECONDS: Final = 2.0
_SCAN_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 60.0
_REST_SECONDS: Final = 600.0
_STOP_SECONDS: Final = 180.0
_COMMAND_SECONDS: Final = 120.0


def soak(what: Plan, workspace: Path, workers: int, say: Callable[[str], None]) -> tuple[Outcome, Mapping[str, int]]:
    """Carry a plan out, wait until the fleet is at rest, judge; logs and journal stay in the workspace.

    Raises KeyboardInterrupt as any program; nothing is left running then either.

    Returns:
        The outcome, and how often each kind of blow struck.
    """
    began = time.monotonic()
    shutil.rmtree(workspace, ignore_errors=True)
    with fleet(workspace, seed=what.seed, workers=workers, **SETTINGS) as made:
        hosts = tuple(made.hosts(workers, seconds_per_window=_WINDOW_SECONDS))
        broken: list[str] = []
        left_alive: list[str] = []
        course = Course(made, hosts, what, say)
        with _schedule(made, course):
            course.run()
            at_rest = time.monotonic()
            say(f"nothing goes wrong any more: {made.unsettled() or 'nothing is left to do'}")
            recovery = _rest(made, broken, say)
        end_workers(made, left_alive)
        if recovery is not None:
            broken += scan_once_more(made)
        say("all processes have ended; looking at every object")
        evidence = _evidence(made, left_alive, time.monotonic() - at_rest)
        keep_journal(made, workspace)
        broken += [f"the harness: a rule raised {type(error).__name__}: {error}" for error in made.proxy.failures]
        outcome = _judged(what, evidence, broken, course.struck)
    return replace(outcome, recovery_seconds=recovery, seconds=round(time.monotonic() - began, 1)), course.struck


def _judged(what: Plan, evidence: Evidence, broken: Sequence[str], struck: Mapping[str, int]) -> Outcome:
    counted = tally(evidence)
    return Outcome(
        "soak",
        group="soak",
        what="Random faults under random load.",
        injected=sum(struck.values()),
        jobs=counted.jobs,
        lost=counted.lost,
        duplicated=counted.duplicated,
        dead_lettered=counted.dead_lettered,
        broken=(
            *broken,
            *violations(evidence),
            *(() if any(struck.values()) else ("the harness: nothing ever struck",)),
        ),
        seed=what.seed,
    )


def _rest(made: Fleet, broken: list[str], say: Callable[[str], None]) -> float | None:
    """Wait until nothing is left to do and nothing runs; returns the seconds until the first of the two.

    So many faults at once make dead letters of a few jobs. They are put back, as an operator does: then no letter may
    be left, as nothing goes wrong any more.
    """
    seconds = None
    try:
        seconds = _settled(made)
        if letters := made.dead_letters():
            reasons = Counter(letter.reason for letter in letters)
            say(f"at rest after {seconds:.0f} s; these dead letters are put back: {dict(reasons)}")
            redrive(made)
            _settled(made)
        made.instances_stopped(_STOP_SECONDS)
        for process in made.processes:
            if not isinstance(process, WorkerProcess):
                process.wait(_COMMAND_SECONDS)
    except NotInTimeError as error:
        broken.append(f"not at rest {error}")
    return seconds


def _settled(made: Fleet) -> float:
    """As the fleet's own, with a scan of later time whenever it takes long.

    A scan that was killed may have claimed gaps that it did not queue. The next may take them only when the claim is
    a quarter of an hour old.
    """
    began = time.monotonic()
    later: HarnessProcess | None = None
    while True:
        try:
            made.settled(_PATIENCE_SECONDS)
        except NotSettledError:
            if time.monotonic() - began > _REST_SECONDS:
                raise
            if later is None or not later.alive:
                later = late_scan(made, "scanner-later", ahead=AFTER_CLAIMS_SECONDS)
        else:
            return round(time.monotonic() - began, 2)


def _evidence(made: Fleet, left_alive: list[str], idle_seconds: float) -> Evidence:
    return gather(
        made,
        expected_letters={},
        left_alive=left_alive,
        idle_seconds=idle_seconds,
        idle_bound_seconds=_STOP_SECONDS,
    )


@contextmanager
def _schedule(made: Fleet, course: Course) -> Iterator[None]:
    """Ticks and scans for as long as the block lasts."""
    over = Switch()

    def tick() -> None:
        if course.ticking.is_open and not over.is_open:
            with suppress(EmbeddedCloudError):  # a fault may strike it; the next comes anyway
                made.tick()

    def scan() -> None:
        if not over.is_open:
            with suppress(EmbeddedCloudError):  # as for ticks
                made.scan()

    with repeating(tick, _TICK_SECONDS, "ticks"), repeating(scan, _SCAN_SECONDS, "scans"):
        try:
            yield
        except KeyboardInterrupt:
            over.open()
            made.close()  # a scan that faults hold up could take minutes to end by itself
            raise


def _show_blows(console: Console, what: Plan, struck: Mapping[str, int]) -> None:
    """Which kinds of blows were dealt, and how often they struck."""
    dealt = Counter(blow.kind for blow in what.blows)
    table = Table("blow", "dealt", "struck", title="what went wrong", title_justify="left")
    for kind, times in dealt.items():
        table.add_row(kind, str(times), str(struck[kind]))
    console.print(table)


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--minutes", type=click.FloatRange(0.1, 24 * 60), default=30.0, show_default=True)
@click.option("--seed", type=int, default=None, help="Replays a soak; drawn when it is not given.")
@click.option("--workers", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the outcome there.")
@click.option("--workspace", type=click.Path(path_type=Path), default=Path("build/soak"), show_default=True)
def main(*, minutes: float, seed: int | None, workers: int, json_file: Path | None, workspace: Path) -> None:
    """Soak; see the module."""
    drawn = random.SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    console = new_console()
    replay = f"--seed {drawn} --minutes {minutes:g} --workers {workers}"
    console.print(f"seed {drawn}: replay with {replay}")
    what = plan(drawn, minutes * 60, workers)
    console.print(f"{len(what.recordings)} recordings, {len(what.blows)} blows in {minutes:g} min")
    with interruptible(console, replay):
        outcome, struck = soak(what, workspace, workers, line_by_line(console))
    _show_blows(console, what, struck)
    console.print(f"logs and journal: {workspace}")
    conclude(console, outcome, json_file, {"minutes": minutes, "workers": workers, "struck": struck}, replay)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.soak")
