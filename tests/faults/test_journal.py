"""What went through the proxy is found again, by pattern or by name, in the order in which it ended."""

import pytest

from tests.faults.harness.call import Call
from tests.faults.harness.journal import Entry, Journal

NAMES = ("PutObject", "GetObject", "PutObject", "HeadObject")


@pytest.fixture
def journal() -> Journal:
    made = Journal()
    for number, name in enumerate(NAMES):
        call = Call(f"worker-{number % 2}", "s3", name, f"key-{number}")
        made.add(Entry(call, 200, (200,), began=float(number), ended=float(number)))
    return made


def targets(entries: list[Entry]) -> list[str]:
    return [entry.call.target for entry in entries]


@pytest.mark.parametrize(
    ("on", "found"),
    [
        ("*", ["key-0", "key-1", "key-2", "key-3"]),
        ("s3:*", ["key-0", "key-1", "key-2", "key-3"]),
        ("s3:?utObject", ["key-0", "key-2"]),
        ("s3:[PG]etObject", ["key-1"]),
        ("s3:PutObject", ["key-0", "key-2"]),
        ("sqs:*", []),
        ("sqs:PutObject", []),
    ],
)
def test_calls_are_found_by_pattern_and_by_name(journal: Journal, on: str, found: list[str]) -> None:
    assert targets(journal.calls(on)) == found


def test_actor_and_target_narrow_what_is_found(journal: Journal) -> None:
    assert targets(journal.calls("s3:PutObject", actor="worker-0", target="2$")) == ["key-2"]
    assert not journal.calls("s3:PutObject", actor="worker-1")


def test_what_was_forgotten_is_not_found(journal: Journal) -> None:
    journal.clear()
    assert not journal.calls()
    assert not journal.calls("s3:PutObject")
