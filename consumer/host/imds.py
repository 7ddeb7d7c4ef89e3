"""Asks EC2's instance metadata service, version 2 only: who this host is, and whether EC2 is about to take it away.

Protocol: EC2 User Guide, "Use the Instance Metadata Service": a session token by PUT, then GET with the token.
The endpoint is botocore's setting (AWS_EC2_METADATA_SERVICE_ENDPOINT and its like), as in any boto3 program. What is
done about an answer is decided elsewhere.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import botocore.session
import urllib3
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

_DEFAULT_ENDPOINT: Final = "http://169.254.169.254/"
_TOKEN_SECONDS: Final = "21600"  # noqa: S105 - a lifetime, not a secret
# Off EC2 nobody answers at that address: give up soon.
_TIMEOUT: Final = urllib3.Timeout(connect=1, read=2)
_RETRIES: Final = urllib3.Retry(
    total=2, backoff_factor=0.2, status_forcelist=(500, 503), allowed_methods={"GET", "PUT"}, raise_on_status=False
)


class _Document(BaseModel):
    instance_id: str = Field(alias="instanceId", min_length=1)
    instance_type: str = Field(alias="instanceType", default="unknown")


class _Action(BaseModel):
    action: str
    time: AwareDatetime


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """The EC2 instance that this process runs on."""

    instance_id: str
    instance_type: str


@dataclass(frozen=True, slots=True)
class SpotNotice:
    """EC2 takes a spot instance away. `action` is `terminate`, `stop` or `hibernate`."""

    action: str
    at: datetime


class MetadataService:
    """One host's metadata service; keeps its session token for as long as it is taken."""

    def __init__(self, endpoint: str) -> None:
        self._base = endpoint.rstrip("/")
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRIES)
        self._token: str | None = None

    @classmethod
    def of_host(cls) -> "MetadataService | None":
        """The service of this host; `None` when it must not be asked."""
        # botocore reads this one variable from the environment alone, so there is no session setting to ask for it.
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "false").lower() == "true":
            return None
        configured = botocore.session.get_session().get_config_variable("ec2_metadata_service_endpoint")
        return cls(str(configured or _DEFAULT_ENDPOINT))

    def identity(self) -> InstanceIdentity | None:
        """The identity of this host, or `None` when it is no EC2 instance."""
        answer = self._get("dynamic/instance-identity/document")
        try:
            document = _Document.model_validate_json(answer or b"")
        except ValidationError:
            return None
        return InstanceIdentity(document.instance_id, document.instance_type)

    def is_spot(self) -> bool:
        """Whether EC2 may take this instance away."""
        return self._get("meta-data/instance-life-cycle") == b"spot"

    def spot_notice(self) -> SpotNotice | None:
        """The notice that this instance is about to be taken away; `None` while there is none.

        Format: EC2 User Guide, "Spot Instance interruption notices", `instance-action`: 404 until there is a notice.
        """
        answer = self._get("meta-data/spot/instance-action")
        try:
            found = _Action.model_validate_json(answer or b"")
        except ValidationError:
            return None
        return SpotNotice(found.action, found.time)

    def _get(self, path: str) -> bytes | None:
        """What is at a path; `None` when nothing is, or nobody answers."""
        try:
            answer = self._with_token(path)
            if answer is not None and answer.status == 401:  # the token has run out
                self._token = None
                answer = self._with_token(path)
        except urllib3.exceptions.HTTPError:
            return None
        return answer.data if answer is not None and answer.status == 200 else None

    def _with_token(self, path: str) -> urllib3.BaseHTTPResponse | None:
        if self._token is None:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_SECONDS}
            answer = self._http.request("PUT", f"{self._base}/latest/api/token", headers=headers)
            if answer.status != 200:
                return None
            self._token = answer.data.decode()
        return self._http.request(
            "GET", f"{self._base}/latest/{path}", headers={"X-aws-ec2-metadata-token": self._token}
        )


def instance_identity() -> InstanceIdentity | None:
    """The identity of this host, or `None` when it is no EC2 instance or must not ask."""
    service = MetadataService.of_host()
    return service.identity() if service else None
