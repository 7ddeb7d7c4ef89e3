"""Shows what fuzzing came to: a table for a terminal, rows for JSON, the table of docs/reliability.md. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from tests.faults.fuzz.judge import Failure
from tests.faults.fuzz.run import FuzzOutcome

_MAX_SHOWN_BYTES: Final = 400
_COLUMNS: Final = ("inputs", "accepted", "refused", "failed")


def to_table(outcomes: Sequence[FuzzOutcome]) -> Table:
    """A row for each target, the last one for all of them."""
    table = Table(title=summary(outcomes), title_justify="left")
    table.add_column("fuzzed")
    for column in (*_COLUMNS, "seconds"):
        table.add_column(column, justify="right")
    for each in outcomes:
        cells = (each.target, *_counts([each]), f"{each.seconds:.1f}")
        table.add_row(*map(escape, cells), style="" if each.holds else "bold red")
    table.add_section()
    table.add_row("all", *_counts(outcomes), f"{sum(each.seconds for each in outcomes):.1f}")
    return table


def summary(outcomes: Sequence[FuzzOutcome]) -> str:
    """One line about all of them."""
    inputs, failed = (sum(getattr(each, name) for each in outcomes) for name in ("inputs", "failed"))
    return f"{len(outcomes)} parsers fuzzed with {inputs:,} inputs, {failed:,} failed"


def to_markdown(outcomes: Sequence[FuzzOutcome]) -> str:
    """The table for people who read about it."""
    rows = [(f"`{each.target}`", *_counts([each])) for each in outcomes]
    head = f"| parser | {' | '.join(_COLUMNS)} |\n|---|{'--:|' * len(_COLUMNS)}\n"
    return f"### fuzzing\n\n{summary(outcomes)}.\n\n{head}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_rows(outcomes: Sequence[FuzzOutcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON has them; an input that failed is in hexadecimal digits."""
    return [
        {
            "target": each.target,
            "inputs": each.inputs,
            "accepted": each.accepted,
            "refused": each.refused,
            "failed": each.failed,
            "seconds": round(each.seconds, 1),
            "failures": [_row(failure) for failure in each.failures],
        }
        for each in outcomes
    ]


def told(outcome: FuzzOutcome) -> Iterator[str]:
    """A paragraph for each failure: what it said, where, and an input that shows it."""
    for failure in outcome.failures:
        shown = f"{failure.data[:_MAX_SHOWN_BYTES]!r}"
        if len(failure.data) > _MAX_SHOWN_BYTES:
            shown += f" and {len(failure.data) - _MAX_SHOWN_BYTES:,} more bytes"
        where = f" at {failure.cause.where}" if failure.cause.where else ""
        yield f"{outcome.target}: {failure.said}{where}, {failure.inputs:,} inputs\n  {shown}"


def _row(failure: Failure) -> dict[str, Any]:
    return {
        "error": failure.cause.error,
        "where": failure.cause.where,
        "said": failure.said,
        "inputs": failure.inputs,
        "data": failure.data.hex(),
    }


def _counts(outcomes: Sequence[FuzzOutcome]) -> tuple[str, ...]:
    return tuple(f"{sum(getattr(each, name) for each in outcomes):,}" for name in _COLUMNS)
