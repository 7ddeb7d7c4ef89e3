"""`python -m tests.faults.fuzz`: fuzzes every parser of what comes from outside, prints a table, keeps what failed."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.faults.fuzz.catalogue import TARGETS
from tests.faults.fuzz.regressions import save
from tests.faults.fuzz.run import FuzzOutcome, fuzz_all

_MOST_SHOWN_BYTES = 400


@click.command()
@click.option("--inputs", type=click.IntRange(min=1), default=100_000, show_default=True, help="For each target.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same one gives the same inputs.")
@click.option("--processes", type=click.IntRange(1, 16), default=2, show_default=True, help="How many work at once.")
@click.option("--only", multiple=True, type=click.Choice([target.name for target in TARGETS]), help="Can be repeated.")
@click.option("--keep/--no-keep", default=True, help="Write what failed to tests/faults/fuzz/regressions.")
def main(*, inputs: int, seed: int, processes: int, only: tuple[str, ...], keep: bool) -> None:
    """Give each parser its inputs; exit code 1 when one of them failed."""
    targets = [target for target in TARGETS if not only or target.name in only]
    outcomes = fuzz_all(inputs, seed, processes, targets, lambda part: click.echo(".", nl=False, err=True))
    click.echo(err=True)
    Console().print(table(outcomes))
    click.echo(f"seed {seed}, {sum(outcome.inputs for outcome in outcomes):,} inputs")
    for outcome in outcomes:
        _tell_failures(outcome, keep=keep)
    sys.exit(any(outcome.failures for outcome in outcomes))


def table(outcomes: Sequence[FuzzOutcome]) -> Table:
    """A line for each target."""
    shown = Table()
    shown.add_column("fuzzed")
    for column in ("inputs", "accepted", "refused", "failed", "seconds"):
        shown.add_column(column, justify="right")
    for each in outcomes:
        failed = sum(failure.inputs for failure in each.failures)
        counts = (f"{number:,}" for number in (each.inputs, each.accepted, each.refused))
        shown.add_row(each.target, *counts, Text(f"{failed:,}", "bold red" if failed else ""), f"{each.seconds:.1f}")
    return shown


def _tell_failures(outcome: FuzzOutcome, *, keep: bool) -> None:
    for failure in outcome.failures:
        click.echo(f"\n{outcome.target}: {failure.said}\n  at {failure.cause.where}, {failure.inputs:,} inputs")
        more = (
            ""
            if len(failure.data) <= _MOST_SHOWN_BYTES
            else f" and {len(failure.data) - _MOST_SHOWN_BYTES:,} more bytes"
        )
        click.echo(f"  {failure.data[:_MOST_SHOWN_BYTES]!r}{more}")
        if keep:
            click.echo(f"  kept as {save(outcome.target, failure.data)}")


if __name__ == "__main__":
    main()
