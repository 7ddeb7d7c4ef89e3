"""The whole fleet with real processes, over an embedded cloud of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.model.location import resolve_model_dir
from deploy.local.cloud import EmbeddedCloud, LocalStack, embedded_cloud
from deploy.local.fill import FillOptions, stack_parameters
from deploy.local.lambdas import LambdaRuntime, deployed_functions
from deploy.local.supervisor import Supervisor
from shared.clock import SystemClock
from shared.state.ledger import Ledger


@dataclass(slots=True)
class RunningFleet:
    """A deployed fleet whose schedules a test drives by hand; hosts and workers are real."""

    cloud: EmbeddedCloud
    stack: LocalStack
    supervisor: Supervisor
    ledger: Ledger
    functions: dict[str, LambdaRuntime]

    def scan(self) -> int:
        """Invoke the scanner; returns how many jobs it queued."""
        return int(self._invoke("scanner", {"enqueue": True})["enqueued"])

    def tick(self) -> None:
        """Invoke the autoscaler once."""
        self._invoke("autoscaler", {})

    def upload(self, root: Path) -> None:
        s3 = self.cloud.s3()
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            s3.upload_file(str(path), self.stack.bucket, path.relative_to(root).as_posix())

    def instance_states(self) -> list[str]:
        answer = self.cloud.ec2().describe_instances(InstanceIds=list(self.stack.instance_ids))
        return [i["State"]["Name"] for r in answer["Reservations"] for i in r["Instances"]]

    def statuses(self, session: str) -> dict[str, str]:
        """Chunk -> status, as the ledger says."""
        return {chunk: str(item.get("status")) for chunk, item in self.ledger.session_jobs(session).items()}

    def transcripts(self, session: str) -> set[str]:
        """The chunks of a session that have a transcript in the bucket."""
        prefix = f"{session}/transcription-chunk-"
        listed = self.cloud.s3().list_objects_v2(Bucket=self.stack.bucket, Prefix=prefix).get("Contents", [])
        return {item["Key"].removeprefix(prefix).removesuffix(".json") for item in listed}

    def _invoke(self, component: str, event: dict[str, Any]) -> dict[str, Any]:
        (runtime,) = (r for name, r in self.functions.items() if name.endswith(f"-{component}"))
        return runtime.invoke(event)


@contextmanager
def running_fleet(workspace: Path, **parameters: str) -> Iterator[RunningFleet]:
    """Deploy the stack with the template's `parameters` changed, and play its hosts."""
    options = FillOptions(model="tiny.en", model_dir=resolve_model_dir("tiny.en", None))
    with ExitStack() as parts:
        cloud = parts.enter_context(embedded_cloud(workspace, workspace))
        stack = cloud.deploy(stack_parameters(options, workspace) | parameters)
        supervisor = Supervisor(cloud, workspace)
        parts.enter_context(supervisor.running())
        functions = parts.enter_context(deployed_functions(cloud, stack, workspace))
        ledger = Ledger(cloud.dynamodb(), stack.settings(), SystemClock())
        yield RunningFleet(cloud, stack, supervisor, ledger, functions)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RunningFleet]:
    """A fleet whose leases are short, so that a dead worker's jobs come back soon."""
    workspace = tmp_path / "fleet"
    workspace.mkdir()
    with running_fleet(workspace, VisibilityTimeoutSeconds="6") as running:
        yield running
