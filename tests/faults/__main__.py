"""`python -m tests.faults`: runs the matrix of faults, then fuzzes the parsers; exit code 0 if every promise holds.

`--only NAME --seed N` replays one fault. Logs, journal and verdict of one that broke something stay in the workspace.
"""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from tests.faults.catalogue import all_faults, chosen, find
from tests.faults.fuzz import shown
from tests.faults.fuzz.regressions import save
from tests.faults.fuzz.run import FuzzOutcome, fuzz_all
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.slots import Runner
from tests.faults.harness.table import to_json, to_markdown, to_table, with_matrix

_WORKSPACE: Final = Path("build/faults")


@click.command(help=__doc__.partition("\n")[0] if __doc__ else None)
@click.option("--list", "list_only", is_flag=True, help="Name the faults and what they do, and run none.")
@click.option("--only", "patterns", multiple=True, metavar="PATTERN", help="Names or groups to run; repeatable.")
@click.option("--quick", is_flag=True, help="Only those that `make test` runs, too.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything that is drawn.")
@click.option("--jobs-in-parallel", "slots", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--minutes", type=float, default=16.0, show_default=True, help="No fault begins after that.")
@click.option("--fuzz/--no-fuzz", default=True, help="A run of chosen faults fuzzes nothing in any case.")
@click.option("--fuzz-inputs", type=click.IntRange(min=1), default=100_000, show_default=True, help="For each parser.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the outcomes there.")
@click.option("--page", type=click.Path(path_type=Path), help="Renew the matrix in this page.")
@click.option("--workspace", type=click.Path(path_type=Path), default=_WORKSPACE, show_default=True)
def main(
    *,
    list_only: bool,
    patterns: Sequence[str],
    quick: bool,
    seed: int,
    slots: int,
    minutes: float,
    fuzz: bool,
    fuzz_inputs: int,
    json_file: Path | None,
    page: Path | None,
    workspace: Path,
) -> None:
    """Run faults; see the module."""
    try:
        faults = chosen(all_faults(), patterns)
    except LookupError as error:
        raise click.UsageError(str(error)) from error
    faults = tuple(fault for fault in faults if fault.quick or not quick)
    if list_only:
        for fault in faults:
            click.echo(f"{fault.name:<40} {fault.group:<12} {fault.what}")
        return
    signal.signal(signal.SIGTERM, _interrupt)
    # A log is wide, and a row that is folded is hard to read.
    console = Console(width=None if sys.stdout.isatty() else 180)
    began = time.monotonic()
    told = _progress(console, len(faults), workspace)
    runner = Runner(find, seed, workspace, slots=slots, limit_seconds=minutes * 60, on_outcome=told)
    outcomes = runner.run(faults)
    console.print(to_table(outcomes))
    fuzzed = _fuzzed(console, fuzz_inputs, seed, slots) if fuzz and not (patterns or quick) else []
    seconds = time.monotonic() - began
    console.print(f"seed {seed}, {seconds:.0f} s")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(to_json(outcomes, seed, seconds, shown.to_rows(fuzzed)), encoding="utf-8")
    if page:
        _renew(page, outcomes, fuzzed)
    holds = all(outcome.holds for outcome in outcomes) and all(outcome.holds for outcome in fuzzed)
    sys.exit(0 if holds else 1)


def _renew(page: Path, outcomes: Sequence[Outcome], fuzzed: Sequence[FuzzOutcome]) -> None:
    """Put the tables into the page in place of those that it has."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    matrix = to_markdown(outcomes) + (f"\n{shown.to_markdown(fuzzed)}" if fuzzed else "")
    page.write_text(with_matrix(text, matrix), encoding="utf-8")


def _fuzzed(console: Console, inputs: int, seed: int, processes: int) -> list[FuzzOutcome]:
    """Give every parser its inputs, show what they came to, keep what failed."""
    outcomes = fuzz_all(inputs, seed, processes)
    console.print(shown.to_table(outcomes))
    for outcome in outcomes:
        for paragraph in shown.told(outcome):
            console.print(escape(paragraph), style="bold red", soft_wrap=True)
        for failure in outcome.failures:
            console.print(f"    kept as {save(outcome.target, failure.data)}", soft_wrap=True)
    return outcomes


def _progress(console: Console, total: int, workspace: Path) -> Callable[[Outcome], None]:
    done = 0

    def tell(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        head = f"[{done:>{len(str(total))}}/{total}] {outcome.name:<40} {outcome.seconds:6.1f} s  "
        console.print(escape(f"{head}{outcome.verdict}"), style="" if outcome.holds else "bold red", soft_wrap=True)
        if not outcome.holds:
            console.print(f"    logs and journal: {workspace / outcome.name}", soft_wrap=True)

    return tell


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Asked to end: as by Ctrl-C, so that slots and all that they run end, too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m tests.faults")
