"""Faults of instances: EC2 refuses, ignores, lags and takes away; hosts come up without a worker, or fall silent."""

from collections.abc import Callable
from signal import SIGSTOP
from typing import Final

from tests.faults.harness.call import Call
from tests.faults.harness.ec2_effects import IgnoredStop, Lagging, still_pending
from tests.faults.harness.effects import DENIED, EC2_THROTTLED, NO_CAPACITY, Kill, Rewrite, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.hosts import Hosts, Manners
from tests.faults.harness.later import late_ticks
from tests.faults.harness.rules import Rule, Switch
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.harness.stillness import until
from tests.faults.harness.ticking import PATIENCE_SECONDS, is_stopped, tick_until, ticked
from tests.faults.matrix.baseline import two_sessions

QUICK_WINDOWS: Final = 0.05
NEVER_ENDS: Final = {"SCRIBEFLEET_MAX_EMPTY_POLLS": "1000"}
"""Of a worker that never stops its instance, so that the autoscaler has to."""


def started(fleet: Fleet, hosts: Hosts, count: int = 1) -> None:
    """Two sessions' work, and as many hosts up as were to be."""
    two_sessions(fleet)
    tick_until(fleet, lambda: sum(host.is_up for host in hosts) >= count, f"{count} hosts are up")


def _starts(fleet: Fleet) -> int:
    return sum(entry.effective for entry in fleet.proxy.journal.calls("ec2:StartInstances"))


# --- stops that are refused or ignored


def _worker_stop_refused(fleet: Fleet) -> None:
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    fleet.proxy.add(Rule("ec2:StopInstances", DENIED, actor="worker-1"))
    started(fleet, hosts)
    fleet.proxy.wait_for("ec2:StopInstances", actor="worker-1", timeout=PATIENCE_SECONDS)
    tick_until(fleet, is_stopped(hosts), "the autoscaler stops the instance that its worker may not stop")


def _autoscaler_stop_refused(fleet: Fleet) -> None:
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS, env=NEVER_ENDS)
    refused = fleet.proxy.add(Rule("ec2:StopInstances", DENIED, actor="autoscaler", times=3))
    started(fleet, hosts)
    tick_until(fleet, is_stopped(hosts), "the autoscaler stops the idle instance when EC2 lets it")
    if refused.struck != 3:
        raise Broken(f"EC2 refused {refused.struck} times")


def _worker_stop_ignored(fleet: Fleet) -> None:
    """The worker has ended, its instance runs on: silent, so it is rebooted, and its next worker stops it."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    fleet.proxy.add(Rule("ec2:StopInstances", IgnoredStop(), actor="worker-1", nth=1))
    started(fleet, hosts)
    until(lambda: fleet.exits, "the worker ends as its instance seems to stop", PATIENCE_SECONDS)
    if is_stopped(hosts)():
        raise Broken("the instance was stopped all the same")
    ticked(late_ticks(fleet, ahead=400, times=2), "repairing", "repairing")
    until(is_stopped(hosts), "the worker after the reboot stops the instance", PATIENCE_SECONDS)


def _autoscaler_stop_ignored(fleet: Fleet) -> None:
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS, env=NEVER_ENDS)
    ignored = fleet.proxy.add(Rule("ec2:StopInstances", IgnoredStop(), actor="autoscaler", times=2))
    started(fleet, hosts)
    tick_until(fleet, is_stopped(hosts), "the autoscaler stops the idle instance once EC2 does as it says")
    if ignored.struck != 2:
        raise Broken(f"EC2 ignored {ignored.struck} stops")


# --- starts that are refused, slow or not seen


def _start_refused_for_an_hour(fleet: Fleet) -> None:
    """A tick a minute; of these only some ask EC2 again, longer apart each time."""
    fleet.hosts(clock_offset=2 * 3600)
    two_sessions(fleet)
    no_capacity = Switch()
    fleet.proxy.add(Rule("ec2:StartInstances", NO_CAPACITY, during=no_capacity))
    with no_capacity.opened():
        ticks = ticked(late_ticks(fleet, times=60))
    asked = sum(bool(tick["outcome"]["blocked"]) for tick in ticks)
    if not 4 <= asked <= 12:
        raise Broken(f"EC2 was asked in {asked} of {len(ticks)} minutes")
    ticks = ticked(late_ticks(fleet, ahead=3600, times=20, until_start=True))
    if not _starts(fleet):
        raise Broken("nothing was started within 20 minutes of there being capacity")


def _pending_long(fleet: Fleet) -> None:
    """A start that takes long counts as capacity: nothing else is started for it, and it is not given up."""
    hosts = fleet.hosts(manners=Manners(boot_seconds=4))
    pending = Switch(opened=True)
    fleet.proxy.add(Rule("ec2:DescribeInstances", Rewrite(still_pending), actor="autoscaler", during=pending))
    started(fleet, hosts)
    for _ in range(4):
        seen = fleet.tick()
        outcome = seen["outcome"]
        if outcome["started"] or outcome["stopped"] or outcome["rebooted"]:
            raise Broken(f"the autoscaler has {outcome} while the instance was pending")
        if [instance["state"] for instance in seen["instances"]] != ["pending"]:
            raise Broken("the instance was not pending")
    pending.close()


def _describe_lags(fleet: Fleet) -> None:
    """What was started still seems stopped, and what has stopped still seems to run."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    two_sessions(fleet)
    before = fleet.proxy.add(Rule("ec2:DescribeInstances", Lagging(), actor="autoscaler"))
    if not fleet.tick()["outcome"]["started"]:
        raise Broken("nothing was started")
    _does_nothing(fleet, "stopped")
    fleet.proxy.remove(before)
    until(is_stopped(hosts), "the instance stops when all is done", PATIENCE_SECONDS)


