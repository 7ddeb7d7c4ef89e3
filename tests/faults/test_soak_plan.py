"""What happens in a soak comes from its seed alone, and every kind of blow is one that the harness can deal."""

import pytest

from shared.layout import LOCK_KEY
from tests.faults.harness.call import Call
from tests.faults.soak_plan import DEEDS, RULES, plan

TRANSCRIPT = "users/ada/audio/sessions/s1/transcription-chunk-002.json"


def test_a_seed_gives_the_same_soak_each_time() -> None:
    assert plan(7, 600, 3) == plan(7, 600, 3)


def test_another_seed_gives_another_soak() -> None:
    assert plan(7, 600, 3).blows != plan(8, 600, 3).blows
    assert plan(7, 600, 3).recordings != plan(8, 600, 3).recordings


def test_a_soak_is_in_order_and_within_its_time() -> None:
    what = plan(3, 600, 3)
    for times in ([each.at for each in what.recordings], [each.at for each in what.blows]):
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < 600


def test_there_is_work_from_the_first_second_and_no_session_comes_twice() -> None:
    what = plan(3, 1800, 3)
    assert what.recordings[0].at == 0
    assert len({each.session for each in what.recordings}) == len(what.recordings)
    assert all(0 < n <= each.chunks for each in what.recordings for n in each.live)


def test_half_an_hour_brings_every_kind_of_blow_to_every_worker() -> None:
    blows = plan(1, 1800, 3).blows
    assert {blow.kind for blow in blows} == {*DEEDS, *RULES}
    assert {blow.worker for blow in blows} == {1, 2, 3}
    assert all(0 < blow.share < 0.5 and 0 < blow.seconds <= 10 for blow in blows)


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_strikes_some_call_of_a_worker_and_none_that_a_recorder_makes_of_the_lock(kind: str) -> None:
    calls = [
        *(Call("worker-2", "s3", operation, TRANSCRIPT) for operation in ("GetObject", "PutObject")),
        Call("worker-2", "s3", "GetObject", LOCK_KEY),
        *(Call("worker-2", "sqs", operation, "jobs") for operation in ("ReceiveMessage", "DeleteMessage")),
        Call("worker-2", "dynamodb", "UpdateItem", "ledger"),
        *(Call("autoscaler", "ec2", operation, "i-1") for operation in ("StartInstances", "StopInstances")),
        Call("worker-2", "model", "TranscribeBegin", "1/2"),
    ]
    rule = RULES[kind]("worker-2", 0.3)
    assert any(rule.matches(call) for call in calls)
    recorder = [Call("recorder", "s3", operation, LOCK_KEY) for operation in ("GetObject", "PutObject", "DeleteObject")]
    assert not any(rule.matches(call) for call in recorder)
