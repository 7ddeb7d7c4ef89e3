"""EC2 as the providers call it, with the behaviour that moto leaves out.

States take time, a call about several instances is refused as a whole, a zone can be full, an instance between two
states cannot be started or stopped, and an answer can get lost after the deed. Sources: EC2 API Reference
(StartInstances, StopInstances, DeleteTags), EC2 User Guide "Instance lifecycle". The contract suite runs over this and
over moto alike, so that the two cannot drift apart.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import ClientError

from shared.state.instances import FLEET_TAG

FLEET = "fleet"


class Now(Protocol):
    """The part of a clock that a cloud needs."""

    def now(self) -> datetime:
        """The time of day."""


def aws_error(code: str, operation: str, status: int = 400) -> ClientError:
    """The error that boto3 raises for AWS's `code`."""
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


@dataclass(slots=True)
class Host:
    """One instance. `due` is when its passing state ends."""

    id: str
    zone: str
    launch_time: datetime
    tags: dict[str, str]
    state: str = "stopped"
    due: datetime | None = None


@dataclass(slots=True)
class Fault:
    """The next call of `operation` is refused with `code`; `done`: only the answer is lost."""

    operation: str
    code: str
    status: int = 400
    done: bool = False


_NEXT = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}


@dataclass(slots=True)
class ScriptedEc2:
    """EC2 with one fleet's instances.

    Attributes:
        full_zones: zones in which nothing starts.
        faults: refusals to come, in order.
        retried: the next answer is that of boto3's second try, the first one having worked.
        calls: how many there were, by operation.
        before, after: called once around the next call of an operation; a second caller acts in them.
    """

    clock: Now
    boot: timedelta = timedelta(seconds=30)
    stop: timedelta = timedelta(seconds=20)
    hosts: dict[str, Host] = field(default_factory=dict)
    full_zones: set[str] = field(default_factory=set)
    faults: deque[Fault] = field(default_factory=deque)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)
    retried: bool = False
    calls: Counter[str] = field(default_factory=Counter)

    # --- what a test or the group does

    def add(self, zone: str = "a", *, running: bool = False, tags: dict[str, str] | None = None) -> str:
        """A new instance of the fleet; its id."""
        name = f"i-{len(self.hosts) + 1:03d}"
        self.hosts[name] = Host(name, zone, self.clock.now(), {FLEET_TAG: FLEET, **(tags or {})})
        if running:
            self._begin(self.hosts[name], "pending", self.boot)
        return name

    def settle(self) -> None:
        """Let passing states end that are due."""
        for host in self.hosts.values():
            if host.due and host.due <= self.clock.now():
                host.state, host.due = _NEXT[host.state], None

    def terminate(self, name: str) -> None:
        self._begin(self.hosts[name], "shutting-down", self.stop)

    def start_by_person(self, name: str) -> None:
        """Someone else starts a stopped instance."""
        self._start([name])

    def stop_by_person(self, name: str) -> None:
        """Someone stops a running instance."""
        self._stop([name])

    def running(self) -> set[str]:
        """Instances that run or are about to."""
        self.settle()
        return {host.id for host in self.hosts.values() if host.state in {"pending", "running"}}

    # --- the client's calls

    def describe_instances(self, Filters: Sequence[Any] = ()) -> dict[str, Any]:
        names = {name for only in Filters for name in only["Values"]} if Filters else self.hosts.keys()
        return self._call("describe_instances", lambda: self._describe(names))

    def start_instances(self, InstanceIds: Sequence[str]) -> dict[str, Any]:
        return self._call("start_instances", lambda: self._start(InstanceIds))

    def stop_instances(self, InstanceIds: Sequence[str]) -> dict[str, Any]:
        return self._call("stop_instances", lambda: self._stop(InstanceIds))

    def create_tags(self, Resources: Sequence[str], Tags: Sequence[dict[str, str]]) -> dict[str, Any]:
        return self._call("create_tags", lambda: self._tag(Resources, Tags))

    def delete_tags(self, Resources: Sequence[str], Tags: Sequence[dict[str, str]]) -> dict[str, Any]:
        return self._call("delete_tags", lambda: self._untag(Resources, Tags))

    # --- how EC2 does it

    def _call(self, operation: str, deed: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.settle()
        self.calls[operation] += 1
        self.before.pop(operation, bool)()
        fault = next((fault for fault in self.faults if fault.operation == operation), None)
        if fault:
            self.faults.remove(fault)
            if fault.done:
                deed()
            raise aws_error(fault.code, operation, fault.status)
        retried, self.retried = self.retried, False
        if retried:
            deed()  # the first try, of which boto3 never heard
        answer = deed()
        self.after.pop(operation, bool)()
        return {**answer, "ResponseMetadata": {"RetryAttempts": int(retried)}}

    def _describe(self, names: Collection[str]) -> dict[str, Any]:
        found = [_described(host) for host in self.hosts.values() if host.id in names]
        return {"Reservations": [{"Instances": found}]}

    def _start(self, names: Sequence[str]) -> dict[str, Any]:
        hosts = [self._host(name, "StartInstances") for name in names]
        if any(host.state not in {"stopped", "pending", "running"} for host in hosts):
            raise aws_error("IncorrectInstanceState", "StartInstances")
        if any(host.state == "stopped" and host.zone in self.full_zones for host in hosts):
            raise aws_error("InsufficientInstanceCapacity", "StartInstances", 500)
        before = _states(hosts)
        for host in hosts:
            if host.state == "stopped":
                host.launch_time = self.clock.now()
                self._begin(host, "pending", self.boot)
        return {"StartingInstances": before}

    def _stop(self, names: Sequence[str]) -> dict[str, Any]:
        hosts = [self._host(name, "StopInstances") for name in names]
        if any(host.state not in {"running", "stopping", "stopped"} for host in hosts):
            raise aws_error("IncorrectInstanceState", "StopInstances")
        before = _states(hosts)
        for host in hosts:
            if host.state == "running":
                self._begin(host, "stopping", self.stop)
        return {"StoppingInstances": before}

    def _tag(self, names: Sequence[str], tags: Sequence[dict[str, str]]) -> dict[str, Any]:
        for name in names:
            self._host(name, "CreateTags").tags.update({tag["Key"]: tag["Value"] for tag in tags})
        return {}

    def _untag(self, names: Sequence[str], tags: Sequence[dict[str, str]]) -> dict[str, Any]:
        for name in names:
            on_host = self._host(name, "DeleteTags").tags
            for tag in tags:
                if on_host.get(tag["Key"]) == tag.get("Value", on_host.get(tag["Key"])):
                    on_host.pop(tag["Key"], None)
        return {}

    def _host(self, name: str, operation: str) -> Host:
        if name not in self.hosts:
            raise aws_error("InvalidInstanceID.NotFound", operation)
        return self.hosts[name]

    def _begin(self, host: Host, state: str, lasting: timedelta) -> None:
        host.state, host.due = state, self.clock.now() + lasting


def _described(host: Host) -> dict[str, Any]:
    return {
        "InstanceId": host.id,
        "State": {"Name": host.state},
        "LaunchTime": host.launch_time,
        "Placement": {"AvailabilityZone": host.zone},
        "Tags": [{"Key": key, "Value": value} for key, value in host.tags.items()],
    }


def _states(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    return [{"InstanceId": host.id, "PreviousState": {"Name": host.state}} for host in hosts]
