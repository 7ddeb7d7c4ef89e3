"""Draws the sheet that compares the ways to transcribe: word errors, speed, passes through the model.

On a white card of its own, so that it reads the same on a light and on a dark page. Measures nothing.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import Measurement

# What is measured under which name, and how the sheet calls it.
_ROWS = {
    "plain loop": "plain loop,\nchunk by chunk",
    "each chunk missing in turn, restart": "scribefleet,\nsingle gaps with context",
    "every chunk missing, restart": "scribefleet,\nall missing, in windows",
    "whole recording": "whole recording\nat once",
}
_OURS = ("each chunk missing in turn, restart", "every chunk missing, restart")
_INK, _QUIET, _OURS_COLOUR, _OTHER_COLOUR = "#1f2328", "#6e7781", "#0b7285", "#b6bec8"
_PANELS = (
    ("words", "word errors in 100 words", "fewer is better", "{:.1f}"),
    ("speed", "seconds of audio in a second", "more is better", "{:.1f}"),
    ("calls", "passes through the model", "fewer is better", "{:,.0f}"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One way to transcribe; `values` are by panel, `None` for what is not known."""

    label: str
    ours: bool
    values: Mapping[str, float | None]


def rows_of(values: Mapping[str, float | None]) -> list[Row]:
    """The sheet's rows from measurements by name; empty when a way to transcribe was not measured."""
    if any(f"words: {name}" not in values for name in _ROWS):
        return []
    return [
        Row(label, name in _OURS, {panel: values.get(f"{panel}: {name}") for panel, *_ in _PANELS})
        for name, label in _ROWS.items()
    ]


def draw_measurements(measurements: Sequence[Measurement], target: Path) -> bool:
    """Draw the sheet if all of it was measured; returns whether it was."""
    rows = rows_of({each.name: each.value for each in measurements})
    if rows:
        draw(rows, target)
    return bool(rows)


def draw(rows: Sequence[Row], target: Path) -> None:
    """Write the sheet as a picture, of the kind that the file's ending names (svg, png)."""
    # The same bytes for the same numbers: no date, no random ids. Text stays text.
    with mpl.rc_context({"svg.hashsalt": "scribefleet", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(10, 3.1), facecolor="white", layout="constrained")
        axes = figure.subplots(1, len(_PANELS), sharey=True)
        for panel, ax in zip(_PANELS, axes, strict=True):
            _draw_panel(ax, rows, *panel)
        metadata = {"Date": None} if target.suffix == ".svg" else None
        figure.savefig(target, dpi=160, metadata=metadata, pad_inches=0.2, bbox_inches="tight")


def _draw_panel(ax: Axes, rows: Sequence[Row], panel: str, title: str, better: str, form: str) -> None:
    values = [row.values[panel] for row in rows]
    places = range(len(rows))
    colours = [_OURS_COLOUR if row.ours else _OTHER_COLOUR for row in rows]
    ax.barh(places, [value or 0 for value in values], color=colours, height=0.62)
    most = max((value or 0 for value in values), default=0) or 1
    for place, value in zip(places, values, strict=True):
        text = "not known" if value is None else form.format(value)
        ax.text((value or 0) + 0.02 * most, place, text, va="center", ha="left", fontsize=10, color=_INK)
    ax.set_xlim(0, 1.22 * most)
    ax.set_yticks(places, [row.label for row in rows], fontsize=10, color=_INK)
    ax.invert_yaxis()
    ax.set_title(title, loc="left", fontsize=11, color=_INK, pad=20)
    ax.text(0, 1.03, better, transform=ax.transAxes, fontsize=9, color=_QUIET, va="bottom")
    ax.tick_params(length=0)
    ax.set_xticks([])
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)


def _main() -> None:
    """`python -m bench.plot JSON PICTURE`: draws what a run of the bench has written."""
    source, target = map(Path, sys.argv[1:3])
    written = json.loads(source.read_text(encoding="utf-8"))["measurements"]
    draw(rows_of({each["name"]: each["value"] for each in written}), target)


if __name__ == "__main__":
    _main()
