"""The emulator's own permission checks: switched on for an embedded cloud, with policies put into its words.

moto knows a call's resource only for S3 and SQS (it takes `*` for all others, which no ARN matches), calls a batch
call's action by the batch's name, ignores conditions, and takes a resource's full stop for any character. The words
below change nothing else.
"""

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any

import boto3
from typing_extensions import override

from deploy.local.cloud import REGION, EmbeddedCloud
from tests.iam.harness.evaluator import Statement, listed
from tests.iam.harness.gate import Caller, Gate

_KNOWN_RESOURCES = ("s3", "sqs")
_BATCHES = {
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
    "sqs:SendMessage": "sqs:SendMessageBatch",
}
_OPERATOR_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def in_emulators_words(statement: Statement) -> dict[str, Any]:
    """The statement as the emulator has to read it in order to decide what AWS would decide without the condition."""
    actions = listed(statement["Action"])
    batches = [_BATCHES[action] for action in actions if action in _BATCHES]
    known = all(action.split(":")[0] in _KNOWN_RESOURCES for action in actions)
    return {
        "Effect": statement["Effect"],
        "Action": [*actions, *batches],
        "Resource": [resource.replace(".", "[.]") for resource in listed(statement["Resource"])] if known else "*",
    }


class GuardedCloud(EmbeddedCloud):
    """An embedded cloud that checks permissions, with a gate before it for all who run under a role.

    Whoever deploys and watches is the operator, who may do everything and goes around the gate.

    Args:
        components: a role's ARN -> the component whose role it is.

    Attributes:
        gate: to be set before anything takes a role.
    """

    gate: Gate

    def __init__(self, cloud: EmbeddedCloud, components: Mapping[str, str]) -> None:
        super().__init__(cloud.endpoint, cloud.workspace)
        iam = cloud.iam()
        iam.create_user(UserName="operator")
        iam.put_user_policy(UserName="operator", PolicyName="all", PolicyDocument=json.dumps(_OPERATOR_POLICY))
        self._operator = iam.create_access_key(UserName="operator")["AccessKey"]
        self._components = components
        self._sessions: dict[tuple[str, str], dict[str, str]] = {}

    def check_permissions(self) -> None:
        """From now on the emulator refuses what a caller's policies do not allow."""
        connection = HTTPConnection(self.endpoint.removeprefix("http://"), timeout=10)
        try:
            # The number of calls that are still let through unchecked.
            connection.request("POST", "/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    @override
    def role_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        """As of any embedded cloud, but the way leads through the gate, which learns whose key it is.

        The same credentials for the same session.
        """
        session = (role_arn, session_name)
        if session not in self._sessions:
            variables = super().role_environment(role_arn, session_name)
            self.gate.callers[variables["AWS_ACCESS_KEY_ID"]] = Caller(self._components[role_arn], session_name)
            self._sessions[session] = variables | {"AWS_ENDPOINT_URL": self.gate.endpoint}
        return self._sessions[session]

    @override
    def _session(self) -> boto3.Session:
        return boto3.Session(self._operator["AccessKeyId"], self._operator["SecretAccessKey"], region_name=REGION)
