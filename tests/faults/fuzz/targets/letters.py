"""Dead letters: what failed for its strange body can be listed, shown and chosen all the same.

An input is a message as SQS hands it out, in JSON.
"""

import io
import json
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from rich.console import Console
from rich.text import Text

from producer.operator.dlq.message import Filter, filter_of, read_letter
from shared.formats.messages import chunk_job
from tests.faults.fuzz.fixed import AT, BUCKET
from tests.faults.fuzz.strategies import anything, json_bytes
from tests.faults.fuzz.target import Target, require

_ARN: Final = "arn:aws:sqs:us-east-1:1:jobs"
_TOKENS: Final = (
    b'\\"userId\\":\\"\\\\ud800\\"',
    b'\\"chunk\\":7',
    b"9" * 5000,
    "²".encode(),
    "٣".encode(),
    b"[red]",
    b"\\u001b[31m",
)
_FILTERS: Final = (Filter(), filter_of("u/s", "audio-gone", "1h", "3d"))


def samples() -> list[bytes]:
    """A letter that a worker wrote, one that SQS moved, and one of somebody else's."""
    body = chunk_job(
        bucket=BUCKET, audio_key="users/u/audio/sessions/s/chunk-001.webm", audio_size=1, enqueued_at=AT
    ).to_json()
    head: dict[str, Any] = {
        "MessageId": "0f0e0d0c",
        "ReceiptHandle": "r",
        "Body": body,
        "Attributes": {"SentTimestamp": "1767323045000"},
    }
    said = {
        "reason": "audio-gone",
        "detail": "it was deleted",
        "receives": "3",
        "workerId": "i-1",
        "sourceQueue": "jobs",
    }
    worker = {
        **head,
        "MessageAttributes": {name: {"StringValue": text, "DataType": "String"} for name, text in said.items()},
    }
    moved = {**head, "Attributes": {**head["Attributes"], "DeadLetterQueueSourceArn": _ARN}}
    return [json.dumps(message).encode() for message in (worker, worker, moved, {**head, "Body": "hello"})]


def structured() -> SearchStrategy[bytes]:
    """Letters whose bodies and attributes may be anything that SQS takes."""
    text = st.text(st.characters(exclude_categories=["Cs"]))
    body = (
        anything().map(json.dumps)
        | text
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("userId", "sessionId", "chunk"), anything())).map(
            json.dumps
        )
    )
    said = st.dictionaries(
        st.sampled_from(["reason", "detail", "receives", "workerId", "sourceQueue"]),
        st.builds(lambda value: {"StringValue": value, "DataType": "String"}, text) | st.just({"DataType": "Binary"}),
    )
    return json_bytes(
        st.fixed_dictionaries(
            {"MessageId": st.just("m"), "ReceiptHandle": st.just("r"), "Body": body},
            optional={"MessageAttributes": said},
        )
    )


def check(data: bytes) -> bool:
    """A message, if it is one that SQS could hand out."""
    raw = _message(data)
    if raw is None:
        return False
    letter = read_letter(raw)
    require(bool(letter.reason), "each letter has some reason")
    require(letter.body == raw["Body"], "the body stays as it is: it may be sent again")
    document = letter.document()
    shown = [*document.values(), letter.session, json.dumps(document)]
    for text in filter(None, shown):
        Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=80).file.write(str(Text(str(text))))
    for wanted in _FILTERS:
        wanted.takes(letter, AT)
    return bool(letter.session_id)


def _message(data: bytes) -> Any:
    """The message; `None` when SQS could not have handed it out: it keeps to what XML can say."""
    try:
        raw = json.loads(data)
        json.dumps(raw, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or not all(
        isinstance(raw.get(name), str) for name in ("MessageId", "ReceiptHandle", "Body")
    ):
        return None
    said = raw.get("MessageAttributes", {})
    if not isinstance(said, dict) or not all(_is_attribute(value) for value in said.values()):
        return None
    # The system's own attributes are SQS's word.
    return {**raw, "Attributes": {"SentTimestamp": "1767323045000", "DeadLetterQueueSourceArn": _ARN}}


def _is_attribute(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("StringValue", ""), str)


TARGET: Final = Target("letter", samples, structured, check, "json", _TOKENS, share=0.2)
