import threading

import pytest

from tests.faults.harness.call import Call
from tests.faults.harness.rules import Delay, Rule, Switch

PUT = Call("worker-1", "s3", "PutObject", "users/u/transcription-chunk-007.json")
RECEIVE = Call("worker-2", "sqs", "ReceiveMessage", "jobs")


def strikes(rule: Rule, call: Call = PUT, count: int = 10) -> list[int]:
    """Which of `count` equal calls the rule strikes, from 1."""
    return [number for number in range(1, count + 1) if rule.strikes(call, now=float(number))]


@pytest.mark.parametrize("on", ["s3:PutObject", "s3:*", "*:PutObject", "s3:Put*", "*"])
def test_a_rule_names_service_and_operation_with_stars_for_anything(on: str) -> None:
    assert strikes(Rule(on, Delay(0)), PUT, 1) == [1]


@pytest.mark.parametrize("on", ["s3:GetObject", "sqs:*", "s3:put*", "PutObject"])
def test_a_rule_leaves_other_calls_alone(on: str) -> None:
    assert strikes(Rule(on, Delay(0)), PUT) == []


def test_a_rule_can_be_about_one_actor_and_about_targets_that_hold_an_expression() -> None:
    assert Rule("*", Delay(0), actor="worker-1").matches(PUT)
    assert not Rule("*", Delay(0), actor="worker-1").matches(RECEIVE)
    assert Rule("*", Delay(0), target=r"chunk-\d+\.json$").matches(PUT)
    assert not Rule("*", Delay(0), target=r"^chunk").matches(PUT)


def test_a_rule_can_be_about_what_a_call_s_body_says() -> None:
    delete = Call("worker-1", "sqs", "DeleteMessage", "jobs", b'{"ReceiptHandle": "r"}')
    rule = Rule("sqs:*", Delay(0), where=lambda call: "ReceiptHandle" in call.body, nth=1)
    assert strikes(rule, RECEIVE) == []
    assert strikes(rule, delete) == [1]


def test_the_nth_call_is_struck_and_no_other() -> None:
    assert strikes(Rule("s3:*", Delay(0), nth=3)) == [3]


def test_calls_that_do_not_match_are_not_counted_for_the_nth() -> None:
    rule = Rule("s3:*", Delay(0), nth=2)
    assert strikes(rule, PUT, 1) == []
    assert strikes(rule, RECEIVE, 5) == []
    assert strikes(rule, PUT, 1) == [1]


def test_a_rule_strikes_no_more_than_so_many_times_and_says_how_often_and_when_last() -> None:
    rule = Rule("s3:*", Delay(0), times=2)
    assert (rule.struck, rule.last_strike) == (0, None)
    assert strikes(rule) == [1, 2]
    assert (rule.struck, rule.last_strike) == (2, 2.0)


def test_two_rules_with_one_seed_draw_the_same_and_with_another_seed_not() -> None:
    drawn = []
    for seed in ("7:0", "7:0", "7:1"):
        rule = Rule("s3:*", Delay(0), probability=0.5)
        rule.seed(seed)
        drawn.append(strikes(rule, count=200))
    assert drawn[0] == drawn[1] != drawn[2]
    assert 70 < len(drawn[0]) < 130


def test_the_limits_of_a_rule_do_not_shift_what_it_draws() -> None:
    free, limited = (Rule("s3:*", Delay(0), probability=0.3, times=times) for times in (None, 5))
    free.seed("1")
    limited.seed("1")
    assert strikes(limited, count=100) == strikes(free, count=100)[:5]


def test_a_rule_strikes_and_counts_only_while_its_switch_is_open() -> None:
    switch = Switch()
    rule = Rule("s3:*", Delay(0), nth=1, during=switch)
    assert strikes(rule) == []
    with switch.opened():
        assert switch.is_open
        assert strikes(rule) == [1]
    assert not switch.is_open


def test_calls_at_the_same_time_never_strike_more_often_than_a_rule_may() -> None:
    rule = Rule("s3:*", Delay(0), times=50)
    at_once = threading.Barrier(4)

    def call_often() -> None:
        at_once.wait()
        strikes(rule, count=500)

    threads = [threading.Thread(target=call_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rule.struck == 50
