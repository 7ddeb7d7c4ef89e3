"""The worker as a command, with faster-whisper as its model."""

from pathlib import Path

import click

from consumer.model.whisper import WhisperTranscriber
from consumer.run.process import work
from shared.clock import SystemClock
from shared.logs import configure_logging
from shared.settings import load_settings


@click.command()
@click.option("--until-empty", is_flag=True, help="End when the queue stays empty, also where no instance is stopped.")
@click.option(
    "--alive-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to touch every ten seconds while the worker makes progress, for a container's health check.",
)
def consume(*, until_empty: bool, alive_file: Path | None) -> None:
    """Transcribe jobs from the queue until it stays empty, then stop this instance.

    Runs on the GPU host. It stops only an instance that the autoscaler started; anywhere else it keeps polling.
    SIGTERM and Ctrl-C finish the current job if it fits in SCRIBEFLEET_DRAIN_SECONDS, release the other ones and
    write the report; a second one releases everything at once.

    As a systemd service of type notify it reports when it is ready, and feeds the watchdog while it makes progress.

    Exit codes: 0 done or asked to stop, 1 an error, 2 wrong use or a wrong setting, 75 a job hung or the model is
    broken: restart it.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    clock = SystemClock()
    work(
        settings,
        lambda wanted: WhisperTranscriber(wanted, clock),
        clock,
        until_empty=until_empty,
        alive_file=alive_file,
    )
