"""`scribefleet status`: a shell over reading and view."""

import json
import sys
from collections.abc import Callable

import click
from rich.console import Console
from rich.live import Live

from producer.operator.status.document import document
from producer.operator.status.model import Overview
from producer.operator.status.observe import Reader
from producer.operator.status.view import screen
from shared.clock import Clock, SystemClock
from shared.logs import configure_logging
from shared.settings import Settings, load_settings


@click.command()
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(min=1),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two looks of --watch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --watch one a line.")
def status(*, watch: bool, every_seconds: float, as_json: bool) -> None:
    """Show what is going on: queues, lock, instances and workers, scans, the last report, the last decision, failures.

    It only reads. A part that cannot be read says so, and hides no other one. The time left takes each job for one
    chunk; failures are those of the newest runs that have ended.

    Exit codes: 0 everything was read, 1 a part could not be, 2 wrong use or a wrong setting.
    """
    settings = load_settings()
    # What the fleet's own code would log about parts that it cannot read is on the screen.
    configure_logging("critical")
    clock = SystemClock()
    reader = Reader.from_settings(settings, clock)
    show = _as_json(settings) if as_json else None
    if watch:
        _watch(reader.read, settings, clock, every_seconds, show)
        return
    seen = reader.read()
    if show:
        click.echo(json.dumps(document(seen, settings), indent=2))
    else:
        Console().print(screen(seen, settings))
    if seen.problems():
        sys.exit(1)


def _as_json(settings: Settings) -> Callable[[Overview], None]:
    return lambda seen: click.echo(json.dumps(document(seen, settings)))


def _watch(
    read: Callable[[], Overview],
    settings: Settings,
    clock: Clock,
    every_seconds: float,
    show: Callable[[Overview], None] | None,
) -> None:
    """Look and show until someone interrupts: on a screen of its own, or with `show`."""
    try:
        if show:
            while True:
                show(read())
                clock.sleep(every_seconds)
        console = Console()
        # screen: the terminal is as it was before when the watch ends
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                live.update(screen(read(), settings), refresh=True)
                clock.sleep(every_seconds)
    except KeyboardInterrupt:
        return
