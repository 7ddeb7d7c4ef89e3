"""A real worker process that hears with the scripted transcriber; all else is the product's own code.

`python -m tests.faults.harness.worker [OPTION ...]`, with the environment of `scribefleet consume`. It differs from
that command in the model, in a clock that can be wrong, and in a disk that can be full.
"""

import os
import resource
import sys
from datetime import datetime, timedelta

import click

from consumer.run.process import work
from shared.clock import SystemClock
from shared.errors import ConfigurationError, ScribefleetError
from shared.logs import configure_logging
from shared.settings import load_settings
from tests.faults.harness.hearing import HarnessAnnouncer, ScriptedTranscriber


class SkewedClock(SystemClock):
    """The machine's clock with the wrong time of day.

    Args:
        offset: is added to it.
    """

    def __init__(self, offset: timedelta) -> None:
        self._offset = offset

    def now(self) -> datetime:
        return super().now() + self._offset


@click.command()
@click.option("--until-empty", is_flag=True, help="End when the queue stays empty.")
@click.option("--seconds-per-window", type=float, default=0.15, show_default=True, help="What the model takes.")
@click.option("--clock-offset", type=float, default=0.0, show_default=True, help="Seconds that the clock is ahead.")
@click.option("--most-file-bytes", type=int, help="No file may grow beyond this, as on a full disk.")
def worker(*, until_empty: bool, seconds_per_window: float, clock_offset: float, most_file_bytes: int | None) -> None:
    """Be a worker."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # as the service does: a crash is no reason to fill the disk
    if most_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    clock = SkewedClock(timedelta(seconds=clock_offset))
    announcer = HarnessAnnouncer(os.environ["AWS_ENDPOINT_URL"])
    work(
        settings,
        lambda wanted: ScriptedTranscriber(wanted, clock, announcer, seconds_per_window=seconds_per_window),
        clock,
        until_empty=until_empty,
    )


def main() -> None:
    """The outermost boundary, as that of the console script: the same exit codes."""
    try:
        worker(prog_name="worker")
    except ConfigurationError as error:
        _end(str(error), 2)
    except ScribefleetError as error:
        _end(str(error), 1)


def _end(message: str, code: int) -> None:
    click.echo(f"scribefleet: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
