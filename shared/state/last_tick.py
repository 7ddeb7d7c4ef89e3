"""What the autoscaler's last tick came to, as it leaves it in the ledger's table for whoever asks.

Here are the item's key and the part of the record that others may read; what only ticks tell each other is in
`autoscaler.record`. It reads, and never writes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import AwareDatetime, ValidationError

from shared.errors import AWS_ERRORS, LedgerError, cause_of
from shared.formats.wire import WireModel

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# No session's path: those begin with `users/`.
TICK_KEY: Final[dict[str, Any]] = {"sessionPath": {"S": "autoscaler"}, "chunk": {"S": "tick"}}
"""Key of the one item that holds the record, as JSON in the attribute `record`."""


class LastTick(WireModel):
    """The record as others read it.

    Attributes:
        ticked_at: when the last tick decided.
        decision: what it came to, in one of the autoscaler's words for it; absent in older records.
        reason: why, in a sentence for people.
        waiting_since: since when each tick has seen waiting work; absent when the last one saw none.
        counted_until: up to when `gpu_seconds` is complete.
        gpu_seconds: seconds that owned instances have run in the day (UTC) of `counted_until`.
    """

    ticked_at: AwareDatetime | None = None
    decision: str | None = None
    reason: str | None = None
    waiting_since: AwareDatetime | None = None
    counted_until: AwareDatetime | None = None
    gpu_seconds: float = 0


def tick_item(dynamodb: "DynamoDBClient", table: str) -> Mapping[str, Any] | None:
    """The record's item with DynamoDB's types; `None` before the first tick.

    Raises:
        LedgerError: the table could not be read.
    """
    try:
        return dynamodb.get_item(TableName=table, Key=TICK_KEY, ConsistentRead=True).get("Item")
    except AWS_ERRORS as error:
        cause = cause_of(error)
        raise LedgerError(f"the ticks' record could not be read: {cause}") from error


def last_tick(dynamodb: "DynamoDBClient", table: str) -> LastTick | None:
    """The last tick; `None` before the first one.

    Raises:
        LedgerError: the table could not be read, or what it holds is no record.
    """
    item = tick_item(dynamodb, table)
    if item is None:
        return None
    try:
        return LastTick.model_validate_json(item["record"]["S"])
    except (KeyError, ValidationError) as error:
        raise LedgerError("the ticks' record is not valid") from error
