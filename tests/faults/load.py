"""`python -m tests.faults.load`: many jobs through a few workers while calls fail and workers die, and nothing is lost.

It measures nothing but the promises: the emulator and the harness share the machine with the fleet. Exit code 0 if
every promise holds, 1 if one is broken, 130 when it was interrupted.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import click

from tests.faults.command import conclude, interruptible, line_by_line, new_console
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.gather import gather
from tests.faults.harness.invariants import violations
from tests.faults.harness.outcome import Outcome, tally
from tests.faults.harness.scenario import end_workers, keep_journal, scan_once_more
from tests.faults.load_course import SETTINGS, Course


def load(jobs: int, workers: int, seed: int, workspace: Path, minutes: float, say: Callable[[str], None]) -> Outcome:
    """Run it, and judge; logs stay in the workspace, and the journal where something does not hold.

    Raises KeyboardInterrupt as any program; nothing is left running then either.

    Args:
        minutes: the most that the jobs may take.
    """
    began = time.monotonic()
    shutil.rmtree(workspace, ignore_errors=True)
    with fleet(workspace, seed=seed, workers=workers, **SETTINGS) as made:
        course = Course(made, jobs, workers, seed, say)
        broken: list[str] = []
        left_alive: list[str] = []
        recovery: float | None = None
        try:
            course.run(minutes * 60)
            recovery = max(0.0, time.monotonic() - (made.proxy.last_strike or time.monotonic()))
        except NotSettledError as error:
            broken.append(f"not at rest {error}")
        made.proxy.clear()
        end_workers(made, left_alive)
        if recovery is not None:
            broken += scan_once_more(made)
        say("all workers have ended; looking at every object")
        evidence = gather(made, expected_letters={}, left_alive=left_alive)
        broken += _of_the_harness(made, course)
        broken += violations(evidence)
        if broken:
            keep_journal(made, workspace)
        counted = tally(evidence)
        injected = made.proxy.injected
    return Outcome(
        "load",
        group="load",
        what=f"Calls fail and workers are killed while {jobs} jobs go through {workers} workers.",
        injected=injected,
        jobs=counted.jobs,
        lost=counted.lost,
        duplicated=counted.duplicated,
        dead_lettered=counted.dead_lettered,
        recovery_seconds=None if recovery is None else round(recovery, 2),
        broken=tuple(broken),
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def _of_the_harness(made: Fleet, course: Course) -> list[str]:
    """What would make the verdict worthless."""
    found = [f"the harness: a rule raised {type(error).__name__}: {error}" for error in made.proxy.failures]
    return found if course.kills else [*found, "the harness: no worker was ever killed"]


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--jobs", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything that is drawn.")
@click.option("--minutes", type=float, default=60.0, show_default=True, help="The most that the jobs may take.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the outcome there.")
@click.option("--workspace", type=click.Path(path_type=Path), default=Path("build/load"), show_default=True)
def main(*, jobs: int, workers: int, seed: int, minutes: float, json_file: Path | None, workspace: Path) -> None:
    """Load the fleet; see the module."""
    console = new_console()
    replay = f"--seed {seed} --jobs {jobs} --workers {workers}"
    with interruptible(console, replay):
        outcome = load(jobs, workers, seed, workspace, minutes, line_by_line(console))
    console.print(f"logs: {workspace}")
    conclude(console, outcome, json_file, {"workers": workers}, replay)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.load")
