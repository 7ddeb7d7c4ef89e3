"""Plays EC2's hosts: an instance that starts gets a real worker process, one that stops loses it.

It looks at the embedded cloud's instances as an observer, and only does what a host does by itself: boots (with the
worker's settings from the instance's own user data, under the role of its profile), restarts a worker that fails, as
systemd does, and powers off when the worker is gone for good. Who starts and stops instances is the fleet's business.
"""

import base64
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from deploy.local.cloud import REGION, EmbeddedCloud
from deploy.local.metadata_service import metadata_service
from deploy.local.processes import clean_environment, end, start_tethered
from shared.background import repeating
from shared.state.instances import STARTED_AT_TAG, tags_of

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ResponseLaunchTemplateDataTypeDef

WORKER_ENV_PATH = "/etc/scribefleet/worker.env"
_POLL_INTERVAL_SECONDS = 0.3
# systemd's StartLimitBurst on the real host: a worker that fails this often in one boot is gone for good.
_MAX_FAILURES = 3
_STOP_GRACE_SECONDS = 30


@dataclass(slots=True)
class _Host:
    """One booted instance."""

    boot: str
    environment: Mapping[str, str]
    resources: ExitStack
    process: "subprocess.Popen[bytes]"
    failures: int = 0


class Supervisor:
    """Keeps a worker process for each running instance.

    Args:
        log_directory: an existing directory; each instance's worker appends to `worker-{instance}.log` there.

    Attributes:
        gone_for_good: instances that powered off because their worker kept failing, in order.
    """

    def __init__(self, cloud: EmbeddedCloud, log_directory: Path) -> None:
        self._cloud = cloud
        self._ec2 = cloud.ec2()
        self._logs = log_directory
        self._hosts: dict[str, _Host] = {}
        self._mutex = threading.Lock()
        self.gone_for_good: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Supervise in the background for as long as the block lasts; then stop all workers and wait for them."""
        try:
            with repeating(self._look, _POLL_INTERVAL_SECONDS, "supervisor"):
                yield
        finally:
            self._end_all()

    def worker_pids(self) -> dict[str, int]:
        """The process of each booted instance's worker."""
        with self._mutex:
            return {instance: host.process.pid for instance, host in self._hosts.items()}

    def _look(self) -> None:
        """Bring the hosts in line with what EC2 says."""
        running: dict[str, str] = {}
        for page in self._ec2.get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    if instance["State"]["Name"] == "running":
                        running[instance["InstanceId"]] = tags_of(instance.get("Tags", [])).get(STARTED_AT_TAG, "")
        for instance_id in [i for i in self._hosts if i not in running]:
            self._shut_down(instance_id)
        for instance_id, boot in running.items():
            host = self._hosts.get(instance_id)
            if host is None:
                self._boot(instance_id, boot)
            elif host.process.poll() is not None:
                self._worker_ended(instance_id, host, boot)

    def _boot(self, instance_id: str, boot: str) -> None:
        resources = ExitStack()
        metadata = resources.enter_context(metadata_service(instance_id, "g4dn.xlarge", REGION))
        environment = clean_environment(
            {
                **self._cloud.role_environment(self._role_arn(), instance_id),
                **self._worker_settings(),
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata,
            }
        )
        host = _Host(boot, environment, resources, self._start_worker(instance_id, environment))
        with self._mutex:
            self._hosts[instance_id] = host

    def _start_worker(self, instance_id: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return start_tethered("deploy", ["consume"], environment, self._logs / f"worker-{instance_id}.log")

    def _worker_ended(self, instance_id: str, host: _Host, boot: str) -> None:
        if boot != host.boot:  # stopped and started again between two looks
            self._shut_down(instance_id)
            self._boot(instance_id, boot)
        elif host.process.returncode == 0:
            return  # it has stopped its instance, which the next look will see, or it was told to end
        elif (host_failures := host.failures + 1) < _MAX_FAILURES:
            host.failures = host_failures
            host.process = self._start_worker(instance_id, host.environment)
        else:
            self.gone_for_good.append(instance_id)
            self._ec2.stop_instances(InstanceIds=[instance_id])
            self._shut_down(instance_id)

    def _shut_down(self, instance_id: str) -> None:
        host = self._hosts[instance_id]
        end(host.process, _STOP_GRACE_SECONDS)
        host.resources.close()
        with self._mutex:
            del self._hosts[instance_id]

    def _end_all(self) -> None:
        for host in self._hosts.values():
            if host.process.poll() is None:
                host.process.terminate()  # all at once, so that they drain side by side
        for instance_id in list(self._hosts):
            self._shut_down(instance_id)

    def _worker_settings(self) -> dict[str, str]:
        """The worker's variables from the file that the instances' user data writes on their first boot."""
        config = yaml.safe_load(base64.b64decode(self._launch_template()["UserData"]))
        files = {entry["path"]: entry["content"] for entry in config["write_files"]}
        lines = (line.partition("=") for line in files[WORKER_ENV_PATH].splitlines() if line.strip())
        return {name: value for name, _, value in lines}

    def _role_arn(self) -> str:
        """The role of the instances' profile."""
        profile = self._launch_template()["IamInstanceProfile"]["Arn"].rsplit("/", 1)[-1]
        (role,) = self._cloud.iam().get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
        return role["Arn"]

    def _launch_template(self) -> "ResponseLaunchTemplateDataTypeDef":
        """What the instances are made from; those that the emulator's CloudFormation made do not know it themselves."""
        (template,) = self._ec2.describe_launch_templates()["LaunchTemplates"]
        (version,) = self._ec2.describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        return version["LaunchTemplateData"]
