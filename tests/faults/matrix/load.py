"""The load of `python -m tests.faults.load`, small enough for the matrix."""

from typing import Final

from tests.faults.harness.fleet import Fleet
from tests.faults.harness.scenario import Fault
from tests.faults.load_course import SETTINGS, Course

_JOBS: Final = 300
_WORKERS: Final = 4
# On an idle machine it takes less than half a minute.
_LIMIT_SECONDS: Final = 400.0


def _load(fleet: Fleet) -> None:
    Course(fleet, _JOBS, _WORKERS, fleet.seed, lambda _: None).run(_LIMIT_SECONDS)


FAULTS: Final = (
    Fault(
        name="load",
        group="load",
        what=f"Calls fail and workers are killed while {_JOBS} jobs go through {_WORKERS} workers.",
        script=_load,
        settings=SETTINGS,
        workers=_WORKERS,
        bounds_seconds=_LIMIT_SECONDS,
    ),
)
