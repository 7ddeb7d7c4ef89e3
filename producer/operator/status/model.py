"""What one look at a fleet sees. Values only: nothing here reads or decides."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime

from producer.operator.reports.model import ErrorFacts
from producer.operator.reports.store import ReadReport
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat
from shared.formats.wire import WireModel
from shared.state.fleet_view import Instance
from shared.state.last_tick import LastTick
from shared.state.lock import LockState


@dataclass(frozen=True, slots=True)
class Unread:
    """A part that could not be read, and why."""

    why: str


class LastScan(WireModel):
    """The head of pending-jobs.json."""

    timestamp: AwareDatetime
    total_sessions: int | None = None
    sessions_with_missing_chunks: int | None = None
    total_missing_chunks: int | None = None
    ignored_keys: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rule that invokes the scanner, with EventBridge's expression for when."""

    expression: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class FleetInstance:
    """One instance with the fleet's tag, and its worker's last heartbeat since it booted."""

    instance: Instance
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that failed for good, from the report of its run."""

    report: str
    error: ErrorFacts


@dataclass(frozen=True, slots=True)
class Reports:
    """What the newest reports tell: `None` and nothing where there is none."""

    last: ReadReport | None
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at everything; `None` means that there is none of it.

    Attributes:
        lock: free for fleets that share no GPU with live sessions; itself says when it could not be read.
        heartbeats: why the instances have no heartbeats; `None` where they were read.
    """

    observed_at: datetime
    jobs: QueueDepth | Unread
    priority: QueueDepth | Unread
    dead_letters: QueueDepth | Unread
    lock: LockState
    instances: tuple[FleetInstance, ...] | Unread
    heartbeats: Unread | None
    scan: LastScan | Unread | None
    schedule: Schedule | Unread | None
    reports: Reports | Unread
    tick: LastTick | Unread | None

    def problems(self) -> dict[str, str]:
        """The parts that could not be read, and why."""
        looked = {
            "queue jobs": self.jobs,
            "queue jobs-priority": self.priority,
            "dead letters": self.dead_letters,
            "instances": self.instances,
            "workers": self.heartbeats,
            "last scan": self.scan,
            "next scan": self.schedule,
            "reports": self.reports,
            "last decision": self.tick,
        }
        found = {part: seen.why for part, seen in looked.items() if isinstance(seen, Unread)}
        return {**found, **({"lock": self.lock.problem} if self.lock.problem else {})}
