"""Keeps the ticks' record in the ledger's table, written only over the version that was read.

Of two ticks at the same moment one wins, and the other knows it. It decides nothing.
"""

from typing import TYPE_CHECKING, Any, Protocol

import structlog
from pydantic import ValidationError

from autoscaler.record import TickRecord
from shared.errors import AWS_ERRORS, LedgerError, cause_of, error_code, is_own_write
from shared.state.last_tick import TICK_KEY, tick_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = structlog.get_logger()


class Records(Protocol):
    """Where the record is kept: the table, or a dry run that only reads it."""

    def read(self) -> TickRecord:
        """The record; an empty one at the first tick. Raises `LedgerError`."""

    def write(self, record: TickRecord) -> bool:
        """Write it over the version before it; False when another tick has. Raises `LedgerError`."""


class RecordStore:
    """The record of one fleet's table."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self) -> TickRecord:
        """The record; an empty one at the first tick, or in place of one that is not valid.

        Raises:
            LedgerError: the table could not be read.
        """
        item = tick_item(self._dynamodb, self._table)
        if item is None:
            return TickRecord()
        version = int(item.get("version", {}).get("N", 0))
        try:
            return TickRecord.model_validate_json(item["record"]["S"]).model_copy(update={"version": version})
        except (KeyError, ValidationError) as error:
            # Begun anew: what runs is counted from its start again, and the waiting time from now.
            log.error("tick_record_invalid", table=self._table, error=type(error).__name__)
            return TickRecord(version=version)

    def write(self, record: TickRecord) -> bool:
        """Write the record in place of the version before it.

        Returns:
            False when another tick has written meanwhile.

        Raises:
            LedgerError: the table could not be written.
        """
        seen = record.version - 1
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": {**TICK_KEY, "version": {"N": str(record.version)}, "record": {"S": record.to_json()}},
            "ConditionExpression": "#version = :seen" if seen else "attribute_not_exists(#version)",
            "ExpressionAttributeNames": {"#version": "version"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if seen:
            request["ExpressionAttributeValues"] = {":seen": {"N": str(seen)}}
        try:
            self._dynamodb.put_item(**request)
        except AWS_ERRORS as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return is_own_write(error, request["Item"])
            cause = cause_of(error)
            raise LedgerError(f"the ticks' record could not be written: {cause}") from error
        return True


class DryRunRecords:
    """Reads the record and never writes it."""

    def __init__(self, real: Records) -> None:
        self._real = real

    def read(self) -> TickRecord:
        return self._real.read()

    def write(self, record: TickRecord) -> bool:
        log.debug("dry_run_record", version=record.version)
        return True
