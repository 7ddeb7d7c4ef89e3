"""Draws the cost of each day of a month. Counts nothing.

On a white card of its own, so that it reads the same on a light and on a dark page. Needs matplotlib (the optional
group `bench`), and is imported only where a plot is asked for.
"""

from calendar import monthrange
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from producer.operator.costs.totals import Sum

FORMATS = (".png", ".svg")
_INK, _QUIET, _BAR = "#1f2328", "#6e7781", "#0b7285"


def draw_days(month: date, days: Mapping[date, Sum], target: Path) -> None:
    """Write a picture with a bar for each day of the month; `target` ends in one of `FORMATS`."""
    last = monthrange(month.year, month.month)[1]
    numbers = range(1, last + 1)
    costs = [days.get(month.replace(day=number), Sum()).cost_usd for number in numbers]
    figure = Figure(figsize=(10, 4), facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.bar(numbers, costs, color=_BAR, width=0.8)
    axes.set_xlim(0.4, last + 0.6)
    axes.set_xticks([number for number in numbers if number == 1 or number % 5 == 0])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("USD", color=_QUIET)
    axes.set_xlabel("day (UTC)", color=_QUIET)
    axes.set_title(f"{month:%Y-%m}: {sum(costs):,.2f} USD", loc="left", color=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    # The same bytes for the same numbers: no date, no random ids. Text stays text.
    with mpl.rc_context({"svg.hashsalt": "scribefleet", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(target, dpi=110, metadata={"Date": None} if target.suffix == ".svg" else None)
