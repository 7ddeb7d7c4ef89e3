"""What happens in a soak comes from its seed alone, and every kind of blow is one that the harness can deal."""

from itertools import pairwise

import pytest

from shared.formats.layout import LOCK_KEY
from tests.faults.harness.call import Call
from tests.faults.harness.rules import Rule
from tests.faults.load_course import rules
from tests.faults.soak_blows import DEEDS, RULES
from tests.faults.soak_plan import plan

SESSION = "users/ada/audio/sessions/s1"
REPORT = "batch-reports/batch-2026-01-01-0000-i-1.json"
STATES = b'{"TableName": "ledger", "ExpressionAttributeValues": {":status": {"S": "%s"}}}'
OF_THE_FLEET = (
    *(Call("worker-2", "s3", operation, f"{SESSION}/chunk-002.flac") for operation in ("GetObject", "HeadObject")),
    *(
        Call("worker-2", "s3", "PutObject", f"{SESSION}/{name}")
        for name in ("transcription-chunk-002.json", "transcription.txt", "transcription.json")
    ),
    Call("worker-2", "s3", "GetObject", LOCK_KEY),
    Call("worker-2", "s3", "PutObject", REPORT),
    *(Call("worker-2", "sqs", operation, "scribefleet-jobs") for operation in ("ReceiveMessage", "DeleteMessage")),
    *(Call("worker-2", "dynamodb", "UpdateItem", "ledger", STATES % state) for state in (b"processing", b"completed")),
    Call("worker-2", "ec2", "StopInstances", "i-1"),
    Call("worker-2", "model", "TranscribeBegin", "1/2"),
    Call("autoscaler", "ec2", "StartInstances", "i-1"),
    Call("autoscaler", "sqs", "GetQueueAttributes", "scribefleet-jobs"),
)
OF_A_RECORDER = tuple(
    Call("recorder", "s3", operation, LOCK_KEY) for operation in ("GetObject", "PutObject", "DeleteObject")
)


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
        assert times[-1] <= 600


@pytest.mark.parametrize("seed", range(5))
def test_there_is_work_from_the_first_second_on_and_every_part_of_a_session_brings_a_gap(seed: int) -> None:
    recordings = plan(seed, 1800, 3).recordings
    assert recordings[0].at == 0
    for part in recordings:
        numbers = set(range(part.first, part.last + 1))
        assert numbers > set(part.live)


def test_a_session_goes_on_where_it_ended() -> None:
    recordings = plan(3, 1800, 3).recordings
    parts = {each.session: [part for part in recordings if part.session == each.session] for each in recordings}
    assert any(len(each) > 1 for each in parts.values())
    for each in parts.values():
        assert each[0].first == 1
        assert len({part.user for part in each}) == 1
        assert all(after.first == before.last + 1 for before, after in pairwise(each))


def test_there_are_bursts_and_lulls() -> None:
    times = [each.at for each in plan(3, 1800, 3).recordings]
    pauses = [after - before for before, after in pairwise(times)]
    assert min(pauses) < 1
    assert max(pauses) > 20


@pytest.mark.parametrize("seed", range(5))
def test_half_an_hour_brings_every_kind_of_blow_several_times_and_strikes_every_worker(seed: int) -> None:
    blows = plan(seed, 1800, 3).blows
    for kind in (*DEEDS, *RULES):
        assert sum(blow.kind == kind for blow in blows) >= 5, kind
    assert {blow.worker for blow in blows} == {1, 2, 3}
    assert all(0 < blow.share < 0.5 and 0 < blow.seconds <= 10 for blow in blows)


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_strikes_some_call_of_the_fleet_and_none_that_a_recorder_makes_of_the_lock(kind: str) -> None:
    rule = RULES[kind]("worker-2", 0.3)
    assert any(rule.matches(call) for call in OF_THE_FLEET)
    assert not any(rule.matches(call) for call in OF_A_RECORDER)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: f"{rule.on}-{type(rule.effect).__name__}")
def test_every_rule_of_the_load_strikes_some_call_of_the_fleet(rule: Rule) -> None:
    assert any(rule.matches(call) for call in OF_THE_FLEET)
    assert rule.probability < 0.05
