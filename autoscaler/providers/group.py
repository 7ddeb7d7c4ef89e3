"""The Auto Scaling group: starts by raising its desired capacity, stops by terminating a member and lowering it.

It decides nothing. The plan starts and stops instances, so the group's free places stand in for stopped ones: place 3
of a group is free while its desired capacity is below 3. That makes a start conditional on what was seen (a place that
is taken by now was started by someone else) and a repeated start harmless.

Members are never stopped (the group takes a stopped member for a broken one, and replaces it), and every member is
owned: whoever gives a group to the fleet gives its desired capacity to the autoscaler. Its minimum size must be 0.
API: Amazon EC2 Auto Scaling API Reference, SetDesiredCapacity and TerminateInstanceInAutoScalingGroup.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from autoscaler.model import ActionOutcome, Instance
from autoscaler.providers.contract import ALREADY_STARTED, NOT_RUNNING, ProviderView
from autoscaler.providers.refusals import Refusal, code_of, refusal
from shared.clock import Clock
from shared.errors import AWS_ERRORS, InstanceError

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef

log = structlog.get_logger()

LAUNCH_SUSPENDED = "LaunchSuspended"
MAX_SIZE_REACHED = "MaxSizeReached"
MIN_SIZE_REACHED = "MinSizeReached"
NO_GROUP = "NoSuchAutoScalingGroup"

# Lifecycle states ("Amazon EC2 Auto Scaling instance lifecycle"): what follows a colon is the step of a lifecycle hook.
_LEAVING = ("Terminating", "Terminated", "Detaching", "Detached")
_ASIDE = ("EnteringStandby", "Standby")


@dataclass(frozen=True, slots=True)
class _Group:
    """One look at the group.

    Attributes:
        members: instance id -> lifecycle state without a hook's step.
        launches: whether the group launches instances; operators suspend that, and AWS does after a day of failures.
    """

    name: str
    min_size: int
    max_size: int
    desired: int
    members: Mapping[str, str]
    launches: bool

    @property
    def active(self) -> int:
        """The members that count towards the desired capacity."""
        return sum(state not in {*_LEAVING, *_ASIDE} for state in self.members.values())

    def place(self, number: int) -> str:
        # The plan goes through candidates in the order of their ids; a group holds a few thousand at most.
        return f"{self.name}#{number:05d}"

    def number(self, place: str) -> int:
        return int(place.removeprefix(f"{self.name}#"))


class AutoScalingGroup:
    """Starts and stops the members of one group."""

    def __init__(self, autoscaling: "AutoScalingClient", name: str, clock: Clock) -> None:
        self._autoscaling = autoscaling
        self._name = name
        self._clock = clock

    def see(self, found: tuple[Instance, ...]) -> ProviderView:
        """Members, owned since their launch; places that the group is filling (pending) or could fill (stopped)."""
        try:
            group = self._look()
        except (*AWS_ERRORS, InstanceError) as error:
            return ProviderView(None, (f"could not read the Auto Scaling group {self._name} ({_code(error)})",))
        members, now = _members(found, group), self._clock.now()
        unseen = sorted(set(group.members) - {instance.id for instance in found})
        # EC2 shows a new instance seconds after the group does. One that stays away has not the fleet's tag.
        coming = [name for name in unseen if group.members[name] not in {*_LEAVING, *_ASIDE}]
        untagged = [name for name in coming if group.members[name] == "InService"]
        places = (*_on_their_way(coming, now), *_places(group, now))
        return ProviderView((*members, *_others(found, group), *places), tuple(_problems(group, untagged)))

    def start(self, candidates: tuple[str, ...], count: int, _now: datetime) -> ActionOutcome:
        """Raise the desired capacity by as many of the places as are still free, up to `count`."""
        try:
            group = self._look()
        except (*AWS_ERRORS, InstanceError) as error:
            return _refused(candidates[:1], error)
        if not group.launches:
            return ActionOutcome(blocked=dict.fromkeys(candidates[:count], LAUNCH_SUSPENDED))
        taken, free, beyond = _sorted_places(group, candidates, count)
        outcome = ActionOutcome(
            blocked={**dict.fromkeys(taken, ALREADY_STARTED), **dict.fromkeys(beyond, MAX_SIZE_REACHED)},
        )
        return outcome + self._raise(group, free) if free else outcome

    def stop(self, instance_id: str) -> ActionOutcome:
        """Terminate one member and lower the desired capacity, in one call: in two, the group would pick a victim."""
        try:
            group = self._look()
            lifecycle = group.members.get(instance_id)
            if lifecycle is None or lifecycle in _LEAVING:
                return ActionOutcome(blocked={instance_id: NOT_RUNNING})
            if group.desired <= group.min_size:
                log.warning("group_at_min_size", group=group.name, min_size=group.min_size, instance=instance_id)
                return ActionOutcome(blocked={instance_id: MIN_SIZE_REACHED})
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
            )
        except (*AWS_ERRORS, InstanceError) as error:
            return _refused((instance_id,), error)
        log.info("instance_terminated", instance=instance_id, group=group.name)
        return ActionOutcome(stopped=(instance_id,))

    def hold_back(self) -> ActionOutcome:
        """Lower the desired capacity to the members there are, so that none is launched while the lock is held.

        A group without capacity in any zone keeps trying for a day, and would start a GPU in the middle of a session.
        """
        try:
            group = self._look()
            wanted = max(group.active, group.min_size)
            if wanted >= group.desired:
                return ActionOutcome()
            self._set(wanted)
        except (*AWS_ERRORS, InstanceError) as error:
            return _refused((self._name,), error)
        log.info("group_held_back", group=group.name, desired=wanted, was=group.desired)
        return ActionOutcome()

    def _look(self) -> _Group:
        groups = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self._name])["AutoScalingGroups"]
        if not groups or groups[0].get("Status"):  # it has a status only while it is being deleted
            raise InstanceError(NO_GROUP)
        return _group(groups[0])

    def _raise(self, group: _Group, places: tuple[str, ...]) -> ActionOutcome:
        desired = group.desired + len(places)
        try:
            self._set(desired)
        except AWS_ERRORS as error:
            return _refused(places, error)
        log.info("group_raised", group=group.name, desired=desired, was=group.desired)
        return ActionOutcome(started=places)

    def _set(self, desired: int) -> None:
        self._autoscaling.set_desired_capacity(
            AutoScalingGroupName=self._name, DesiredCapacity=desired, HonorCooldown=False
        )


# --- seeing


def _group(described: "AutoScalingGroupTypeDef") -> _Group:
    suspended = {process["ProcessName"] for process in described.get("SuspendedProcesses", [])}
    return _Group(
        name=described["AutoScalingGroupName"],
        min_size=described["MinSize"],
        max_size=described["MaxSize"],
        desired=described["DesiredCapacity"],
        members={
            member["InstanceId"]: member["LifecycleState"].partition(":")[0]
            for member in described.get("Instances", [])
        },
        launches="Launch" not in suspended,
    )


def _members(found: Iterable[Instance], group: _Group) -> tuple[Instance, ...]:
    return tuple(_member(instance, group.members[instance.id]) for instance in found if instance.id in group.members)


def _member(instance: Instance, lifecycle: str) -> Instance:
    # A member that someone stopped is about to be replaced; it can never be started again.
    leaving = lifecycle in _LEAVING or instance.state == "stopped"
    return replace(
        instance,
        state="stopping" if leaving else instance.state,
        owned_since=instance.launch_time,
        # an operator has set it aside, out of the group's reach
        hold=instance.hold or lifecycle in _ASIDE,
    )


def _others(found: Iterable[Instance], group: _Group) -> tuple[Instance, ...]:
    """Instances with the fleet's tag that are no members: those that run cost money, and are not ours to stop."""
    return tuple(
        replace(instance, owned_since=None)
        for instance in found
        if instance.id not in group.members and instance.state in {"pending", "running"}
    )


