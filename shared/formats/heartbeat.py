"""What workers say of themselves, and a look at what they said.

Where that is kept is the ledger's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime

from shared.formats.wire import WireModel

WorkerState = Literal["starting", "idle", "busy", "locked", "draining"]


class Heartbeat(WireModel):
    """What a worker last said of itself.

    Attributes:
        state: what it was doing; `draining` means that it will take no more jobs in this run.
        beat_at: when it said so.
        idle_since: when it last had work, or started; absent while it has some.
        jobs_done: jobs finished in this run, whatever their outcome.
        rtfx: seconds of audio transcribed in a second of work; absent before the first job.
        progress_at: when it last finished a job or, if later, last began to have work; absent without any.
    """

    instance_id: str
    state: WorkerState
    beat_at: AwareDatetime
    idle_since: AwareDatetime | None = None
    jobs_done: int = 0
    rtfx: float | None = None
    progress_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """What a look at the heartbeats found.

    Attributes:
        valid: instance id -> its last heartbeat.
        invalid: instances that have one which says nothing to this version: not the same as none.
    """

    valid: Mapping[str, Heartbeat]
    invalid: frozenset[str] = frozenset()
