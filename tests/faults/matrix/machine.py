"""The machine under a worker is not as it should be: its disk is full, its clock is wrong."""

from typing import Final

from tests.faults.harness.fleet import Fleet
from tests.faults.harness.scenario import Broken, Fault, Script
from tests.faults.matrix.baseline import two_sessions

# Enough for a worker's first words, and for nothing of its work.
_DISK_BYTES: Final = 1500
_HOUR: Final = 3600.0


def _disk_full(fleet: Fleet) -> None:
    two_sessions(fleet)
    worker = fleet.start_worker("worker-1", most_file_bytes=_DISK_BYTES)
    fleet.settled()
    if worker.log_file.stat().st_size < _DISK_BYTES:
        raise Broken("the log never filled its disk")


def _clocks_apart(*offsets: float) -> Script:
    def script(fleet: Fleet) -> None:
        two_sessions(fleet)
        for number, offset in enumerate(offsets, 1):
            fleet.start_worker(f"worker-{number}", clock_offset=offset)

    return script


FAULTS: Final = (
    Fault(
        name="disk-full",
        group="machine",
        what="A worker's disk is full: not even its log can be written.",
        script=_disk_full,
        injected=1,
    ),
    Fault(
        name="clock-ahead",
        group="machine",
        what="The clock of one worker is an hour ahead.",
        script=_clocks_apart(_HOUR, 0),
        injected=1,
    ),
    Fault(
        name="clock-behind",
        group="machine",
        what="The clock of one worker is an hour behind.",
        script=_clocks_apart(-_HOUR, 0),
        injected=1,
    ),
)