def _on_their_way(instances: Iterable[str], now: datetime) -> tuple[Instance, ...]:
    return tuple(Instance(name, "pending", launch_time=now, owned_since=now) for name in instances)


def _places(group: _Group, now: datetime) -> tuple[Instance, ...]:
    """The places that the group is filling, and those that it could fill.

    One that is being filled counts as just begun, however long it takes: to ask for a second one would not help a group
    that finds no capacity in any of its zones, and would bring two instances when there is some again.
    """
    filling = group.desired if group.launches else group.active
    coming = _on_their_way((group.place(number) for number in range(group.active + 1, filling + 1)), now)
    first_free = max(filling, group.active) + 1
    free = (Instance(group.place(n), "stopped", launch_time=now) for n in range(first_free, group.max_size + 1))
    return (*coming, *free)


def _problems(group: _Group, untagged: list[str]) -> Iterable[str]:
    if not group.launches:
        yield f"the Auto Scaling group {group.name} has its process Launch suspended: nothing can start"
    if group.min_size:
        yield f"the Auto Scaling group {group.name} has a minimum size of {group.min_size}: idle members cannot leave"
    if untagged:
        yield f"members of the Auto Scaling group {group.name} without the fleet's tag: {', '.join(untagged)}"


# --- starting


def _sorted_places(
    group: _Group, candidates: tuple[str, ...], count: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The first `count` of the places that can count: taken by now, still free; and those that are gone."""
    beyond = tuple(place for place in candidates if group.number(place) > group.max_size)
    wanted = tuple(place for place in candidates if place not in beyond)[: max(0, count)]
    taken = tuple(place for place in wanted if group.number(place) <= group.desired)
    return taken, tuple(place for place in wanted if place not in taken), beyond[:count]


def _code(error: Exception) -> str:
    return str(error) if isinstance(error, InstanceError) else code_of(error)


def _refused(names: tuple[str, ...], error: Exception) -> ActionOutcome:
    code = _code(error)
    if not isinstance(error, InstanceError) and refusal(error) in {Refusal.INSTANCE, Refusal.FLEET}:
        log.warning("group_blocked", names=names, code=code)
        return ActionOutcome(blocked=dict.fromkeys(names, code))
    log.error("group_refused", names=names, code=code, error=str(error))
    return ActionOutcome(failed=dict.fromkeys(names, code))
