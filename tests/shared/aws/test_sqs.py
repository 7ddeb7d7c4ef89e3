"""Batch calls: every entry is accounted for, whatever SQS says of it; and the counts of a queue."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from shared.aws.sqs import BATCH, UNANSWERED, QueueDepth, in_batches, queue_depth
from shared.clock import SystemClock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.conftest import Faults


class NoWait(SystemClock):
    """A clock for property tests, whose examples share no state: waiting takes no time at all."""

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds <= 1


class PickyQueue:
    """SQS's side of a batch call: some entries fail, for ever or for a number of tries."""

    def __init__(self, fails: Mapping[str, int], *, sender_fault: frozenset[str] = frozenset()) -> None:
        self.fails = dict(fails)
        self.sender_fault = sender_fault
        self.calls: list[list[str]] = []

    def __call__(self, entries: Sequence[Any]) -> Mapping[str, Any]:
        ids = [entry["Id"] for entry in entries]
        self.calls.append(ids)
        failed = [entry_id for entry_id in ids if self.fails.get(entry_id, 0) > 0]
        for entry_id in failed:
            self.fails[entry_id] -= 1
        answer: dict[str, Any] = {"Successful": [{"Id": entry_id} for entry_id in ids if entry_id not in failed]}
        if failed:  # SQS leaves the field out when nothing failed
            answer["Failed"] = [
                {"Id": entry_id, "SenderFault": entry_id in self.sender_fault, "Code": "Because"} for entry_id in failed
            ]
        return answer

    def seen(self, entry_id: str) -> int:
        return sum(entry_id in ids for ids in self.calls)


def entries(count: int) -> list[dict[str, str]]:
    return [{"Id": str(number)} for number in range(count)]


def test_more_entries_than_a_call_takes_are_sent_in_order_ten_at_a_time(clock: "FakeClock") -> None:
    queue = PickyQueue({})

    outcome = in_batches(queue, entries(23), clock)

    assert [len(ids) for ids in queue.calls] == [10, 10, 3]
    assert [entry_id for ids in queue.calls for entry_id in ids] == [str(number) for number in range(23)]
    assert sorted(outcome.succeeded, key=int) == [str(number) for number in range(23)]
    assert outcome.failed == {}


def test_no_entries_make_no_call(clock: "FakeClock") -> None:
    queue = PickyQueue({})

    in_batches(queue, [], clock)

    assert queue.calls == []


def test_an_entry_that_sqs_failed_by_its_own_fault_is_tried_again_alone_after_a_wait(clock: "FakeClock") -> None:
    queue = PickyQueue({"1": 1})
    before = clock.monotonic()

    outcome = in_batches(queue, entries(3), clock)

    assert queue.calls == [["0", "1", "2"], ["1"]]
    assert sorted(outcome.succeeded) == ["0", "1", "2"]
    assert outcome.failed == {}
    assert clock.monotonic() > before


def test_an_entry_that_is_the_senders_fault_is_not_tried_again(clock: "FakeClock") -> None:
    queue = PickyQueue({"1": 99}, sender_fault=frozenset("1"))

    outcome = in_batches(queue, entries(3), clock)

    assert queue.calls == [["0", "1", "2"]]
    assert outcome.failed == {"1": "Because"}
    assert sorted(outcome.succeeded) == ["0", "2"]


def test_an_entry_that_keeps_failing_is_given_up_after_four_tries_and_named(clock: "FakeClock") -> None:
    queue = PickyQueue({"1": 99})

    outcome = in_batches(queue, entries(3), clock)

    assert queue.seen("1") == 4
    assert outcome.failed == {"1": "Because"}


def test_an_entry_that_the_answer_does_not_mention_has_not_succeeded(clock: "FakeClock") -> None:
    outcome = in_batches(lambda _: {"Successful": [{"Id": "0"}]}, entries(1), clock)
    assert outcome.succeeded == ["0"]

    outcome = in_batches(lambda _: {}, entries(2), clock)

    assert outcome.succeeded == []
    assert outcome.failed == {"0": UNANSWERED, "1": UNANSWERED}


@given(
    count=st.integers(0, 35),
    fails=st.dictionaries(st.integers(0, 34).map(str), st.integers(0, 6)),
    sender_fault=st.frozensets(st.integers(0, 34).map(str)),
)
def test_every_entry_is_accounted_for_exactly_once(
    count: int, fails: dict[str, int], sender_fault: frozenset[str]
) -> None:
    queue = PickyQueue(fails, sender_fault=sender_fault)
    wanted = entries(count)

    outcome = in_batches(queue, wanted, NoWait())

    assert sorted([*outcome.succeeded, *outcome.failed]) == sorted(entry["Id"] for entry in wanted)
    expected = {
        entry["Id"]
        for entry in wanted
        if fails.get(entry["Id"], 0) >= 4 or (fails.get(entry["Id"], 0) and entry["Id"] in sender_fault)
    }
    assert set(outcome.failed) == expected
    assert all(len(ids) <= BATCH for ids in queue.calls)


def test_a_call_that_fails_as_a_whole_raises(cloud: "Cloud", clock: "FakeClock", faults: "Faults") -> None:
    faults.refuse(cloud.sqs, "DeleteMessageBatch", 403, "AccessDenied")
    url = cloud.settings.jobs_queue_url

    with pytest.raises(ClientError, match="AccessDenied"):
        in_batches(
            lambda batch: cloud.sqs.delete_message_batch(QueueUrl=url, Entries=batch),
            [{"Id": "0", "ReceiptHandle": "handle"}],
            clock,
        )


def test_a_real_queue_takes_what_is_sent_in_batches_and_says_how_much_waits(cloud: "Cloud", clock: "FakeClock") -> None:
    url = cloud.settings.jobs_queue_url
    messages = [{"Id": str(number), "MessageBody": json.dumps(number)} for number in range(12)]

    outcome = in_batches(lambda batch: cloud.sqs.send_message_batch(QueueUrl=url, Entries=batch), messages, clock)
    cloud.sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=600)
    cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=5)

    assert len(outcome.succeeded) == 12
    assert queue_depth(cloud.sqs, url) == QueueDepth(visible=7, in_flight=5, delayed=1)


def test_the_depths_of_two_queues_add_up() -> None:
    both = QueueDepth(1, 2, 3) + QueueDepth(10, 20, 30)

    assert both == QueueDepth(11, 22, 33)
    assert both.total == 66
