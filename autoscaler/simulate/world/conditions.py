"""What the simulated world is like: how long things take and how often they go wrong.

Values only. What the fleet itself may choose is in `shared.settings`; this is what it cannot choose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Durations in seconds; a range is drawn from evenly.

    Attributes:
        boot_seconds: from the start of an instance to its worker's first heartbeat.
        pending_seconds: the part of it in which EC2 says `pending`. It is billed here, which EC2 does not do.
        rtfx: seconds of audio that a worker really transcribes in a second.
        count_lag_seconds: how old the queue counts are, at most.
        spikes_per_hour: how often the queue counts show messages that are not there.
        capacity_outages_per_day: how often EC2 starts no instance, in one zone or, as often, in any.
        crashes_per_hour: of a running worker; it is started afresh, its leases run out.
        hangs_per_hour: of a running worker; its instance runs on in silence.
        interruptions_per_hour: of a running spot instance, two minutes after notice.
        ticks_missed, ticks_twice: share of ticks, 0 to 1.
        starts_throttled, answers_lost: share of calls that start instances, 0 to 1, for which EC2 has no time, or
            which it carries out without an answer that arrives.
        call_seconds: what such a call takes the tick.
    """

    boot_seconds: Range = (60, 180)
    pending_seconds: float = 10
    model_load_seconds: float = 8
    stop_seconds: float = 12
    restart_seconds: float = 10
    rtfx: float = 20
    count_lag_seconds: float = 0
    spikes_per_hour: float = 0
    spike_seconds: Range = (1, 60)
    spike_jobs: Range = (1, 500)
    capacity_outages_per_day: float = 0
    capacity_outage_seconds: Range = (300, 3600)
    crashes_per_hour: float = 0
    hangs_per_hour: float = 0
    interruptions_per_hour: float = 0
    tick_late_seconds: float = 0
    ticks_missed: float = 0
    ticks_twice: float = 0
    starts_throttled: float = 0
    answers_lost: float = 0
    call_seconds: float = 0.3


STEADY = Conditions(boot_seconds=(95, 95))
"""Nothing goes wrong, and every boot takes as long as the last."""

TROUBLED = Conditions(
    count_lag_seconds=60,
    spikes_per_hour=0.2,
    capacity_outages_per_day=1,
    crashes_per_hour=0.2,
    hangs_per_hour=0.05,
    interruptions_per_hour=0.05,
    tick_late_seconds=20,
    ticks_missed=0.01,
    ticks_twice=0.01,
    starts_throttled=0.02,
    answers_lost=0.01,
)
"""Everything goes wrong at times, far more often than it should."""

WRONG_COUNTS = replace(STEADY, count_lag_seconds=60, spikes_per_hour=6, spike_seconds=(1, 60))
"""The queue counts show messages that are not there, six times an hour, and are late besides."""

NAMED: Mapping[str, Conditions] = {
    "steady": STEADY,
    "usual": Conditions(
        count_lag_seconds=30, capacity_outages_per_day=0.1, crashes_per_hour=0.01, hangs_per_hour=0.002
    ),
    "wrong-counts": WRONG_COUNTS,
    "troubled": TROUBLED,
}
