"""Plays EC2's hosts: an instance that runs has a worker process and a metadata service, one that stops loses them.

As on a real host, the service manager's rules hold (deploy/host/units): a worker that fails is started afresh, one that
keeps failing is given up and the host's stop command runs. The difference from `deploy.local.supervisor` is that
everything here is quick and can be disturbed. It never starts an instance, and stops one only as EC2 would: when the
time of a spot notice is over.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from deploy.local.cloud import REGION
from deploy.local.metadata_service import metadata_service
from shared.background import repeating
from shared.clock import iso
from shared.state.instances import STARTED_AT_TAG, tags_of
from tests.faults.harness.processes import HarnessProcess, WorkerProcess

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

_POLL_INTERVAL_SECONDS: Final = 0.1
_REBOOT_POLL_INTERVAL_SECONDS: Final = 0.5
# The unit's RestartPreventExitStatus: a wrong setting does not mend itself.
_NO_RESTART: Final = frozenset({2})
# What systemd counts as a clean end beside 0: the signals that ask for one.
_CLEAN: Final = frozenset({0, -15, -2, -1, -13})
_GRACE_SECONDS: Final = 6.0
_LIFE_CYCLE: Final = "/latest/meta-data/instance-life-cycle"
_SPOT_NOTICE: Final = "/latest/meta-data/spot/instance-action"


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts behave; times are seconds.

    Attributes:
        boot_seconds: from EC2's `running` to the worker's start.
        shutdown_seconds: from EC2's word that it stops to the host's end; who stopped itself has ended by then.
        restart_seconds: from a worker's failure to its next start (the unit's RestartSec, which is 15).
        most_starts: how often a worker is started in one boot (the unit's StartLimitBurst).
        spot: whether EC2 may take the instances away.
    """

    boot_seconds: float = 0.0
    shutdown_seconds: float = 2.0
    restart_seconds: float = 0.2
    most_starts: int = 5
    spot: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """One boot of an instance, in monotonic seconds; `ended` is absent while it runs."""

    began: float
    ended: float | None = None


class Host:
    """One instance of the pool, and what a fault can do to it.

    Attributes:
        actor: who its worker is at the proxy.
        starts: how often a worker was started in the present boot.
        given_up: the host's stop command, once the worker was given up in this boot.
        runs: every boot so far.
        dead: it boots, and no worker is ever started on it.
    """

    def __init__(self, instance_id: str, actor: str, manners: Manners) -> None:
        self.instance_id = instance_id
        self.actor = actor
        self.worker: WorkerProcess | None = None
        self.starts = 0
        self.given_up: HarnessProcess | None = None
        self.runs: list[Run] = []
        self.dead = False
        self.reclaimed_at: float | None = None
        self._more = {_LIFE_CYCLE: "spot"} if manners.spot else {}
        self._serving = ExitStack()
        self.metadata_endpoint = ""
        self.metadata_on()

    @property
    def is_up(self) -> bool:
        """Whether the host runs; a little longer than EC2 says so, until its processes are gone."""
        return bool(self.runs) and self.runs[-1].ended is None

    def metadata_on(self) -> None:
        """Let the metadata service answer, at the address that it has always had."""
        port = urlsplit(self.metadata_endpoint).port or 0
        self._serving.close()
        service = metadata_service(self.instance_id, "g4dn.xlarge", REGION, self._more, port=port)
        self.metadata_endpoint = self._serving.enter_context(service)

    def metadata_off(self) -> None:
        """Let nobody answer at the metadata service's address; connections are refused."""
        self._serving.close()

    def spot_notice(self, in_seconds: float) -> None:
        """EC2 gives notice, and stops the instance in so many seconds, whatever runs on it then."""
        at = datetime.now(UTC) + timedelta(seconds=in_seconds)
        self._more[_SPOT_NOTICE] = json.dumps({"action": "stop", "time": iso(at)})
        self.reclaimed_at = time.monotonic() + in_seconds

    def forget_notice(self) -> None:
        """A new boot knows nothing of a notice that the last one had."""
        self._more.pop(_SPOT_NOTICE, None)
        self.reclaimed_at = None


@dataclass(slots=True)
class _Booted:
    """The present boot of a host: which start of its instance, since when, and when its worker is started next."""

    start: str
    start_worker_at: float | None
    down_since: float | None = None
    told_to_end: bool = False
    reboots: int = 0
    reboots_asked_at: float = 0.0
    counted: HarnessProcess | None = None


StartWorker = Callable[[Host], WorkerProcess]
StartStop = Callable[[Host], HarnessProcess]
Reboots = Callable[[str], int]


