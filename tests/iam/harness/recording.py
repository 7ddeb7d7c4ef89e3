"""What a fleet under its roles called: in a real run, and by its own adapters where a quiet run does not get.

A recording is plain data, so that tests may look at it in any order and in any process.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from autoscaler.probe import QueueProbe
from autoscaler.providers.group import AutoScalingGroup
from autoscaler.providers.stoppable import InstancePool
from autoscaler.repair import InstanceRepairs
from consumer.host.group_membership import Membership
from consumer.jobs.queue import JobQueue
from deploy.local.cloud import EmbeddedCloudError
from sample_tree import add_session
from shared.clock import SystemClock, iso
from shared.reporting.reports import BatchReport, execution, write_report
from shared.state.lock import SessionLock
from tests.iam.harness.attempts import attempt_all
from tests.iam.harness.evaluator import Statement
from tests.iam.harness.fleet import GuardedFleet
from tests.iam.harness.gate import Call

BROKEN, GAP = "009", "010"
_PATIENCE_SECONDS = 180  # a net for a broken fleet, not a measure


@dataclass(slots=True)
class Recording:
    """What was recorded of one deployment.

    Attributes:
        policies: component -> the statements of its role, as deployed.
        calls: all calls of the fleet's own, in the order in which they came.
        statuses: chunk -> status in the ledger, after the run.
        keys: the bucket's keys, after the run.
        states: the instances' states, after the run.
        reduced: component -> what it said when the emulator had taken a statement from its role.
        attempts: what nobody should be able to do -> AWS's code of the refusal, or nothing where it was allowed.
        not_understood: calls that the gate could not read.
    """

    policies: Mapping[str, Sequence[Statement]]
    calls: list[Call] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    reduced: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    not_understood: list[str] = field(default_factory=list)


def record_pool(fleet: GuardedFleet, tree: Path) -> Recording:
    """A pool's fleet: one run from scan to report, runs that lack a statement, and what a quiet run never calls."""
    recording = Recording(fleet.policies)
    session = add_session(tree / "first", "alice", "s1", gaps=(BROKEN, GAP))
    (tree / "first" / session / f"chunk-{BROKEN}.webm").write_bytes(b"<!DOCTYPE html><html><body>504</body></html>")
    (tree / "first" / session / "metadata.json").write_text("{}")
    # A session as a worker leaves it that is killed after the last chunk: its transcript is for the scan to make.
    unfinished = add_session(tree / "first", "carol", "s3")
    (tree / "first" / unfinished / "metadata.json").write_text("{}")
    with fleet.working():
        _upload(fleet, tree / "first")
        fleet.functions["scanner"].invoke({"enqueue": True})
        _run_until(fleet, lambda: set(_statuses(fleet, session).values()) == {"completed", "failed"})
        _run_until(fleet, lambda: _states(fleet) == ["stopped"])
        recording.statuses, recording.keys, recording.states = _statuses(fleet, session), _keys(fleet), _states(fleet)
        _scan_while_locked(fleet)
        add_session(tree / "second", "bob", "s2", gaps=(GAP,))
        _upload(fleet, tree / "second")
        recording.reduced = _reduced_runs(fleet)
    _beyond_the_run_of_a_pool(fleet)
    recording.calls = list(fleet.gate.calls)
    recording.attempts = attempt_all(fleet)
    recording.not_understood = fleet.gate.not_understood
    return recording


def record_group(fleet: GuardedFleet) -> Recording:
    """A group's fleet: the calls that it makes instead of a pool's, by the adapters that make them."""
    clock = SystemClock()
    (described,) = fleet.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    name = described["AutoScalingGroupName"]
    provider = AutoScalingGroup(fleet.client("autoscaler", "autoscaling", "fleet-autoscaler"), name, clock)

    def start_one() -> str:
        sight = provider.see(())
        assert sight.instances is not None
        assert provider.start((sight.instances[0].id,), 1, clock.now()).started
        (group,) = fleet.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        return group["Instances"][0]["InstanceId"]

    assert provider.stop(start_one()).stopped
    member = start_one()
    membership = Membership(fleet.client("worker", "autoscaling", member), name, member, clock)
    membership.protect(wanted=True)
    assert membership.leave()
    return Recording(fleet.policies, fleet.gate.calls, not_understood=fleet.gate.not_understood)


# --- the run


def _upload(fleet: GuardedFleet, tree: Path) -> None:
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        fleet.s3.upload_file(str(path), fleet.stack.bucket, path.relative_to(tree).as_posix())


def _run_until(fleet: GuardedFleet, done: Callable[[], bool]) -> None:
    """Let the autoscaler tick about once a second until it is done."""
    last = 0.0

    def look() -> bool:
        nonlocal last
        if time.monotonic() - last >= 1:
            fleet.functions["autoscaler"].invoke({})
            last = time.monotonic()
        return done()

    _wait_until(fleet, look)