def _seems_to_run_on(fleet: Fleet) -> None:
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    started(fleet, hosts)
    lag = fleet.proxy.add(Rule("ec2:DescribeInstances", Lagging(), actor="autoscaler"))
    fleet.tick()
    until(is_stopped(hosts), "the instance stops when all is done", PATIENCE_SECONDS)
    fleet.put_session("edsger", "noon")
    fleet.scan()
    _does_nothing(fleet, "running")
    fleet.proxy.remove(lag)
    if not fleet.tick()["outcome"]["started"]:
        raise Broken("nothing was started for the new work when EC2 told what is")


def _does_nothing(fleet: Fleet, state: str) -> None:
    """Ticks that see an old state of the one instance start and stop nothing by it."""
    for _ in range(3):
        seen = fleet.tick()
        states = [instance["state"] for instance in seen["instances"]]
        if states != [state]:
            raise Broken(f"the instance was seen {states}")
        if seen["outcome"]["started"] or seen["outcome"]["stopped"] or seen["outcome"]["failed"]:
            raise Broken(f"by an old state, {seen['outcome']}")


# --- hosts and workers that fail


def _stop_in_mid_work(fleet: Fleet) -> None:
    """A person, or EC2, stops it."""
    hosts = fleet.hosts(manners=Manners(shutdown_seconds=0.2), seconds_per_window=0.5)
    _ends(fleet, lambda ids: fleet.cloud.ec2.stop_instances(InstanceIds=ids))
    started(fleet, hosts)
    host = fleet.host(1)
    until(lambda: host.runs and not host.is_up, "the host is down", PATIENCE_SECONDS)
    tick_until(fleet, lambda: len(host.runs) == 2, "the instance is started again for what is left")


def _terminated_in_mid_work(fleet: Fleet) -> None:
    hosts = fleet.hosts(manners=Manners(shutdown_seconds=0.2), seconds_per_window=0.5)
    _ends(fleet, lambda ids: fleet.cloud.ec2.terminate_instances(InstanceIds=ids))
    started(fleet, hosts, count=2)
    until(lambda: "terminated" in hosts.states().values(), "the instance is terminated", PATIENCE_SECONDS)


def _ends(fleet: Fleet, end: Callable[[list[str]], object]) -> None:
    """An instance ends by another hand when its worker is the first to begin a window."""

    def strike(call: Call) -> None:
        end([fleet.host(int(call.actor.rpartition("-")[2])).instance_id])

    fleet.proxy.add(Rule("model:TranscribeBegin", Then(strike), times=1))


