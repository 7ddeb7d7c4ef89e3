"""Faults of the autoscaler's ticks: two at once, none for long, half blind, lied to, killed between two steps."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.faults.harness.answers import queue_counts
from tests.faults.harness.call import Call
from tests.faults.harness.effects import DENIED, Effect, Kill, Reset, Rewrite, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.later import late_ticks
from tests.faults.harness.rules import Rule, Switch
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.harness.stillness import LOCK, until
from tests.faults.harness.ticking import PATIENCE_SECONDS, is_stopped, ticked
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.instances import QUICK_WINDOWS, started

_RECORD: Final = "dynamodb:PutItem"
_AUTOSCALER: Final = "autoscaler"
_LATER: Final = "autoscaler-later"


# --- two at once, none for long


def _two_at_once(fleet: Fleet) -> None:
    """Both have looked, and come to the same start, when the first of them writes down what it decided."""
    hosts = fleet.hosts(2)
    two_sessions(fleet)
    _meet(fleet, _RECORD, ("autoscaler-1", "autoscaler-2"))
    ticks = [late_ticks(fleet, actor) for actor in ("autoscaler-1", "autoscaler-2")]
    decisions = sorted(ticked(process)[0]["decision"] for process in ticks)
    if decisions != ["outrun", "starting"]:
        raise Broken(f"of two ticks at once one must give way: {decisions}")
    _runs(hosts.states(), 1)


def _two_at_once_without_record(fleet: Fleet) -> None:
    """The ledger, by which one would know of the other, is away: both start the same instance, which is one start."""
    hosts = fleet.hosts(2)
    two_sessions(fleet)
    fleet.proxy.add(Rule("dynamodb:*", DENIED, actor="autoscaler-1"))
    fleet.proxy.add(Rule("dynamodb:*", DENIED, actor="autoscaler-2"))
    _meet(fleet, "ec2:StartInstances", ("autoscaler-1", "autoscaler-2"))
    ticks = [late_ticks(fleet, actor) for actor in ("autoscaler-1", "autoscaler-2")]
    outcomes = [ticked(process)[0]["outcome"] for process in ticks]
    if sum(len(outcome["started"]) for outcome in outcomes) != 1:
        raise Broken(f"one instance was started, and the ticks say {outcomes}")
    _runs(hosts.states(), 1)


def _meet(fleet: Fleet, on: str, actors: tuple[str, str]) -> None:
    """Hold the first call of each actor until both have come so far."""
    both = threading.Barrier(len(actors))

    def wait(_call: Call) -> None:
        both.wait(PATIENCE_SECONDS)

    for actor in actors:
        fleet.proxy.add(Rule(on, Then(wait), actor=actor, nth=1))


def _runs(states: dict[str, str], most: int) -> None:
    running = [name for name, state in states.items() if state in {"pending", "running"}]
    if len(running) > most:
        raise Broken(f"{len(running)} instances run, {most} may")


def _none_for_half_an_hour(fleet: Fleet) -> None:
    """The instance ends without any tick. Work that comes meanwhile waits for the next one."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    started(fleet, hosts)
    until(is_stopped(hosts), "the worker stops its instance without any tick", PATIENCE_SECONDS)
    fleet.put_session("edsger", "noon")
    fleet.scan()
    ticked(late_ticks(fleet, ahead=1800), "starting")


# --- half blind


def _blind_to(fleet: Fleet, on: str, target: str | None, *, starts: bool) -> None:
    """Nothing is started on what is not seen, unless it is the ledger; and what is busy is never stopped."""
    hosts = fleet.hosts(seconds_per_window=0.6)
    two_sessions(fleet)
    blind = Switch(opened=True)
    fleet.proxy.add(Rule(on, DENIED, actor=_AUTOSCALER, target=target, during=blind))
    began = [bool(fleet.tick()["outcome"]["started"]) for _ in range(2)]
    if began != [starts, False]:
        raise Broken(f"half blind, two ticks started an instance: {began}")
    blind.close()
    if not starts and not fleet.tick()["outcome"]["started"]:
        raise Broken("nothing was started when all could be seen")
    fleet.proxy.wait_for("model:TranscribeBegin", timeout=PATIENCE_SECONDS)
    with blind.opened():
        for _ in range(3):
            _touches_nothing(fleet.tick())
    _runs(hosts.states(), 1)


def _touches_nothing(tick: dict[str, Any]) -> None:
    done = {what: found for what, found in tick["outcome"].items() if found}
    if done:
        raise Broken(f"a tick that could not see all has done {done}: {tick['reason']}")


def _counts_lag(fleet: Fleet) -> None:
    """SQS counts nothing while there is work: none is started yet, and the busy one is not stopped for it."""
    hosts = fleet.hosts(seconds_per_window=0.6)
    two_sessions(fleet)
    lag = Switch(opened=True)
    nothing = Rewrite(queue_counts(visible=0, in_flight=0, delayed=0))
    fleet.proxy.add(Rule("sqs:GetQueueAttributes", nothing, actor=_AUTOSCALER, during=lag))
    for _ in range(2):
        _touches_nothing(fleet.tick())
    lag.close()
    started_now = fleet.tick()["outcome"]["started"]
    if not started_now:
        raise Broken("nothing was started when SQS counted what is there")
    fleet.proxy.wait_for("model:TranscribeBegin", timeout=PATIENCE_SECONDS)
    with lag.opened():
        for _ in range(3):
            _touches_nothing(fleet.tick())
    _runs(hosts.states(), 1)