def _wait_until(fleet: GuardedFleet, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"waited in vain; the logs are in {fleet.logs}"
        time.sleep(0.2)  # each look asks the emulator, which shares the cores with what is waited for


def _scan_while_locked(fleet: GuardedFleet) -> None:
    """A scan that only reports that it was skipped."""
    lock = SessionLock(fleet.s3, fleet.stack.bucket, SystemClock(), timedelta(minutes=30))
    lock.take("alice", "live")
    fleet.functions["scanner"].invoke({"enqueue": True})
    lock.release("alice", "live")


def _statuses(fleet: GuardedFleet, session: str) -> dict[str, str]:
    return {chunk: str(item["status"]) for chunk, item in fleet.ledger.session_jobs(session).items()}


def _keys(fleet: GuardedFleet) -> list[str]:
    listed = fleet.s3.list_objects_v2(Bucket=fleet.stack.bucket)
    return [item["Key"] for item in listed["Contents"]]


def _states(fleet: GuardedFleet) -> list[str]:
    answer = fleet.ec2.describe_instances(InstanceIds=list(fleet.stack.instance_ids))
    return [i["State"]["Name"] for r in answer["Reservations"] for i in r["Instances"]]


# --- runs that lack a statement


def _reduced_runs(fleet: GuardedFleet) -> dict[str, str]:
    """What each component does when the emulator refuses the call that its work rests on."""
    said = {}
    with fleet.emulated_without("scanner", "sqs:SendMessage"):
        said["scanner"] = _said(fleet, "scanner", {"enqueue": True})
    fleet.sqs.send_message(QueueUrl=fleet.stack.jobs_queue_url, MessageBody="no job, but it counts as work")
    with fleet.emulated_without("autoscaler", "ec2:StartInstances"):
        said["autoscaler"] = _said(fleet, "autoscaler", {})
    said["worker"] = _worker_without(fleet, "sqs:ReceiveMessage")
    return said


def _said(fleet: GuardedFleet, component: str, event: dict[str, Any]) -> str:
    try:
        return f"answered {fleet.functions[component].invoke(event)}"
    except EmbeddedCloudError as error:
        return str(error)


def _worker_without(fleet: GuardedFleet, action: str) -> str:
    """What a worker's log says, from its start to its end or to its host's shutdown."""
    (instance,) = fleet.stack.instance_ids
    log = fleet.logs / f"worker-{instance}.log"
    before = log.stat().st_size
    with fleet.emulated_without("worker", action):
        fleet.ec2.start_instances(InstanceIds=[instance])
        _wait_until(fleet, lambda: "not authorized" in log.read_text()[before:])
        fleet.ec2.stop_instances(InstanceIds=[instance])
    return log.read_text()[before:]


# --- what a quiet run never calls


def _beyond_the_run_of_a_pool(fleet: GuardedFleet) -> None:
    """Calls for trouble: leases to extend, silent workers, idle instances, counts in doubt."""
    clock, settings = SystemClock(), fleet.stack.settings()
    urls = (settings.priority_queue_url, settings.jobs_queue_url)
    for url in urls:
        fleet.sqs.purge_queue(QueueUrl=url)
        fleet.sqs.send_message(QueueUrl=url, MessageBody="one")
    for url in urls:
        QueueProbe(fleet.client("autoscaler", "sqs"), (url,)).look()
    queue = JobQueue(fleet.client("worker", "sqs"), settings, clock)
    for _ in urls:
        (message,) = queue.receive(1, wait=False)
        assert not queue.set_visibility([message], 30)
        queue.delete(message)
    _write_a_report_twice(fleet.client("scanner", "s3"), settings.bucket)
    _write_a_report_twice(fleet.client("worker", "s3"), settings.bucket)
    ec2 = fleet.client("autoscaler", "ec2")
    pool, repairs = InstancePool(ec2), InstanceRepairs(ec2)
    assert not pool.stop(fleet.stack.instance_ids[0]).failed
    assert repairs.mark(fleet.stack.instance_ids, clock.now()).marked
    assert repairs.reboot(fleet.stack.instance_ids, clock.now()).rebooted


def _write_a_report_twice(s3: Any, bucket: str) -> None:
    """As when the first answer is lost: the name is taken, by the report itself, which is read."""
    now = SystemClock().now()
    report = BatchReport(
        report_id="", timestamp=iso(now), status="skipped", lock_status="free", execution=execution(now, now)
    )
    first, second = (write_report(s3, bucket, report, now).report_id for _ in range(2))
    assert first == second
