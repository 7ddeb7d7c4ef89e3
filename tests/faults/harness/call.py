"""Which call to the cloud an HTTP request is: who called, which service and operation, and on what.

Of AWS's protocols what the fleet's clients speak: S3's own, JSON (SQS, DynamoDB) and query (EC2, SNS, Auto Scaling).
Pure; bodies of S3 are never looked into.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.faults.harness.wire import Request

MODEL: Final = "model"
_HARNESS: Final = "/_harness/"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
_PRESIGNED = re.compile(r"[?&]X-Amz-Credential=[^&]*(?:%2F|/)([^&%/]+)(?:%2F|/)aws4_request", re.IGNORECASE)
_VIRTUAL_HOST = re.compile(r"^.+\.(s3[.-].*|localhost(:\d+)?)$")
_RESOURCE_FIELD = re.compile(r"^(?:InstanceId|ResourceId|InstanceIds\.member)(?:\.(\d+))?$")
_JSON_NAMES: Final = ("QueueUrl", "QueueName", "TableName")
_QUERY_NAMES: Final = ("TopicArn", "AutoScalingGroupName", "AutoScalingGroupNames.member.1", "RoleArn")
_OBJECT: Final = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_BUCKET: Final = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_MULTIPART: Final = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the cloud, or one of a worker's scripted model to the harness.

    Attributes:
        actor: whose port the request came to.
        service: as in a signature: `s3`, `sqs`, `dynamodb`, `ec2`, ...; `model` for the scripted transcriber.
        operation: as AWS names it, such as `PutObject`.
        target: the object's key (of a listing its prefix); the name of queue, table, topic or group; the ids of
            instances, joined by commas; of the model `{session}/{chunks}`; else empty.
        raw: the body as it came; in the journal empty when it was S3's, or long.
        conditions: `if-match` and `if-none-match`, where S3 was given them.
    """

    actor: str
    service: str
    operation: str
    target: str = ""
    raw: bytes = b""
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """As rules name it: `service:Operation`."""
        return f"{self.service}:{self.operation}"

    @property
    def body(self) -> Mapping[str, Any]:
        """The parameters: of JSON services as sent, of query services and the model the flat fields, of S3 none."""
        return _parameters(self.service, self.raw)


def read_call(actor: str, request: Request) -> Call:
    """The call in a request. What is of no protocol known here is a call of the service `unknown`."""
    if request.path.startswith(_HARNESS):
        return _model_call(actor, request)
    scope = _SCOPE.search(request.headers.get("authorization", "")) or _PRESIGNED.search(request.path)
    service = scope[1] if scope else "unknown"
    if service == "s3":
        return _s3_call(actor, request)
    parameters = _parameters(service, request.body)
    if named := request.headers.get("x-amz-target"):
        operation, target = named.rpartition(".")[2], _json_target(parameters)
    else:
        operation, target = str(parameters.get("Action", request.method)), _query_target(parameters)
    return Call(actor, service, operation, target, request.body)


def _parameters(service: str, raw: bytes) -> Mapping[str, Any]:
    if not raw or service == "s3":
        return {}
    if raw.startswith(b"{"):
        parsed = json.loads(raw)
        return parsed if isinstance(parsed, dict) else {}
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


def _json_target(parameters: Mapping[str, Any]) -> str:
    for name in _JSON_NAMES:
        if value := parameters.get(name):
            return str(value).rpartition("/")[2]
    tables = parameters.get("RequestItems")  # of DynamoDB's batch calls
    return ",".join(tables) if isinstance(tables, dict) else ""


def _query_target(parameters: Mapping[str, Any]) -> str:
    numbered = ((_RESOURCE_FIELD.match(name), value) for name, value in parameters.items())
    if found := sorted((int(match[1] or 0), str(value)) for match, value in numbered if match):
        return ",".join(value for _, value in found)
    return next((str(parameters[name]).rpartition(":")[2] for name in _QUERY_NAMES if name in parameters), "")


def _model_call(actor: str, request: Request) -> Call:
    """`/_harness/transcribe?phase=begin&session=s&chunks=001,002` is `model:TranscribeBegin` of `s/001,002`."""
    parts = urlsplit(request.path)
    fields = dict(parse_qsl(parts.query))
    operation = parts.path.removeprefix(_HARNESS).capitalize() + fields.get("phase", "").capitalize()
    target = f"{fields.get('session', '')}/{fields.get('chunks', '')}"
    return Call(actor, MODEL, operation, target, parts.query.encode())


def _s3_call(actor: str, request: Request) -> Call:
    parts = urlsplit(request.path)
    path = unquote(parts.path).removeprefix("/")
    in_path = not _VIRTUAL_HOST.match(request.headers.get("host", ""))
    key = path.partition("/")[2] if in_path else path
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    operation = _s3_operation(request, key, query)
    conditions = {name: request.headers[name] for name in ("if-match", "if-none-match") if name in request.headers}
    return Call(actor, "s3", operation, key or query.get("prefix", ""), request.body, conditions)


def _s3_operation(request: Request, key: str, query: Mapping[str, str]) -> str:
    if not key:
        if request.method == "POST" and "delete" in query:
            return "DeleteObjects"
        if request.method == "GET" and query.get("list-type") == "2":
            return "ListObjectsV2"
        return _BUCKET.get(request.method, request.method)
    if "uploads" in query:
        return "CreateMultipartUpload"
    if "uploadId" in query:
        return _MULTIPART.get(request.method, request.method)
    if request.method == "PUT" and "x-amz-copy-source" in request.headers:
        return "CopyObject"
    return _OBJECT.get(request.method, request.method)