class Hosts:
    """Keeps the hosts in line with what EC2 says.

    Args:
        ec2: past the proxy.
        start_worker: starts a host's worker process.
        start_stop: starts the command that stops the host of a worker that was given up.
        reboots: how often EC2 has carried out a reboot of an instance, of which the emulator shows nothing.
    """

    def __init__(
        self,
        ec2: "EC2Client",
        hosts: Sequence[Host],
        manners: Manners,
        start_worker: StartWorker,
        start_stop: StartStop,
        reboots: Reboots = lambda _instance: 0,
    ) -> None:
        self._ec2 = ec2
        self._manners = manners
        self._start_worker = start_worker
        self._start_stop = start_stop
        self._reboots = reboots
        self._hosts = tuple(hosts)
        self._booted: dict[str, _Booted] = {}

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Play for as long as the block lasts; what runs then is left to who started it."""
        with repeating(self._look, _POLL_INTERVAL_SECONDS, "hosts"):
            yield

    def close(self) -> None:
        """End the metadata services."""
        for host in self._hosts:
            host.metadata_off()

    def states(self) -> dict[str, str]:
        """Instance id -> EC2's state."""
        return {instance_id: described["State"]["Name"] for instance_id, described in self._described().items()}

    def _described(self) -> "dict[str, InstanceTypeDef]":
        ids = [host.instance_id for host in self._hosts]
        answer = self._ec2.describe_instances(InstanceIds=ids)
        return {one["InstanceId"]: one for group in answer["Reservations"] for one in group["Instances"]}

    def _look(self) -> None:
        described = self._described()
        for host in self._hosts:
            if host.reclaimed_at is not None and time.monotonic() >= host.reclaimed_at:
                self._ec2.stop_instances(InstanceIds=[host.instance_id])
                host.forget_notice()
                self._power_off(host)
                continue
            self._tend(host, described[host.instance_id])

    def _tend(self, host: Host, described: "InstanceTypeDef") -> None:
        """Bring one host in line."""
        running = described["State"]["Name"] == "running"
        start, booted = _start_of(described), self._booted.get(host.instance_id)
        if booted is None:
            if running:
                self._boot(host, start)
        elif not running or booted.start != start or booted.down_since is not None:
            self._shut_down(host, booted)
        elif self._was_rebooted(host, booted):
            self._power_off(host)
        else:
            self._keep_worker(host, booted)

    def _boot(self, host: Host, start: str) -> None:
        host.starts, host.given_up = 0, None
        host.runs.append(Run(time.monotonic()))
        due = time.monotonic() + self._manners.boot_seconds
        self._booted[host.instance_id] = _Booted(start, due, reboots=self._reboots(host.instance_id))

    def _was_rebooted(self, host: Host, booted: _Booted) -> bool:
        """Asked for seldom: the answer is a search through everything that happened."""
        now = time.monotonic()
        if now < booted.reboots_asked_at + _REBOOT_POLL_INTERVAL_SECONDS:
            return False
        booted.reboots_asked_at = now
        return self._reboots(host.instance_id) > booted.reboots

    def _keep_worker(self, host: Host, booted: _Booted) -> None:
        """What the service manager does."""
        if host.dead:
            return
        now = time.monotonic()
        if booted.start_worker_at is not None:
            if now >= booted.start_worker_at:
                booted.start_worker_at = None
                host.starts += 1
                host.worker = self._start_worker(host)
            return
        worker = host.worker
        if worker is None or worker.alive or worker is booted.counted:
            return
        booted.counted = worker
        status = worker.wait(0)
        if status in _CLEAN:
            return  # it has stopped its instance, which a look will see, or was told to end
        if status in _NO_RESTART or host.starts >= self._manners.most_starts:
            host.given_up = self._start_stop(host)
        else:
            booted.start_worker_at = now + self._manners.restart_seconds

    def _shut_down(self, host: Host, booted: _Booted) -> None:
        """Ask the worker to end as a host's end does; when its time is over there is no host any more."""
        now = time.monotonic()
        left = [process for process in (host.worker, host.given_up) if process and process.alive]
        if booted.down_since is None:
            booted.down_since = now
        since = now - booted.down_since
        if left and since >= self._manners.shutdown_seconds and not booted.told_to_end:
            booted.told_to_end = True
            for process in left:
                process.terminate()
        if left and since < self._manners.shutdown_seconds + _GRACE_SECONDS:
            return
        self._power_off(host)

    def _power_off(self, host: Host) -> None:
        """The host is gone, with all that runs on it."""
        for process in (host.worker, host.given_up):
            if process:
                process.kill()
        host.worker, host.given_up = None, None
        host.forget_notice()
        if self._booted.pop(host.instance_id, None) and host.runs:
            host.runs[-1] = Run(host.runs[-1].began, time.monotonic())


def _start_of(described: "InstanceTypeDef") -> str:
    """What tells one start of an instance from the next, also when both lie between two looks."""
    return f"{described['LaunchTime']} {tags_of(described.get('Tags', [])).get(STARTED_AT_TAG)}"
