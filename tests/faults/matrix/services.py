"""The services beside S3 and SQS are away: the ledger's table, a host's metadata, credentials, notifications.

Work must go on without the table and without notifications. Without credentials nothing can be done, and nothing may
be lost either.
"""

from typing import Final

from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import (
    EXPIRED_TOKEN,
    SKEWED,
    THROTTLED,
    UNAVAILABLE,
    Effect,
    Hang,
    Reset,
    Rule,
    Switch,
)
from tests.faults.harness.scenario import Broken, Fault, Script
from tests.faults.matrix.baseline import two_sessions

_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"
_WORKERS: Final = ("worker-1", "worker-2")
_PATIENCE: Final = 60.0


def _throughout(on: str, effect: Effect, *, probability: float = 1.0) -> Script:
    """The usual load, of which everybody's calls are struck, the scan's included."""

    def script(fleet: Fleet) -> None:
        fleet.proxy.add(Rule(on, effect, probability=probability))
        two_sessions(fleet)
        fleet.start_workers()

    return script


def _caller_refused(on: str, effect: Effect) -> Script:
    """All calls of both workers are refused in mid-work. They end, and are started afresh when that is over."""

    def script(fleet: Fleet) -> None:
        two_sessions(fleet)
        refused = Switch()
        for actor in _WORKERS:
            fleet.proxy.add(Rule(on, effect, actor=actor, during=refused))
        workers = fleet.start_workers(seconds_per_window=0.5)
        fleet.proxy.wait_for("s3:PutObject", target=_TRANSCRIPT, timeout=_PATIENCE)
        with refused.opened():
            ends = [worker.wait(_PATIENCE) for worker in workers]
        if 0 in ends:
            raise Broken(f"the workers ended with {ends}: one that is refused everything has not done its work")
        fleet.start_workers()

    return script


def _metadata_gone_in_mid_work(fleet: Fleet) -> None:
    two_sessions(fleet)
    hosts = list(fleet.hosts(seconds_per_window=0.5))
    fleet.tick()
    fleet.proxy.wait_for("s3:PutObject", target=_TRANSCRIPT, timeout=_PATIENCE)
    for host in hosts:
        host.metadata_off()


def _metadata_gone_at_start(fleet: Fleet) -> None:
    """A worker that does not know its instance can neither stop it nor beat for it: the autoscaler reboots the host."""
    two_sessions(fleet)
    hosts = list(fleet.hosts())
    for host in hosts:
        host.metadata_off()
    fleet.tick()
    fleet.proxy.wait_for("s3:PutObject", target=_TRANSCRIPT, timeout=_PATIENCE)
    for host in hosts:
        host.metadata_on()


FAULTS: Final = (
    Fault(
        name="dynamodb-away",
        group="services",
        what="DynamoDB refuses every call of everybody at once, throughout.",
        script=_throughout("dynamodb:*", UNAVAILABLE),
    ),
    Fault(
        name="dynamodb-hangs",
        group="services",
        what="DynamoDB takes every call of everybody and says nothing, throughout.",
        script=_throughout("dynamodb:*", Hang(30)),
    ),
    Fault(
        name="dynamodb-throttled",
        group="services",
        what="DynamoDB throttles half of all calls, throughout.",
        script=_throughout("dynamodb:*", THROTTLED, probability=0.5),
    ),
    Fault(
        name="dynamodb-answers-lost",
        group="services",
        what="A third of the answers of DynamoDB are lost after the write was carried out.",
        script=_throughout("dynamodb:*", Reset(after=True), probability=0.33),
    ),
    Fault(
        name="credentials-expire",
        group="services",
        what="Every service refuses the workers' credentials as expired in mid-work; workers that are started afresh "
        "have new ones.",
        script=_caller_refused("*:*", EXPIRED_TOKEN),
    ),
    Fault(
        name="clock-refused",
        group="services",
        what="Every service refuses the workers' calls with RequestTimeTooSkewed, until their hosts' clocks are right "
        "and they are started afresh.",
        script=_caller_refused("*:*", SKEWED),
    ),
    Fault(
        name="sns-away",
        group="services",
        what="SNS is away while sessions are completed and runs reported.",
        script=_throughout("sns:*", UNAVAILABLE),
    ),
    Fault(
        name="sns-hangs",
        group="services",
        what="SNS takes every notification and says nothing.",
        script=_throughout("sns:*", Hang(30)),
    ),
    Fault(
        name="metadata-gone-in-mid-work",
        group="services",
        what="The hosts' metadata services go away while the workers work.",
        script=_metadata_gone_in_mid_work,
        injected=2,
        tick_seconds=1.0,
        settings={"idle_limit_seconds": 3},
    ),
    Fault(
        name="metadata-gone-at-start",
        group="services",
        what="The hosts' metadata services are away when the workers start, so that these do not know their instance.",
        script=_metadata_gone_at_start,
        injected=2,
        tick_seconds=1.0,
        stop_seconds=100,
        settings={"boot_limit_seconds": 5},
    ),
)
