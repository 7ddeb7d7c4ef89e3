"""AWS's calls as they go over the wire: which call an HTTP request is, and how each service says no.

Of the services' protocols only what the fleet's clients speak: S3's own with the bucket in the path, JSON, and query.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_JSON_SERVICES = ("dynamodb", "sqs")


@dataclass(frozen=True, slots=True)
class WireCall:
    """One call as it came over the wire.

    Attributes:
        parameters: of JSON services, the body; of query services, the flat form fields; of S3, `Bucket` and `Key`.
    """

    access_key: str
    service: str
    operation: str
    region: str
    parameters: Mapping[str, Any]


def read_call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> WireCall:
    """The call in an HTTP request, of the protocols that the fleet's services speak.

    Raises:
        ValueError: it is not signed, or of no protocol that is known here.
    """
    # A presigned URL has in its query what other requests have in a header.
    presigned = "&".join(f"Credential={value}" for name, value in _query(target) if name == "X-Amz-Credential")
    scope = _SCOPE.search(headers.get("Authorization", "") or presigned)
    if scope is None:
        raise ValueError(f"{method} {target} is not signed")
    key, region, service = scope.groups()
    if service == "s3":
        return WireCall(key, service, _s3_operation(method, target), region, _s3_parameters(target))
    if named := headers.get("X-Amz-Target"):
        return WireCall(key, service, named.rpartition(".")[2], region, json.loads(body))
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return WireCall(key, service, form["Action"], region, form)


def _query(target: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(target).query)


def _s3_parameters(target: str) -> dict[str, str]:
    bucket, _, key = unquote(urlsplit(target).path).lstrip("/").partition("/")
    return {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}


def _s3_operation(method: str, target: str) -> str:
    names = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
    if "Key" in _s3_parameters(target):
        if unknown := [name for name in query if name != "x-id" and not name.startswith("X-Amz-")]:
            raise ValueError(f"S3 object call with {sorted(unknown)}")
        return names[method]
    if method == "GET" and query.get("list-type") == "2":
        return "ListObjectsV2"
    raise ValueError(f"S3 bucket call {method} {target}")


def refusal(call: WireCall) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body with which the call's service refuses for want of permission."""
    why = "the gate refused"
    if call.service in _JSON_SERVICES:
        body = json.dumps({"__type": "AccessDeniedException", "message": why})
        return 400, {"Content-Type": "application/x-amz-json-1.0"}, body.encode()
    code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDenied"
    error = f"<Error><Code>{code}</Code><Message>{why}</Message></Error>"
    around = {"s3": "{}", "ec2": "<Response><Errors>{}</Errors></Response>"}
    body = around.get(call.service, "<ErrorResponse>{}</ErrorResponse>").format(error)
    return 403, {"Content-Type": "text/xml"}, body.encode()
