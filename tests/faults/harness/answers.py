"""Answers that each AWS service would give, as its own protocol writes them: errors, and an empty success.

Pure. What they are good for is told by botocore: a client must raise the error's code from them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from xml.sax.saxutils import escape

from tests.faults.harness.call import Call
from tests.faults.harness.wire import Answer

_REQUEST_ID: Final = "00000000-fault-0000-0000-000000000000"
_JSON: Final = {"sqs": "1.0", "dynamodb": "1.0"}
# Computed over a body that is no longer the one that is sent.
_CHECKS_OF_BODY: Final = ("x-amz-crc32", "x-amz-checksum-")
_ERROR_AROUND: Final = {
    "s3": "{error}",
    "ec2": f"<Response><Errors>{{error}}</Errors><RequestID>{_REQUEST_ID}</RequestID></Response>",
}
_ERROR_AROUND_QUERY: Final = f"<ErrorResponse>{{error}}<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"


def refusal(call: Call, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """An error of the call's service; S3 answers HEAD with the status alone."""
    said = {"x-amzn-requestid": _REQUEST_ID, **(headers or {})}
    fault = "Receiver" if status >= 500 else "Sender"
    if call.service in _JSON:
        said |= {"content-type": f"application/x-amz-json-{_JSON[call.service]}", "x-amzn-errortype": code}
        if call.service == "sqs":
            said["x-amzn-query-error"] = f"{code};{fault}"
        return Answer(status, said, json.dumps({"__type": f"com.amazonaws#{code}", "message": message}).encode())
    said["content-type"] = "application/xml"
    if call.operation.startswith("Head"):
        return Answer(status, said, b"", 0)
    kind = "" if call.service in _ERROR_AROUND else f"<Type>{fault}</Type>"
    error = f"<Error>{kind}<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    around = _ERROR_AROUND.get(call.service, _ERROR_AROUND_QUERY)
    return Answer(status, said, ('<?xml version="1.0" encoding="UTF-8"?>' + around.format(error=error)).encode())


def blank(call: Call) -> Answer:
    """A success that says nothing, as the service would answer if it had done what it was asked."""
    said = {"x-amzn-requestid": _REQUEST_ID}
    if call.service == "s3":
        return Answer(200, said, b"")
    if call.service in _JSON:
        return Answer(200, said | {"content-type": f"application/x-amz-json-{_JSON[call.service]}"}, b"{}")
    name = call.operation
    if call.service == "ec2":
        text = f"<{name}Response><requestId>{_REQUEST_ID}</requestId></{name}Response>"
    else:
        text = f"<{name}Response><{name}Result/></{name}Response>"
    return Answer(200, said | {"content-type": "text/xml"}, text.encode())


def with_body(answer: Answer, body: bytes) -> Answer:
    """The answer with another body, and without the checks that the old one would pass."""
    headers = {name: value for name, value in answer.headers.items() if not name.startswith(_CHECKS_OF_BODY)}
    return replace(answer, headers=headers, body=body)


def edited(edit: Callable[[dict[str, Any]], None]) -> Callable[[Answer], Answer]:
    """For `Rewrite`: changes the JSON of a successful answer in place, by `edit`."""

    def rewrite(answer: Answer) -> Answer:
        if answer.status != 200:
            return answer
        content = json.loads(answer.body)
        edit(content)
        return with_body(answer, json.dumps(content).encode())

    return rewrite


def queue_counts(
    visible: int | None = None, in_flight: int | None = None, delayed: int | None = None
) -> Callable[[Answer], Answer]:
    """For `Rewrite` of `sqs:GetQueueAttributes`: counts that are not the queue's own; `None` leaves one as it is."""
    told = {"": visible, "NotVisible": in_flight, "Delayed": delayed}

    def edit(content: dict[str, Any]) -> None:
        for name, count in told.items():
            if count is not None and (key := f"ApproximateNumberOfMessages{name}") in content["Attributes"]:
                content["Attributes"][key] = str(count)

    return edited(edit)


def replaced(old: str, new: str) -> Callable[[Answer], Answer]:
    """For `Rewrite`: puts one text in place of another, such as the state of an instance in EC2's XML."""
    return lambda answer: with_body(answer, answer.body.replace(old.encode(), new.encode()))