def _counts_spike(fleet: Fleet) -> None:
    """SQS counts 500 jobs where there is none, at three ticks of the next half hour; a look for one finds none."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    started(fleet, hosts)
    until(is_stopped(hosts), "all is done", PATIENCE_SECONDS)
    spike = Rewrite(queue_counts(visible=500))
    fleet.proxy.add(Rule("sqs:GetQueueAttributes", spike, actor=_LATER, target="jobs$"))
    ticked(late_ticks(fleet, _LATER, ahead=600, every=600, times=3), "doubting", "doubting", "doubting")


# --- killed, and not answered


def _killed(fleet: Fleet, on: str, *, before: bool, starts: bool) -> None:
    """The tick dies forty seconds ago, so that the next one need not wait until EC2 has shown what it did."""
    hosts = fleet.hosts()
    two_sessions(fleet)
    fleet.proxy.add(Rule(on, Kill(before=before), actor=_LATER, nth=1))
    killed = late_ticks(fleet, _LATER, ahead=-40)
    if killed.wait(PATIENCE_SECONDS) != -9:
        raise Broken(f"the tick was not killed: {killed.returncode}")
    if ("running" in hosts.states().values()) is not starts:
        raise Broken(f"the instance is {hosts.states()} when the tick is dead")
    if bool(fleet.tick()["outcome"]["started"]) is starts:
        raise Broken("the next tick did not do just what was left to do")
    _runs(hosts.states(), 1)


def _answer_lost(fleet: Fleet, on: str) -> None:
    """The call was carried out and its answer is lost; boto3 tries again, and finds its own work."""
    hosts = fleet.hosts()
    two_sessions(fleet)
    lost: Effect = Reset(after=True)
    fleet.proxy.add(Rule(on, lost, actor=_AUTOSCALER, nth=1))
    tick = fleet.tick()
    if tick["decision"] != "starting" or not tick["outcome"]["started"]:
        raise Broken(f"the tick took its own work for another's: {tick['decision']}, {tick['reason']}")
    _runs(hosts.states(), 1)


def _fault(
    name: str,
    what: str,
    script: Callable[[Fleet], None],
    *,
    idle_limit_seconds: int = 300,
    target_drain_seconds: int = 900,
    workers: int = 1,
    injected: int = 0,
) -> Fault:
    return Fault(
        name=name,
        group="ticks",
        what=what,
        script=script,
        workers=workers,
        injected=injected,
        settings={"idle_limit_seconds": idle_limit_seconds, "target_drain_seconds": target_drain_seconds},
        stop_seconds=40,
    )


_BLIND: Final = {
    "queues": ("sqs:GetQueueAttributes", None, False, "the queues"),
    "instances": ("ec2:DescribeInstances", None, False, "the instances"),
    "lock": ("s3:GetObject", LOCK, False, "the lock"),
    "ledger": ("dynamodb:*", None, True, "the ledger, without which it starts what work needs all the same"),
}
_KILLS: Final = {
    "before-record": (_RECORD, True, False, "before it writes down what it decided"),
    "after-record": (_RECORD, False, False, "when it has written down what it decided"),
    "after-mark": ("ec2:CreateTags", False, False, "when it has marked an instance as its own"),
    "before-start": ("ec2:StartInstances", True, False, "before it starts an instance"),
    "after-start": ("ec2:StartInstances", False, True, "when it has started an instance"),
}

FAULTS: Final = (
    _fault("two-ticks-at-once", "Two ticks decide at the same moment to start an instance; one may run.", _two_at_once),
    _fault(
        "two-ticks-at-once-without-record",
        "Two ticks start the same instance at the same moment, and the ledger is away.",
        _two_at_once_without_record,
    ),
    _fault(
        "no-tick-for-30-minutes", "No tick comes for half an hour, and work does.", _none_for_half_an_hour, injected=1
    ),
    *(
        _fault(
            f"tick-blind-to-{name}",
            f"Ticks cannot read {what}, before a start and while a worker is busy.",
            partial(_blind_to, on=on, target=target, starts=starts),
            idle_limit_seconds=1,
        )
        for name, (on, target, starts, what) in _BLIND.items()
    ),
    _fault(
        "queue-counts-lag",
        "SQS counts nothing while there is work, before a start and while a worker is busy.",
        _counts_lag,
        idle_limit_seconds=1,
    ),
    _fault(
        "queue-counts-spike",
        "SQS counts 500 jobs where there is none.",
        _counts_spike,
        target_drain_seconds=1,
        workers=2,
    ),
    *(
        _fault(f"kill-tick-{name}", f"A tick is killed {what}.", partial(_killed, on=on, before=before, starts=starts))
        for name, (on, before, starts, what) in _KILLS.items()
    ),
    _fault(
        "tick-record-answer-lost",
        "The answer to a tick's record is lost.",
        partial(_answer_lost, on=_RECORD),
    ),
    _fault(
        "start-answer-lost",
        "The answer to a start is lost.",
        partial(_answer_lost, on="ec2:StartInstances"),
    ),
)
