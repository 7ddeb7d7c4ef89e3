"""`python -m tests.faults.fuzz`: fuzzes every parser of what comes from outside, prints a table, keeps what failed."""

import sys

import click
from rich.console import Console

from tests.faults.fuzz.catalogue import TARGETS
from tests.faults.fuzz.regressions import save
from tests.faults.fuzz.run import fuzz_all
from tests.faults.fuzz.shown import to_table, told


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
    Console().print(to_table(outcomes))
    click.echo(f"seed {seed}")
    for outcome in outcomes:
        for paragraph in told(outcome):
            click.echo(f"\n{paragraph}")
        for failure in outcome.failures if keep else ():
            click.echo(f"  kept as {save(outcome.target, failure.data)}")
    sys.exit(0 if all(outcome.holds for outcome in outcomes) else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.fuzz")
