"""Shows outcomes: a table for a terminal, JSON for programs, and the table of docs/reliability.md. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from tests.faults.harness.outcome import Outcome

BEGIN: Final = "<!-- faults: begin -->"
END: Final = "<!-- faults: end -->"
_HEADING: Final = "# Reliability\n"
_COLUMNS: Final = ("fault", "injected", "jobs", "lost", "duplicated", "dead-lettered", "recovery", "verdict")
_NUMBERS: Final = frozenset({"injected", "jobs", "lost", "duplicated", "recovery"})


def to_table(outcomes: Sequence[Outcome]) -> Table:
    """The table as `make faults` prints it; its last row sums up."""
    table = Table(title=summary(outcomes), title_justify="left", show_lines=False)
    for column in _COLUMNS:
        table.add_column(
            column, justify="right" if column in _NUMBERS else "left", overflow="fold", no_wrap=column == "fault"
        )
    group = None
    for outcome in outcomes:
        if group is not None and outcome.group != group:
            table.add_section()
        group = outcome.group
        table.add_row(*map(escape, _cells(outcome)), style="" if outcome.holds else "bold red")
    table.add_section()
    table.add_row(*_sums(outcomes))
    return table


def to_json(outcomes: Sequence[Outcome], seed: int, seconds: float, fuzzed: Sequence[Mapping[str, Any]] = ()) -> str:
    """`{seed, seconds, faults, held, outcomes: [...], fuzzed: [...]}`, indented; `seconds` is what all of it took."""
    document = {
        "seed": seed,
        "seconds": round(seconds, 1),
        "faults": len(outcomes),
        "held": sum(outcome.holds for outcome in outcomes),
        "outcomes": [outcome.as_json() for outcome in outcomes],
        "fuzzed": list(fuzzed),
    }
    return json.dumps(document, indent=2) + "\n"


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line about all of them."""
    held = sum(outcome.holds for outcome in outcomes)
    lost, duplicated = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("lost", "duplicated"))
    jobs = sum(outcome.jobs for outcome in outcomes)
    return f"{held} of {len(outcomes)} faults hold; of {jobs} jobs {lost} lost, {duplicated} duplicated"


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """The matrix for people who read about it: a table for each group, with what each fault does."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.group, []).append(outcome)
    return f"{summary(outcomes)}.\n\n" + "\n".join(_group(name, members) for name, members in groups.items())


def _group(name: str, outcomes: Sequence[Outcome]) -> str:
    head = (
        "| fault | what it does | injected | jobs | lost | duplicated | dead-lettered | recovery | verdict |\n"
        "|---|---|--:|--:|--:|--:|---|--:|---|\n"
    )
    rows = []
    for outcome in outcomes:
        fault, *rest = _cells(outcome)
        rows.append(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{fault}`", outcome.what, *rest)) + " |\n"
        )
    return f"### {name}\n\n{head}{''.join(rows)}"


def with_matrix(page: str, matrix: str) -> str:
    """The page with what stands between its markers replaced; without a page, one that has little else.

    Raises:
        ValueError: the page has text and not both markers, so where the matrix goes is not known.
    """
    if not page.strip():
        page = f"{_HEADING}\n{BEGIN}\n{END}\n"
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{matrix}\n{END}{after}"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.name,
        str(outcome.injected),
        str(outcome.jobs),
        str(outcome.lost),
        str(outcome.duplicated),
        _letters(outcome.dead_lettered),
        "-" if outcome.recovery_seconds is None else f"{outcome.recovery_seconds:.1f} s",
        outcome.verdict,
    )


def _letters(dead_lettered: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dead_lettered.items()) or "-"


def _sums(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    letters: dict[str, int] = {}
    for outcome in outcomes:
        for reason, count in outcome.dead_lettered.items():
            letters[reason] = letters.get(reason, 0) + count
    sums = [
        str(sum(getattr(outcome, name) for outcome in outcomes)) for name in ("injected", "jobs", "lost", "duplicated")
    ]
    longest = max((outcome.recovery_seconds or 0.0 for outcome in outcomes), default=0.0)
    held = sum(outcome.holds for outcome in outcomes)
    return ("all", *sums, _letters(letters), f"{longest:.1f} s", f"{held} of {len(outcomes)}")
