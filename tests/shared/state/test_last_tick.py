"""What others read of the ticks' record."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import LedgerError
from shared.state.last_tick import TICK_KEY, LastTick, last_tick

if TYPE_CHECKING:
    from tests.conftest import Cloud

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def put(cloud: "Cloud", **attributes: Any) -> None:
    cloud.dynamodb.put_item(TableName=cloud.settings.table_name, Item={**TICK_KEY, **attributes})


def test_given_no_tick_yet_then_there_is_no_last_one(cloud: "Cloud") -> None:
    assert last_tick(cloud.dynamodb, cloud.settings.table_name) is None


def test_given_a_record_then_it_is_read_and_what_only_ticks_know_is_passed_over(cloud: "Cloud") -> None:
    put(cloud, record={"S": '{"tickedAt": "2026-03-01T12:00:00Z", "decision": "enough", "zones": {"a": 1}}'})

    assert last_tick(cloud.dynamodb, cloud.settings.table_name) == LastTick(ticked_at=NOON, decision="enough")


@pytest.mark.parametrize("attributes", [{}, {"record": {"S": "?"}}, {"record": {"S": '{"tickedAt": "soon"}'}}])
def test_given_what_is_no_record_then_it_is_an_error_and_not_silence(cloud: "Cloud", attributes: Any) -> None:
    put(cloud, **attributes)

    with pytest.raises(LedgerError, match="record is not valid"):
        last_tick(cloud.dynamodb, cloud.settings.table_name)


def test_given_a_table_that_is_away_then_the_error_names_the_cause(cloud: "Cloud") -> None:
    with pytest.raises(LedgerError, match="could not be read: ResourceNotFoundException"):
        last_tick(cloud.dynamodb, "elsewhere")
