"""Scans and ticks at another time of day: a real scanner and a real autoscaler's function, whose clock is ahead.

`python -m tests.faults.harness.later scan|tick [OPTION ...]`, with the environment of `scribefleet`. What passes by
in a quarter of an hour, or in a day, can so be seen in seconds. `late_scan` and `late_ticks` start them for scripts.
"""

import contextlib
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from autoscaler.handler import Handler
from producer.scan.scan import Scanner
from shared.clock import SystemClock
from shared.errors import InstanceError, ScribefleetError
from shared.logs import configure_logging
from shared.settings import load_settings

if TYPE_CHECKING:
    from tests.faults.harness.fleet import Fleet
    from tests.faults.harness.processes import HarnessProcess

_MODULE = "tests.faults.harness.later"


class LaterClock(SystemClock):
    """The machine's clock, `ahead` of the right time of day."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return super().now() + self.ahead


@click.group()
def main() -> None:
    """Be the scanner or the autoscaler, at another time of day."""


@main.command()
@click.option("--ahead", type=float, default=0.0, help="Seconds that the clock is ahead.")
def scan(*, ahead: float) -> None:
    """Scan once, and queue."""
    settings = load_settings()
    configure_logging(settings.log_level, "json")
    Scanner.from_settings(settings, LaterClock(timedelta(seconds=ahead))).scan(enqueue=True)


@main.command()
@click.option("--ahead", type=float, default=0.0, help="Seconds that the clock is ahead at the first tick.")
@click.option("--every", type=float, default=60.0, help="Seconds that it jumps ahead from tick to tick.")
@click.option("--times", type=int, default=1, help="How many ticks.")
@click.option("--until-start", is_flag=True, help="None follows one that has started an instance.")
def tick(*, ahead: float, every: float, times: int, until_start: bool) -> None:
    """Tick, once or in a row."""
    clock = LaterClock(timedelta(seconds=ahead))
    function = Handler(clock)
    for _ in range(times):
        result: dict[str, Any] = {}
        with contextlib.suppress(InstanceError):  # as with Lambda, the next tick comes all the same
            result = function({}, None)
        if until_start and result.get("outcome", {}).get("started"):
            return
        clock.ahead += timedelta(seconds=every)


def late_scan(fleet: "Fleet", actor: str = "scanner-later", *, ahead: float = 0.0) -> "HarnessProcess":
    """Start a scan at a time of day that is `ahead` seconds off; what it did is its event `scan`."""
    return fleet.crew.command(actor, ["scan", f"--ahead={ahead}"], module=_MODULE)


def late_ticks(
    fleet: "Fleet",
    actor: str = "autoscaler-later",
    *,
    ahead: float = 0.0,
    every: float = 60.0,
    times: int = 1,
    until_start: bool = False,
) -> "HarnessProcess":
    """Start ticks in a row, the first at a time of day that is `ahead` seconds off; each is an event `tick`."""
    options = [f"--ahead={ahead}", f"--every={every}", f"--times={times}", *["--until-start"] * until_start]
    return fleet.crew.command(actor, ["tick", *options], module=_MODULE)


if __name__ == "__main__":
    try:
        main(prog_name="later")
    except ScribefleetError as error:
        click.echo(f"later: {error}", err=True)
        sys.exit(1)
