"""What a measurement is, whether it keeps its bound, and how all of them are shown: a table and JSON.

Measures nothing by itself. Neither form names the host or a path of it, so results can be compared and published.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bound:
    """The limit of a measurement, itself allowed, in the measurement's unit."""

    kind: Literal["at most", "at least"]
    limit: float

    def holds(self, value: float) -> bool:
        """Whether `value` is within the limit."""
        return value <= self.limit if self.kind == "at most" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.kind} {_number(self.limit)}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number.

    Attributes:
        value: absent when it could not be measured; `detail` then says why.
        bound: absent when the number only explains another one.
    """

    name: str
    value: float | None
    unit: str
    bound: Bound | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was measured and keeps its bound."""
        return self.value is not None and (self.bound is None or self.bound.holds(self.value))


def to_json(measurements: Sequence[Measurement]) -> str:
    """`{measurements: [{name, value, unit, bound, ok, detail}], machine: {cores, python, platform}}`, indented."""
    rows = [
        {
            "name": each.name,
            "value": each.value,
            "unit": each.unit,
            "bound": str(each.bound) if each.bound else None,
            "ok": each.ok,
            "detail": each.detail,
        }
        for each in measurements
    ]
    return json.dumps({"measurements": rows, "machine": machine()}, indent=2) + "\n"


def to_table(measurements: Sequence[Measurement]) -> Table:
    """The measurements as rows; one that breaks its bound stands out."""
    table = Table(title="make bench")
    table.add_column("measurement")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("bound")
    table.add_column("ok")
    table.add_column("detail", style="dim")
    for each in measurements:
        value = "-" if each.value is None else _number(each.value)
        # A number without a bound has nothing to keep; a tick there would claim more than was checked.
        mark = "[red bold]NO[/]" if not each.ok else "[green]yes[/]" if each.bound else ""
        table.add_row(each.name, value, each.unit, str(each.bound or ""), mark, each.detail)
    return table


def machine() -> dict[str, object]:
    """What the numbers depend on: cores this process may use, Python's version, operating system and architecture."""
    # cpu_count is the host's; a container or a taskset may leave this process fewer, where the system can tell.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {
        "cores": cores,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _number(value: float) -> str:
    """Whole numbers in full, others with three significant digits."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
