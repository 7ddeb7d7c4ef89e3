"""Leases: extended while a job is in hand, lost when SQS says so or time does, never extended for ever."""

from typing import TYPE_CHECKING

import pytest

from shared.errors import LeaseLostError

if TYPE_CHECKING:
    from tests.consumer.conftest import MakeCrew, Refuse


def test_a_lease_that_is_extended_outlives_its_first_visibility_timeout(crew: "MakeCrew") -> None:
    one = crew(visibility_timeout_seconds=30)
    one.job()
    [message] = one.queue.receive(10, wait=False)
    one.leases.hold([message])
    for _ in range(5):
        one.clock.advance(20)
        one.leases.extend_all()
    one.leases.check(message)


def test_a_lease_that_nobody_extends_runs_out(crew: "MakeCrew") -> None:
    one = crew(visibility_timeout_seconds=30)
    one.job()
    [message] = one.queue.receive(10, wait=False)
    one.leases.hold([message])
    one.clock.advance(29)
    one.leases.check(message)
    one.clock.advance(1)
    with pytest.raises(LeaseLostError):
        one.leases.check(message)


def test_a_lease_that_sqs_refuses_to_extend_is_lost_and_the_others_are_not(crew: "MakeCrew") -> None:
    one = crew()
    one.job("001")
    one.job("002")
    first, second = one.queue.receive(10, wait=False)
    one.leases.hold([first, second])

    def refuse_first(parsed: dict[str, object], **_: object) -> None:
        parsed["Successful"] = [{"Id": "1"}]
        parsed["Failed"] = [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]

    one.cloud.sqs.meta.events.register("after-call.sqs.ChangeMessageVisibilityBatch", refuse_first)
    one.leases.extend_all()
    one.leases.check(second)
    with pytest.raises(LeaseLostError):
        one.leases.check(first)


def test_with_sqs_away_a_lease_holds_until_its_time_is_over(crew: "MakeCrew", refuse: "Refuse") -> None:
    one = crew(visibility_timeout_seconds=30)
    one.job()
    [message] = one.queue.receive(10, wait=False)
    one.leases.hold([message])
    refuse(one.cloud.sqs, "sqs.ChangeMessageVisibilityBatch", "ServiceUnavailable", 503)
    one.clock.advance(10)
    one.leases.extend_all()
    one.leases.check(message)
    one.clock.advance(21)
    with pytest.raises(LeaseLostError):
        one.leases.check(message)


def test_a_job_beyond_its_deadline_loses_its_lease_and_ends_the_process(crew: "MakeCrew") -> None:
    one = crew(visibility_timeout_seconds=30, job_deadline_seconds=100)
    one.job("001")
    one.job("002")
    hanging, waiting = one.queue.receive(10, wait=False)
    one.leases.hold([hanging, waiting])
    one.leases.begin(hanging)
    for _ in range(5):
        one.clock.advance(20)
        one.leases.extend_all()
    assert one.hung == []
    one.clock.advance(20)
    one.leases.extend_all()
    assert one.hung == [True]
    one.clock.advance(15)
    one.leases.check(waiting)
    with pytest.raises(LeaseLostError):
        one.leases.check(hanging)


def test_a_message_that_was_given_back_is_not_extended_any_more(crew: "MakeCrew") -> None:
    one = crew()
    one.job()
    messages = one.queue.receive(10, wait=False)
    one.leases.hold(messages)
    one.handler.release(messages)
    one.leases.extend_all()
    assert one.waiting() == (1, 0)
