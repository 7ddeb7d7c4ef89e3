"""The simulated instances of one fleet: they boot, run a worker, stop, are interrupted, and cost money.

What EC2 would do and no more: who starts and stops them is decided elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from autoscaler.model import Instance, InstanceState
from autoscaler.providers.contract import ALREADY_STARTED, HELD
from autoscaler.record import NO_CAPACITY
from autoscaler.simulate.world.agenda import moment_of
from autoscaler.simulate.world.context import SimulationContext
from autoscaler.simulate.world.worker import SimulatedWorker
from autoscaler.simulate.world.zones import Zones
from shared.formats.heartbeat import Heartbeat

_MIN_BILLED_SECONDS = 60
_NOTICE_SECONDS = 120


@dataclass(slots=True)
class _Host:
    """One instance; `run` counts its boots, so that events of an earlier one are known to be outdated."""

    id: str
    zone: str
    state: InstanceState = "stopped"
    launched: float = 0.0
    owned_since: datetime | None = None
    stopped_at: datetime | None = None
    suspect_since: datetime | None = None
    rebooted_at: datetime | None = None
    hold: bool = False
    run: int = 0
    worker: SimulatedWorker | None = None
    last_heartbeat: Heartbeat | None = None
    seen: Instance | None = None

    def become(self, state: InstanceState) -> None:
        self.state = state
        self.seen = None


class SimulatedFleet:
    """All instances of the pool.

    Attributes:
        started_at: when instances were started, in seconds.
        running_seconds: billed time of the runs that are over; a run counts at least 60 s.
    """

    def __init__(self, size: int, around: SimulationContext) -> None:
        self._around = around
        self._zones = Zones(around)
        self._hosts: dict[str, _Host] = {}
        self.add(size)
        self._running: dict[str, _Host] = {}
        self.started_at: list[float] = []
        self.running_seconds = 0.0

    def add(self, count: int) -> None:
        """Have so many more stopped instances, spread over the zones."""
        for number in range(len(self._hosts), len(self._hosts) + count):
            name = f"i-{number + 1:04d}"
            self._hosts[name] = _Host(name, self._zones.allot(number))

    # --- what is seen of it

    def instances(self) -> tuple[Instance, ...]:
        """What EC2 says."""
        return tuple(self._seen(host) for host in self._hosts.values())

    def heartbeats(self) -> dict[str, Heartbeat]:
        """What is in the ledger, of this run or an older one."""
        found: dict[str, Heartbeat] = {}
        for host in self._hosts.values():
            heartbeat = host.worker.heartbeat() if host.worker else host.last_heartbeat
            if heartbeat:
                found[host.id] = heartbeat
        return found

    @property
    def running(self) -> int:
        """How many instances are pending or running."""
        return len(self._running)

    def billed_seconds(self) -> float:
        """Billed up to now, runs that go on included."""
        now = self._around.agenda.now
        return self.running_seconds + sum(_billed(now - host.launched) for host in self._running.values())

    # --- what is done to it

    def start(self, instance_id: str, now: datetime) -> str | None:
        """Start a stopped instance, as the autoscaler's own since `now`; returns the code of a refusal."""
        host = self._hosts[instance_id]
        if host.hold:
            return HELD
        if host.state in {"pending", "running"}:
            return ALREADY_STARTED
        if host.state == "stopping":
            return "IncorrectInstanceState"
        if self._zones.is_full(host.zone):
            return NO_CAPACITY
        host.owned_since = now
        self._launch(host)
        self.started_at.append(self._around.agenda.now)
        self._around.watch.instance_started(self._around.agenda.now, host.id)
        return None

    def start_by_person(self, instance_id: str) -> None:
        """Someone starts the instance for their own purposes; the autoscaler does not own it."""
        host = self._hosts[instance_id]
        host.owned_since = None
        self._launch(host)
        self._around.watch.instance_found_running(host.id)

    def hold_by_person(self, instance_id: str) -> None:
        """Someone puts the hold tag on the instance."""
        host = self._hosts[instance_id]
        host.hold = True
        host.become(host.state)

    def fill_zone_of(self, instance_id: str) -> None:
        """EC2 has no capacity left where this instance is."""
        self._zones.fill(self._hosts[instance_id].zone)

    def stop(self, instance_id: str, by: str) -> bool:
        """Stop a running instance; returns whether EC2 did."""
        host = self._hosts[instance_id]
        if host.state != "running":
            return False
        if host.worker:
            host.last_heartbeat = host.worker.heartbeat()
            if by == "worker":
                host.worker.leave()
            else:
                host.worker.end()
            host.worker = None
        self._around.watch.instance_stopped(self._around.agenda.now, host.id, by)
        self.running_seconds += _billed(self._around.agenda.now - host.launched)
        del self._running[host.id]
        host.stopped_at = self._around.agenda.moment
        host.become("stopping")
        self._later(host, self._around.conditions.stop_seconds, lambda: host.become("stopped"))
        return True

    def mark(self, instance_id: str, now: datetime) -> None:
        """Tag an instance as suspect since `now`."""
        host = self._hosts[instance_id]
        host.suspect_since = now
        host.become(host.state)

    def reboot(self, instance_id: str, now: datetime) -> None:
        """Reboot a running instance, as the autoscaler at `now`."""
        host = self._hosts[instance_id]
        if host.state != "running":
            return
        if host.worker:
            host.last_heartbeat = host.worker.heartbeat()
            host.worker.end()
            host.worker = None
        self._around.watch.worker_gone(host.id)
        host.run += 1
        host.rebooted_at = now
        host.become("running")
        self._enter_boot(host)

    # --- what happens by itself

    def _launch(self, host: _Host) -> None:
        around = self._around
        host.run += 1
        host.launched = around.agenda.now
        host.become("pending")
        self._running[host.id] = host
        boot = self._enter_boot(host)
        self._later(host, min(around.conditions.pending_seconds, boot), lambda: host.become("running"))

    def _enter_boot(self, host: _Host) -> float:
        seconds = self._around.random.uniform(*self._around.conditions.boot_seconds)
        self._later(host, seconds, lambda: self._booted(host))
        return seconds

    def _booted(self, host: _Host) -> None:
        host.worker = SimulatedWorker(
            host.id, self._around, lambda: self._stop_itself(host), owned=host.owned_since is not None
        )
        host.worker.begin()
        conditions = self._around.conditions
        self._perhaps(host, conditions.crashes_per_hour, self._crash)
        self._perhaps(host, conditions.hangs_per_hour, self._hang)
        self._perhaps(host, conditions.interruptions_per_hour, self._interrupt)

    def _stop_itself(self, host: _Host) -> None:
        self.stop(host.id, "worker")

    def _crash(self, host: _Host) -> None:
        if host.worker:
            host.worker.crash()
        self._perhaps(host, self._around.conditions.crashes_per_hour, self._crash)

    def _hang(self, host: _Host) -> None:
        if host.worker:
            host.worker.hang()

    def _interrupt(self, host: _Host) -> None:
        if host.worker:
            host.worker.notice()
        self._later(host, _NOTICE_SECONDS, lambda: self._interrupted(host))

    def _interrupted(self, host: _Host) -> None:
        self.stop(host.id, "EC2")

    def _perhaps(self, host: _Host, per_hour: float, event: Callable[[_Host], None]) -> None:
        if per_hour:
            self._later(host, self._around.random.expovariate(per_hour / 3600), lambda: event(host))

    def _later(self, host: _Host, seconds: float, event: Callable[[], None]) -> None:
        """Unless the run is over by then."""
        run = host.run

        def happens() -> None:
            if host.run == run:
                event()

        self._around.agenda.after(seconds, happens)

    def _seen(self, host: _Host) -> Instance:
        if host.seen is None:
            host.seen = Instance(
                id=host.id,
                state=host.state,
                launch_time=moment_of(host.launched),
                owned_since=host.owned_since,
                hold=host.hold,
                availability_zone=host.zone,
                stopped_at=host.stopped_at,
                suspect_since=host.suspect_since,
                rebooted_at=host.rebooted_at,
            )
        return host.seen


def _billed(seconds: float) -> float:
    return max(seconds, _MIN_BILLED_SECONDS)
