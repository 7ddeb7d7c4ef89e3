"""Which IAM actions a command needs: the AWS calls that it really makes, against the policy in the documentation."""

import json
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "doctor-and-selftest.md"

# Where the actions are not called like the operation (Service Authorization Reference, a page for each service).
_ACTIONS = {
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:HeadObject": {"s3:GetObject"},
    "s3:CopyObject": {"s3:GetObject", "s3:PutObject"},
    "s3:DeleteObjects": {"s3:DeleteObject"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "s3:GetPublicAccessBlock": {"s3:GetBucketPublicAccessBlock"},
    "s3:GetBucketEncryption": {"s3:GetEncryptionConfiguration"},
    "lambda:Invoke": {"lambda:InvokeFunction"},
}
_PREFIXES = {"monitoring": "cloudwatch"}


@dataclass(slots=True)
class Recorder:
    """Notes the actions of every call that any boto3 client of this process makes, while it is on."""

    actions: set[str] = field(default_factory=set)
    on: bool = True

    @contextmanager
    def paused(self) -> "Iterator[None]":
        """Somebody else's calls, such as those of a worker that a test plays."""
        self.on = False
        try:
            yield
        finally:
            self.on = True


def record_actions(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder that is on until the test is over."""
    recorder = Recorder()
    make: Callable[..., Any] = vars(BaseClient)["_make_api_call"]

    def recording(client: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        service = client.meta.service_model.signing_name
        called = f"{_PREFIXES.get(service, service)}:{operation}"
        if recorder.on:
            recorder.actions |= _ACTIONS.get(called, {called})
            if any("VersionId" in each for each in params.get("Delete", {}).get("Objects", ())):
                recorder.actions.add("s3:DeleteObjectVersion")
        return make(client, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", recording)
    return recorder


def documented_actions(command: str) -> set[str]:
    """The actions of the policy that the page gives for a command."""
    section = PAGE.read_text().split(f"### Permissions of `{command}`\n")[1].split("\n#")[0]
    (policy,) = re.findall(r"```json\n(.*?)```", section, flags=re.DOTALL)
    return {action for statement in json.loads(policy)["Statement"] for action in statement["Action"]}
