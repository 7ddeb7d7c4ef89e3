"""Who this host is, from EC2's instance metadata service, version 2 only.

Protocol: EC2 User Guide, "Use the Instance Metadata Service": a session token by PUT, then GET with the token.
The endpoint is botocore's setting (AWS_EC2_METADATA_SERVICE_ENDPOINT and its like), as in any boto3 program.
"""

import os
from dataclasses import dataclass

import botocore.session
import urllib3
from pydantic import BaseModel, Field, ValidationError

_DEFAULT_ENDPOINT = "http://169.254.169.254/"
_TOKEN_SECONDS = "300"  # noqa: S105 - a lifetime, not a secret
# Off EC2 nobody answers at that address: give up soon.
_TIMEOUT = urllib3.Timeout(connect=1, read=2)
_RETRIES = urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=(500, 503), allowed_methods={"GET", "PUT"})


class _Document(BaseModel):
    instance_id: str = Field(alias="instanceId", min_length=1)
    instance_type: str = Field(alias="instanceType", default="unknown")


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """The EC2 instance that this process runs on."""

    instance_id: str
    instance_type: str


def instance_identity() -> InstanceIdentity | None:
    """The identity of this host, or `None` when it is no EC2 instance or must not ask."""
    # botocore reads this one variable from the environment alone, so there is no session setting to ask for it.
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "false").lower() == "true":
        return None
    configured = botocore.session.get_session().get_config_variable("ec2_metadata_service_endpoint")
    base = str(configured or _DEFAULT_ENDPOINT).rstrip("/")
    http = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRIES)
    try:
        token = http.request(
            "PUT", f"{base}/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_SECONDS}
        )
        if token.status != 200:
            return None
        answer = http.request(
            "GET",
            f"{base}/latest/dynamic/instance-identity/document",
            headers={"X-aws-ec2-metadata-token": token.data.decode()},
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != 200:
        return None
    try:
        document = _Document.model_validate_json(answer.data)
    except ValidationError:
        return None
    return InstanceIdentity(document.instance_id, document.instance_type)
