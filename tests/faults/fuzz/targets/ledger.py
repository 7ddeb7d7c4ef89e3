"""Rows of the ledger: one that is strange spoils neither the others nor what is decided and shown.

An input is a row as DynamoDB's wire has it, in JSON: `{"status": {"S": "queued"}}`. It is read as a worker's heartbeat,
as a job, and as the record of the ticks.
"""

import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from rich.console import Console

from autoscaler.model import History, Instance, Observation, Policy
from autoscaler.planning.plan import plan
from autoscaler.record_store import RecordStore
from producer.operator.jobs import all_jobs, listing
from shared.aws.sqs import QueueDepth
from shared.formats.messages import chunk_job
from shared.state.last_tick import TICK_KEY
from shared.state.ledger import Ledger
from shared.state.lock import LockState
from tests.faults.fuzz.fixed import AT, BUCKET, SETTINGS, FixedClock
from tests.faults.fuzz.strategies import json_bytes
from tests.faults.fuzz.target import Target, require

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NUMBER: Final = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,10})?(E[+-]?[0-9]{1,2})?")
_JOB: Final = chunk_job(
    bucket=BUCKET, audio_key="users/u/audio/sessions/s/chunk-001.webm", audio_size=1, enqueued_at=AT
)
_POLICY: Final = Policy.from_settings(SETTINGS)
_RUNNING: Final = tuple(
    Instance(name, "running", launch_time=AT - timedelta(hours=1), owned_since=AT - timedelta(hours=1))
    for name in ("i-strange", "i-good")
)
_GOOD: Final = {
    "sessionPath": {"S": "worker#i-good"},
    "chunk": {"S": "heartbeat"},
    "instanceId": {"S": "i-good"},
    "state": {"S": "busy"},
    "beatAt": {"S": "2026-01-02T03:04:00.000Z"},
    "jobsDone": {"N": "7"},
    "rtfx": {"S": "20.00"},
}
_TOKENS: Final = (
    b"heartbeat",
    b"worker#",
    b"users/",
    b'{"N":"1E+90"}',
    b'{"S":"inf"}',
    b'{"S":"nan"}',
    b'{"NULL":true}',
    b'{"BOOL":true}',
)


class _Table:
    """A table with one row, and a good one beside it."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    @property
    def client(self) -> "DynamoDBClient":
        return cast("DynamoDBClient", self)

    def batch_get_item(self, **_asked: Any) -> dict[str, Any]:
        named = {"sessionPath": {"S": "worker#i-strange"}, "chunk": {"S": "heartbeat"}}
        return {"Responses": {SETTINGS.table_name: [{**self._row, **named}, _GOOD]}}

    def get_item(self, **_asked: Any) -> dict[str, Any]:
        # The version is a count that only ticks write, as part of a condition.
        return {"Item": {**self._row, **TICK_KEY, "version": {"N": "4"}}}

    def get_paginator(self, _operation: str) -> "_Table":
        return self

    def paginate(self, **_asked: Any) -> Iterator[dict[str, Any]]:
        key = {"sessionPath": {"S": _JOB.session_path}, "chunk": {"S": _JOB.chunk}}
        yield {"Items": [{**key, **self._row}, {**key, "status": {"S": "queued"}}]}


def samples() -> list[bytes]:
    """A heartbeat, jobs in several states, and the ticks' record."""
    job: dict[str, Any] = {
        "sessionPath": {"S": _JOB.session_path},
        "chunk": {"S": "001"},
        "status": {"S": "failed"},
        "attempts": {"N": "2"},
        "audioSize": {"N": "81005"},
        "error": {"S": "audio-gone"},
        "completedAt": {"S": "2026-01-02T03:04:05.000Z"},
    }
    record = {
        "tickedAt": "2026-01-02T03:03:05Z",
        "decision": "start",
        "reason": "2 jobs wait",
        "gpuSeconds": 12.5,
        "countedUntil": "2026-01-02T03:03:05Z",
        "waitingSince": None,
        "heldSince": None,
        "lastStart": "2026-01-02T03:00:00Z",
        "zones": {"us-east-1a": {"failures": 2, "until": "2026-01-02T03:10:00Z"}},
        "version": 4,
        "surplus": {"since": "2026-01-02T03:00:00Z", "mostWanted": 1},
    }
    ticks = {"version": {"N": "4"}, "record": {"S": json.dumps(record)}}
    idle = {
        **_GOOD,
        "state": {"S": "idle"},
        "idleSince": {"S": "2026-01-02T03:00:00.000Z"},
        "instanceId": {"S": "i-strange"},
    }
    cancelled = {
        **job,
        "status": {"S": "queued"},
        "cancelledAt": {"S": "2026-01-02T03:04:05.000Z"},
        "attempts": {"NULL": True},
    }
    return [json.dumps(row).encode() for row in (_GOOD, idle, job, cancelled, ticks, ticks)]


