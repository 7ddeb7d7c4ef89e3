"""Hosts follow EC2 and keep their worker as the service manager does; here any process stands in for a worker."""

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness.hosts import Host, Hosts, Manners
from tests.faults.harness.processes import HarnessProcess, WorkerProcess
from tests.faults.harness.server import make_pool

if TYPE_CHECKING:
    from tests.conftest import Cloud

_PATIENCE_SECONDS = 15


@dataclass
class Site:
    """One host of a pool, and everything that was started on it."""

    cloud: "Cloud"
    host: Host
    logs: Path
    instead: tuple[str, ...] | None = None
    reboots: int = 0
    workers: list[WorkerProcess] = field(default_factory=list)
    stops: list[HarnessProcess] = field(default_factory=list)

    def start_worker(self, host: Host) -> WorkerProcess:
        module, *arguments = self.instead or ("http.server", "0", "--bind", "127.0.0.1")
        self.workers.append(WorkerProcess(host.actor, module, arguments, {}, self.logs))
        return self.workers[-1]

    def start_stop(self, host: Host) -> HarnessProcess:
        self.stops.append(HarnessProcess(host.actor, "this", [], {}, self.logs))
        return self.stops[-1]

    def start(self) -> None:
        self.cloud.ec2.start_instances(InstanceIds=[self.host.instance_id])

    def stop(self) -> None:
        self.cloud.ec2.stop_instances(InstanceIds=[self.host.instance_id])

    def until_running(self, workers: int) -> None:
        """Until so many workers have been started, and the last one runs."""
        until(lambda: len(self.workers) == workers and self.workers[-1].alive)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def _site(cloud: "Cloud", logs: Path, most_starts: int = 5) -> Iterator[Site]:
    ways = Manners(restart_seconds=0.05, shutdown_seconds=0, most_starts=most_starts)
    (instance,) = make_pool(cloud.ec2, "scribefleet", 1)
    site = Site(cloud, Host(instance, "worker-1", ways), logs)
    hosts = Hosts(cloud.ec2, [site.host], ways, site.start_worker, site.start_stop, lambda _: site.reboots)
    try:
        with hosts.running():
            yield site
    finally:
        for process in (*site.workers, *site.stops):
            process.kill()
        hosts.close()


def test_a_worker_runs_for_as_long_as_its_instance(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        assert not site.host.is_up
        site.start()
        site.until_running(workers=1)
        site.stop()
        until(lambda: not site.host.is_up)
        assert site.workers[0].returncode == -signal.SIGTERM
        site.start()
        site.until_running(workers=2)
        assert [run.ended is None for run in site.host.runs] == [False, True]


def test_a_worker_that_is_killed_is_started_afresh(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        site.start()
        site.until_running(workers=1)
        site.workers[0].signal(signal.SIGKILL)
        site.until_running(workers=2)
        assert site.host.starts == 2
        assert len(site.host.runs) == 1


def test_a_worker_that_keeps_failing_is_given_up_and_the_hosts_stop_command_runs(
    cloud: "Cloud", tmp_path: Path
) -> None:
    with _site(cloud, tmp_path, most_starts=3) as site:
        site.instead = ("no_such_module",)
        site.start()
        until(lambda: bool(site.stops))
        assert (len(site.workers), len(site.stops)) == (3, 1)


def test_a_dead_host_boots_and_starts_no_worker(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        site.host.dead = True
        site.start()
        until(lambda: site.host.is_up)
        time.sleep(0.3)  # several looks
        assert site.workers == []
        site.stop()
        until(lambda: not site.host.is_up)


def test_a_worker_that_was_asked_to_end_is_not_started_again(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        site.start()
        site.until_running(workers=1)
        site.workers[0].terminate()
        until(lambda: not site.workers[0].alive)
        time.sleep(0.3)  # several looks
        assert (len(site.workers), site.stops) == (1, [])


def test_a_reboot_takes_the_worker_and_brings_another(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        site.start()
        site.until_running(workers=1)
        site.reboots += 1
        site.until_running(workers=2)
        assert site.workers[0].returncode == -signal.SIGKILL
        assert len(site.host.runs) == 2


def test_a_spot_notice_is_told_and_the_instance_taken_when_its_time_is_over(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        site.start()
        site.until_running(workers=1)
        assert _status(site.host, "meta-data/spot/instance-action") == 404
        site.host.spot_notice(in_seconds=0.5)
        assert _status(site.host, "meta-data/spot/instance-action") == 200
        assert site.workers[0].alive
        until(lambda: not site.host.is_up)
        assert site.workers[0].returncode == -signal.SIGKILL
        (reservation,) = cloud.ec2.describe_instances(InstanceIds=[site.host.instance_id])["Reservations"]
        assert reservation["Instances"][0]["State"]["Name"] == "stopped"
        assert _status(site.host, "meta-data/spot/instance-action") == 404


def test_the_metadata_service_goes_away_and_comes_back_at_its_address(cloud: "Cloud", tmp_path: Path) -> None:
    with _site(cloud, tmp_path) as site:
        before = site.host.metadata_endpoint
        assert _status(site.host, "meta-data/instance-life-cycle") == 200
        site.host.metadata_off()
        with pytest.raises(urllib.error.URLError):
            _status(site.host, "meta-data/instance-life-cycle")
        site.host.metadata_on()
        assert site.host.metadata_endpoint == before
        assert _status(site.host, "meta-data/instance-life-cycle") == 200


def _status(host: Host, path: str) -> int:
    """The answer of the host's metadata service, asked as version 2 wants it."""
    base = f"{host.metadata_endpoint}latest"
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/api/token", method="PUT", headers=lifetime)) as answer:
        token = answer.read().decode()
    request = urllib.request.Request(f"{base}/{path}", headers={"X-aws-ec2-metadata-token": token})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
