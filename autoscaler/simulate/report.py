"""The tables that people read: one simulation's figures, or many beside each other."""

from collections.abc import Sequence

from rich.table import Table

from autoscaler.simulate.comparison import ComparisonVerdict, is_ours, verdicts
from autoscaler.simulate.result import SimulationResult
from shared.clock import human_duration


def figures(result: SimulationResult) -> Table:
    """Everything about one simulation, a line each."""
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    rows = (
        ("simulated", f"{result.seconds / 86_400:g} days of {result.workload}, {result.strategy}"),
        ("jobs published", f"{result.published:,} of {result.jobs:,} ({result.audio_hours:,.1f} h of audio)"),
        ("cost in 30 days", f"{result.cost_per_month:,.2f} USD"),
        ("cost of an hour of audio", f"{result.cost_per_audio_hour:.4f} USD"),
        (
            "wait: median, p95, most",
            ", ".join(map(human_duration, (result.wait_median, result.wait_p95, result.wait_max))),
        ),
        (
            "starts",
            f"{result.starts:,}, at most {result.most_starts_an_hour:,} an hour; EC2 refused {result.blocked:,}",
        ),
        ("most instances at a time", f"{result.most_running:,}"),
        ("GPU time", f"{result.gpu_seconds:,.0f} s, {result.over_least:.2f} times the least for these jobs"),
        ("of it busy", f"{result.busy_fraction:.1%}"),
        ("of it idle", f"{result.idle_seconds:,.0f} s"),
        ("lock held", human_duration(result.locked_seconds)),
        ("rules broken", f"{result.violation_count:,}"),
    )
    for name, value in rows:
        table.add_row(name, value)
    return table


def side_by_side(results: Sequence[SimulationResult]) -> Table:
    """One line for each strategy, the cheapest last."""
    table = Table()
    table.add_column("strategy", no_wrap=True)
    for column in ("USD/month", "USD/job", "wait p50", "p95", "max", "starts", "busy", "idle s", "broken"):
        table.add_column(column, justify="right", no_wrap=True)
    for result in sorted(results, key=lambda each: (is_ours(each), each.wait_p95)):
        table.add_row(
            result.strategy,
            f"{result.cost_per_month:,.2f}",
            f"{result.cost_per_job:.5f}",
            human_duration(result.wait_median),
            human_duration(result.wait_p95),
            human_duration(result.wait_max),
            f"{result.starts:,}",
            f"{result.busy_fraction:.1%}",
            f"{result.idle_seconds:,.0f}",
            f"{result.violation_count}",
            style="bold" if is_ours(result) else "",
        )
    return table


def sentences(results: Sequence[SimulationResult]) -> list[str]:
    """One for each timer: what of ours is better."""
    return [f"{verdict.timer.strategy}: {_sentence(verdict)}" for verdict in verdicts(results)]


def _sentence(verdict: ComparisonVerdict) -> str:
    if not verdict.cheaper or not verdict.quicker:
        return "NOT dominated, no setting of ours costs no more and waits (p95) no longer"
    return (
        f"dominated, {verdict.cheaper.strategy!r} costs {verdict.cost_saved:.1%} less and waits no longer, "
        f"{verdict.quicker.strategy!r} waits {verdict.wait_saved:.1%} less and costs no more"
    )
