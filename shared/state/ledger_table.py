"""The ledger's table as DynamoDB has it: items by partition and sort key, in plain Python values.

It does not know what the items say, nor what is to be done when the table is away.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from shared.clock import Clock
from shared.errors import AWS_ERRORS, LedgerError, error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BATCH_GET = 100  # most keys of one BatchGetItem
_THROTTLED_READS = 10

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class LedgerTable:
    """Reads and writes single items."""

    def __init__(self, dynamodb: "DynamoDBClient", name: str, clock: Clock) -> None:
        self.name = name
        self._dynamodb = dynamodb
        self._clock = clock

    def update(
        self,
        partition: str,
        sort: str,
        fields: Mapping[str, Any],
        condition: str | None = None,
        extra: Mapping[str, Any] | None = None,
        remove: str | None = None,
    ) -> None:
        """Set `fields` on one item, and take the field `remove` off it. Raises what boto3 raises.

        Each name is written as `#name`, since `status`, `ttl` and `error` are reserved.
        """
        values = serialized({f":{name}": value for name, value in fields.items()} | dict(extra or {}))
        request: dict[str, Any] = {
            "TableName": self.name,
            "Key": _key(partition, sort),
            "UpdateExpression": "SET "
            + ", ".join(f"#{name} = :{name}" for name in fields)
            + (f" REMOVE {remove}" if remove else ""),
            "ExpressionAttributeNames": {f"#{name}": name for name in fields},
            "ExpressionAttributeValues": values,
        }
        if condition:
            # With the refusal comes the item as it is, at no further cost.
            request |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        self._dynamodb.update_item(**request)

    def get_all(self, keys: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """The items that are there, in no order.

        Raises:
            LedgerError: the table could not be read in full.
        """
        unique = list(dict.fromkeys(keys))  # BatchGetItem refuses a key that comes twice
        for start in range(0, len(unique), _BATCH_GET):
            yield from self._get_batch([_key(*key) for key in unique[start : start + _BATCH_GET]])

    def _get_batch(self, keys: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """BatchGetItem, going on with the keys that DynamoDB did not get to."""
        wanted: Any = {self.name: {"Keys": keys}}
        for _ in range(_THROTTLED_READS):
            try:
                answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            except AWS_ERRORS as error:
                raise LedgerError(f"the ledger could not be read: {error}") from error
            yield from (_plain(item) for item in answer["Responses"].get(self.name, []))
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return
            self._clock.sleep(0.1)
        raise LedgerError("the ledger is throttled: some items were not read")

    def partition(self, partition: str) -> list[dict[str, Any]]:
        """All items of a partition.

        Raises:
            LedgerError: the table could not be read.
        """
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="sessionPath = :path",
            ExpressionAttributeValues={":path": {"S": partition}},
        )
        try:
            return [_plain(item) for page in pages for item in page["Items"]]
        except AWS_ERRORS as error:
            raise LedgerError(f"the ledger could not be read: {error}") from error


def serialized(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with DynamoDB's types, as answers have them."""
    return {name: _serialize(value) for name, value in fields.items()}


def refused_item(error: Exception) -> dict[str, Any] | None:
    """The item that did not meet an update's condition, as it is; `None` when `error` is another one."""
    if not isinstance(error, ClientError) or error_code(error) != "ConditionalCheckFailedException":
        return None
    item: Any = error.response.get("Item", {})  # which boto3's stubs do not know
    return _plain(item)


def _key(partition: str, sort: str) -> dict[str, Any]:
    return {"sessionPath": {"S": partition}, "chunk": {"S": sort}}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}
