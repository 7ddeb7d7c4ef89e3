"""Makes a client take an answer that was cut off for no answer, so that its call is tried again.

botocore compares the length of an answer with its Content-Length only where the caller reads a stream. All others it
parses as far as they came: what is left of a JSON document counts as an empty answer with status 200, so a queue that
has messages looks empty, and a batch of which some entries failed looks as if all had succeeded.

It goes the way that botocore's own handler for S3's "200 with an error inside" goes: the status becomes 500 before the
answer is parsed, and the retry conditions see that status.
"""

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

Client = TypeVar("Client", bound="BaseClient")

_CUT_OFF: Final = 500
_WITHOUT_BODY: Final = frozenset({204, 304})


def with_whole_answers(client: Client) -> Client:
    """The client; from now on, answers to it that are shorter than they say are errors with status 500, and retried."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"before-parse.{service}.*", _mark)
    client.meta.events.register_first(f"needs-retry.{service}.*", _show_mark)
    return client


def _mark(operation_model: "OperationModel", response_dict: dict[str, Any], **_: Any) -> None:
    body, announced = response_dict.get("body"), response_dict["headers"].get("content-length", "")
    has_none = operation_model.http.get("method") == "HEAD" or response_dict["status_code"] in _WITHOUT_BODY
    # A stream is no bytes yet; who reads it is told by botocore.
    if has_none or not isinstance(body, bytes) or not announced.isdecimal() or len(body) >= int(announced):
        return
    response_dict["status_code"] = _CUT_OFF
    response_dict["body"] = b""


def _show_mark(response: Any, **_: Any) -> None:
    """The retry conditions look at the status as it came."""
    if response is None:
        return
    http_response, parsed = response
    http_response.status_code = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", http_response.status_code)