def _host_without_worker(fleet: Fleet) -> None:
    """One of two hosts boots and nothing more. It is rebooted once, then stopped, and a person is told."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    fleet.host(1).dead = True
    started(fleet, hosts, count=2)
    until(lambda: not fleet.host(2).is_up, "the other host does all, and stops", PATIENCE_SECONDS)
    ticked(late_ticks(fleet, ahead=400, times=2), "repairing", "repairing")
    ticks = ticked(late_ticks(fleet, "autoscaler-last", ahead=1000, times=2), "repairing", "stopping")
    if not ticks[-1]["alarms"]:
        raise Broken("nobody was told of a host that is given up")


def _silent_worker(fleet: Fleet) -> None:
    """It is paused as by a GPU that hangs the machine: all of it stands still, its heart too."""
    hosts = fleet.hosts()
    paused = fleet.proxy.add(Rule("model:TranscribeBegin", Kill(sig=SIGSTOP), actor="worker-1", nth=2))
    started(fleet, hosts)
    until(lambda: paused.struck, "the worker is paused", PATIENCE_SECONDS)
    ticked(late_ticks(fleet, ahead=400, times=2), "repairing", "repairing")
    until(lambda: len(fleet.host(1).runs) == 2, "the host is rebooted", PATIENCE_SECONDS)


def _throttled(fleet: Fleet) -> None:
    hosts = fleet.hosts()
    fleet.proxy.add(Rule("ec2:*", EC2_THROTTLED, probability=0.4))
    started(fleet, hosts)


def _fault(
    name: str,
    what: str,
    script: Callable[[Fleet], None],
    *,
    workers: int = 1,
    idle_limit_seconds: int = 300,
    tick_seconds: float | None = None,
    injected: int = 0,
) -> Fault:
    return Fault(
        name=name,
        group="instances",
        what=what,
        script=script,
        workers=workers,
        settings={"idle_limit_seconds": idle_limit_seconds},
        tick_seconds=tick_seconds,
        injected=injected,
        stop_seconds=40,
    )


FAULTS: Final = (
    _fault(
        "worker-stop-refused",
        "EC2 never lets the worker stop its own instance; the autoscaler does it.",
        _worker_stop_refused,
        idle_limit_seconds=2,
    ),
    _fault(
        "autoscaler-stop-refused",
        "EC2 refuses three times to let the autoscaler stop an idle instance.",
        _autoscaler_stop_refused,
        idle_limit_seconds=2,
    ),
    _fault(
        "worker-stop-ignored",
        "EC2 says that it stops a worker's instance, and does not: it runs on without a worker.",
        _worker_stop_ignored,
    ),
    _fault(
        "autoscaler-stop-ignored",
        "EC2 says twice that it stops an idle instance for the autoscaler, and does not.",
        _autoscaler_stop_ignored,
        idle_limit_seconds=2,
    ),
    _fault(
        "start-refused-for-an-hour",
        "EC2 has no capacity for an hour of ticks, a minute apart by their clock.",
        _start_refused_for_an_hour,
    ),
    _fault("instance-pending-long", "EC2 takes a start and shows the instance as pending for long.", _pending_long),
    _fault("describe-lags-behind-start", "EC2 shows an instance as stopped that has been started.", _describe_lags),
    _fault("describe-lags-behind-stop", "EC2 shows an instance as running that has stopped.", _seems_to_run_on),
    _fault(
        "instance-stopped-in-mid-work", "Somebody stops the instance while its worker transcribes.", _stop_in_mid_work
    ),
    _fault(
        "instance-terminated-in-mid-work",
        "Somebody terminates one of two instances while its worker transcribes.",
        _terminated_in_mid_work,
        workers=2,
        tick_seconds=1.0,
    ),
    _fault(
        "host-without-worker",
        "One of two hosts boots, and its worker never starts.",
        _host_without_worker,
        workers=2,
        injected=1,
    ),
    _fault(
        "worker-falls-silent", "A worker stands still (SIGSTOP) in mid-work, and its heart with it.", _silent_worker
    ),
    _fault("ec2-throttled", "EC2 refuses two in five calls, throughout.", _throttled, tick_seconds=1.0),
)
