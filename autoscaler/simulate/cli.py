"""The operator's command: simulate a workload with the fleet's settings, alone or beside timers."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import click
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from autoscaler.simulate.comparison import ComparisonVerdict, compare, contenders, ours, verdicts
from autoscaler.simulate.report import figures, sentences, side_by_side
from autoscaler.simulate.result import SimulationResult
from autoscaler.simulate.workload import MADE, Trace
from autoscaler.simulate.workload_file import read_trace
from autoscaler.simulate.world.conditions import NAMED
from shared.errors import ConfigurationError
from shared.setting_groups import ENV_PREFIX
from shared.settings import Settings

# A simulation has no cloud: these must be set, and stand for nothing.
_NO_CLOUD = {
    "bucket": "simulated",
    "jobs_queue_url": "simulated",
    "priority_queue_url": "simulated",
    "dead_letter_queue_url": "simulated",
    "table_name": "simulated",
}
_FILE_WIDTH = 120  # nobody looks at 80 columns there, and cut figures are of no use
SPARE = 2  # instances of the pool beyond max_instances: one may still be stopping


@click.command()
@click.option(
    "--workload",
    default="small",
    show_default=True,
    metavar="NAME|FILE",
    help=f"What there is to do: {', '.join(MADE)}; or a CSV or JSON file of arrivals.",
)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366), help="Days of a named workload.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same simulation.")
@click.option(
    "--conditions",
    default="steady",
    show_default=True,
    type=click.Choice(list(NAMED)),
    help="How often things go wrong, and how long boots take.",
)
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Simulate with another value of a setting.")
@click.option("--compare", "beside", is_flag=True, help="Ours, with a range of thresholds, beside four timers.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw queue, instances, lock and cost over time (with --compare: cost against wait) as .png or .svg.",
)
def simulate(
    *,
    workload: str,
    days: int,
    seed: int,
    conditions: str,
    changes: tuple[str, ...],
    beside: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Simulate weeks of the fleet in seconds, and print what they cost and how long jobs wait.

    The autoscaler itself ticks, each simulated minute, with the settings of SCRIBEFLEET_ variables and --set;
    everything else is made up: instances that boot, workers, the queue, live sessions, what goes wrong. No AWS account
    is needed and nothing is started.

    A file of arrivals is CSV with the columns seconds,jobs, or JSON with arrivals ({seconds, jobs}) and sessions
    ({begins, ends}) that hold the lock; times are in seconds from the beginning.

    Exit codes: 0 done, 1 a rule of the fleet was broken, 2 wrong use or a wrong setting.
    """
    draw = _drawing(plot, beside=beside) if plot else None
    trace = _trace(workload, days, seed)
    settings = settings_of(changes, trace)
    world = replace(NAMED[conditions], rtfx=settings.rtfx)
    contending = contenders(settings) if beside else [ours(settings)]
    results = compare(trace, contending, world, seed, settings.max_instances + SPARE)
    if draw:
        draw(results)
    if as_json:
        click.echo(json.dumps(_document(results, conditions, seed), indent=2))
    else:
        _print(results)
    if any(result.violation_count for result in results):
        sys.exit(1)


def _trace(workload: str, days: int, seed: int) -> Trace:
    if workload in MADE:
        return MADE[workload](days, Random(seed))
    path = Path(workload)
    if not path.is_file():
        raise ConfigurationError(f"there is no workload {workload!r}; use a file or one of {', '.join(MADE)}")
    return read_trace(path, pool=1)


def settings_of(changes: Sequence[str], trace: Trace) -> Settings:
    """From the environment, changed as asked; as many instances as the workload is made for, unless someone says."""
    given: dict[str, str] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in Settings.model_fields:
            raise ConfigurationError(f"--set {change}: there is no such setting; use NAME=VALUE with a name as in docs")
        given[name] = value
    try:
        settings = Settings.model_validate({**_NO_CLOUD, **given})
        if "max_instances" not in settings.model_fields_set:
            settings = Settings.model_validate({**_NO_CLOUD, **given, "max_instances": trace.pool})
    except ValidationError as error:
        lines = [f"{problem['loc'][0]} is wrong ({problem['msg']})" for problem in error.errors()]
        raise ConfigurationError("\n".join(f"--set or {ENV_PREFIX}: {line}" for line in lines)) from None
    return settings


def _drawing(target: Path, *, beside: bool) -> Callable[[Sequence[SimulationResult]], None]:
    """How to draw; asked for first, so that a simulation does not run for nothing where matplotlib is missing."""
    from autoscaler.simulate.plot import FORMATS, draw_course, draw_frontier  # noqa: PLC0415 - matplotlib is optional

    if target.suffix not in FORMATS:
        raise ConfigurationError(f"--plot {target.name}: the name has to end in {' or '.join(FORMATS)}")
    if beside:
        return lambda results: draw_frontier(results, target)
    return lambda results: draw_course(results[0], target)


def _document(results: Sequence[SimulationResult], conditions: str, seed: int) -> dict[str, object]:
    return {
        "conditions": conditions,
        "seed": seed,
        "results": [result.document() for result in results],
        "timers": [_verdict(verdict) for verdict in verdicts(results)],
    }


def _verdict(verdict: ComparisonVerdict) -> dict[str, object]:
    return {
        "strategy": verdict.timer.strategy,
        "dominated": verdict.dominated,
        "cheaper": verdict.cheaper.strategy if verdict.cheaper else None,
        "costSaved": round(verdict.cost_saved, 4),
        "quicker": verdict.quicker.strategy if verdict.quicker else None,
        "waitSaved": round(verdict.wait_saved, 4),
    }


def _print(results: Sequence[SimulationResult]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    console.print(figures(results[0]) if len(results) == 1 else side_by_side(results))
    if len(results) > 1:
        for sentence in sentences(results):
            console.print(Text(sentence), soft_wrap=True)
    for result in results:
        for violation in result.violations:
            console.print(Text(f"{result.strategy}: {violation}"), style="red", soft_wrap=True)