def structured() -> SearchStrategy[bytes]:
    """Rows with the right names and values of any type that DynamoDB has."""
    number = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**20), max_value=10**20).map(
        str
    )
    moment = st.datetimes().map(lambda when: f"{when.isoformat()}Z") | st.sampled_from(
        ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
    )
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    value = (
        st.builds(
            lambda said: {"S": said},
            text | number | moment | st.sampled_from(["inf", "nan", "busy", "queued", "failed"]),
        )
        | st.builds(lambda said: {"N": said}, number | st.sampled_from(["9.99E+90", "1E-90", "0"]))
        | st.sampled_from([{"NULL": True}, {"BOOL": False}, {"L": []}, {"M": {}}, {"SS": ["a"]}])
    )
    names = sorted({name for sample in samples() for name in json.loads(sample)})
    changes = st.dictionaries(st.sampled_from(names), value, max_size=6)
    row = st.builds(lambda sample, changed: {**json.loads(sample), **changed}, st.sampled_from(samples()), changes)
    return json_bytes(row | _ticks(moment))


def _ticks(moment: SearchStrategy[str]) -> SearchStrategy[dict[str, Any]]:
    """Rows of the ticks' record, whose times and numbers are of any size."""
    number = st.floats() | st.integers()
    zone = st.fixed_dictionaries({"failures": st.integers(), "until": moment})
    record = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("tickedAt", "countedUntil", "waitingSince", "heldSince", "lastStart", "lastWork"), moment),
            "gpuSeconds": number,
            "zones": st.dictionaries(st.text(max_size=3), zone, max_size=2),
            "surplus": st.fixed_dictionaries({"since": moment, "mostWanted": st.integers()}),
        },
    )
    return record.map(lambda said: {"version": {"N": "4"}, "record": {"S": json.dumps(said)}})


def check(data: bytes) -> bool:
    """A row, if it is one that DynamoDB could hold."""
    row = _row(data)
    if row is None:
        return False
    table = _Table(row)
    _as_heartbeat(table)
    _as_job(table)
    _as_record(table)
    return True


def _as_heartbeat(table: _Table) -> None:
    found = Ledger(table.client, SETTINGS, FixedClock(AT)).heartbeats(["i-strange", "i-good"])
    require("i-good" in found.valid, "a strange heartbeat spoils no other")
    require(("i-strange" in found.valid) != ("i-strange" in found.invalid), "a heartbeat is valid or it is not")
    for visible in (0, 500):
        seen = Observation(
            QueueDepth(visible=visible), LockState(), _RUNNING, found.valid, invalid_heartbeats=found.invalid
        )
        require(bool(plan(seen, History(), _POLICY, AT).reason), "a decision has its reason")


def _as_job(table: _Table) -> None:
    found = list(all_jobs(table.client, SETTINGS.table_name))
    require(len(found) == 2, "a strange row hides no other")
    Console(file=io.StringIO(), width=120).print(listing(found))
    rows = Ledger(table.client, SETTINGS, FixedClock(AT)).session_jobs(_JOB.session_path)
    require(_JOB.chunk in rows, "a strange row hides no other")


def _as_record(table: _Table) -> None:
    record = RecordStore(table.client, SETTINGS.table_name).read()
    seen = Observation(QueueDepth(visible=5), LockState(), _RUNNING, {})
    after = record.after(seen, AT)
    require(
        bool(plan(after.with_own_starts(seen), after.history(seen, AT), _POLICY, AT).reason),
        "a decision has its reason",
    )
    json.loads(after.to_json(), parse_constant=lambda name: require(False, f"{name} is no JSON"))


def _row(data: bytes) -> dict[str, Any] | None:
    """The row; `None` when no table could hold it."""
    try:
        row = json.loads(data)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(row) or not all(_is_value(value) for value in row.values()):
        return None
    if any(name in row and "S" not in row[name] for name in ("sessionPath", "chunk")):
        return None  # the key's types are the table's own
    return row


def _is_value(value: Any) -> bool:
    match value:
        case {"S": str()} | {"BOOL": bool()} | {"NULL": True}:
            return len(value) == 1
        case {"N": str(number)}:
            return (
                len(value) == 1
                and _NUMBER.fullmatch(number) is not None
                and len(Decimal(number).as_tuple().digits) <= 38
            )
        case {"SS": [str(), *rest]}:
            return len(value) == 1 and all(isinstance(each, str) for each in rest)
        case {"L": list(inner)}:
            return len(value) == 1 and all(_is_value(each) for each in inner)
        case {"M": dict(inner)}:
            return len(value) == 1 and all(_is_value(each) for each in inner.values())
        case _:
            return False


TARGET: Final = Target("ledger", samples, structured, check, "json", _TOKENS, share=0.2)
