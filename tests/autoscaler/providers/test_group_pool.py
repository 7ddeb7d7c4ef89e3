"""The Auto Scaling group's own ways: what its places, its limits and its members mean; on the scripted cloud."""

from typing import TYPE_CHECKING, Any, cast

import pytest

from autoscaler.model import ActionOutcome
from autoscaler.providers.group import (
    LAUNCH_SUSPENDED,
    MAX_SIZE_REACHED,
    MIN_SIZE_REACHED,
    NO_GROUP,
    AutoScalingGroup,
)
from shared.state.instances import FLEET_TAG, GROUP_TAG
from tests.autoscaler.providers.sites import ScriptedGroupSite, at_work, seen, startable

if TYPE_CHECKING:
    from tests.conftest import FakeClock


@pytest.fixture
def site(clock: "FakeClock") -> ScriptedGroupSite:
    made = ScriptedGroupSite(clock)
    made.offer(3)
    return made


def problems(site: ScriptedGroupSite) -> tuple[str, ...]:
    return site.provider.see(site.found()).problems


def start(site: ScriptedGroupSite, count: int) -> ActionOutcome:
    return site.provider.start(startable(site), count, site.clock.now())


def test_the_desired_capacity_never_goes_beyond_the_maximum_size(site: ScriptedGroupSite) -> None:
    before = startable(site)
    site.group.max_size = 1
    outcome = site.provider.start(before, 3, site.clock.now())
    assert outcome == ActionOutcome(started=before[:1], blocked=dict.fromkeys(before[1:], MAX_SIZE_REACHED))
    assert site.group.desired == 1


def test_a_worker_that_left_since_the_look_is_not_replaced_on_top_of_what_was_wanted(site: ScriptedGroupSite) -> None:
    start(site, 2)
    before = startable(site)
    site.provider.stop(min(at_work(site)))
    site.provider.start(before, 1, site.clock.now())
    assert site.group.desired == 2


def test_places_of_a_large_group_come_in_the_order_of_their_numbers(site: ScriptedGroupSite) -> None:
    site.group.max_size = 12
    places = startable(site)
    site.provider.start(places, 11, site.clock.now())
    assert startable(site) == places[-1:]


def test_a_place_without_room_in_any_zone_counts_as_one_that_boots_however_long_it_takes(
    site: ScriptedGroupSite,
) -> None:
    site.ec2.full_zones = {"a", "b"}
    start(site, 1)
    site.clock.advance(7200)
    (coming,) = [one for one in seen(site).values() if one.state == "pending"]
    assert (coming.owned, coming.launch_time) == (True, site.clock.now())
    site.ec2.full_zones = set()
    assert len(at_work(site)) == 1


def test_a_zone_without_room_is_the_groups_business_and_it_goes_to_the_next(site: ScriptedGroupSite) -> None:
    site.ec2.full_zones = {"a"}
    start(site, 2)
    assert {site.ec2.hosts[name].zone for name in at_work(site)} == {"b"}


def test_what_has_not_begun_when_a_live_session_begins_does_not_begin_in_it(site: ScriptedGroupSite) -> None:
    site.ec2.full_zones = {"a", "b"}
    start(site, 2)
    assert site.provider.hold_back() == ActionOutcome()
    site.ec2.full_zones = set()
    assert at_work(site) == set()
    assert len(startable(site)) == 3


def test_holding_back_respects_the_minimum_size(site: ScriptedGroupSite) -> None:
    site.group.min_size = 1
    site.group.desired = 2
    assert site.provider.hold_back() == ActionOutcome()
    assert site.group.desired == 1


def test_a_group_that_may_not_launch_is_a_problem_and_blocks_a_start_instead_of_counting_as_capacity(
    site: ScriptedGroupSite,
) -> None:
    site.group.suspended = True
    site.group.desired = 1
    assert [one.state for one in seen(site).values()] == ["stopped"] * 3
    assert problems(site) == ("the Auto Scaling group workers has its process Launch suspended: nothing can start",)
    first = startable(site)[0]
    assert start(site, 1) == ActionOutcome(blocked={first: LAUNCH_SUSPENDED})
    assert site.group.desired == 1


def test_at_its_minimum_size_the_group_keeps_a_member_instead_of_replacing_it(site: ScriptedGroupSite) -> None:
    site.group.min_size = 1
    start(site, 1)
    (member,) = at_work(site)
    assert site.provider.stop(member) == ActionOutcome(blocked={member: MIN_SIZE_REACHED})
    assert at_work(site) == {member}
    assert problems(site) == ("the Auto Scaling group workers has a minimum size of 1: idle members cannot leave",)


def test_when_the_capacity_is_lowered_by_hand_a_busy_protected_member_stays(site: ScriptedGroupSite) -> None:
    start(site, 2)
    busy, idle = sorted(at_work(site))
    site.group.set_instance_protection([busy], "workers", True)
    site.group.desired = 1
    assert at_work(site) == {busy}
    assert idle not in seen(site)


def test_a_stopped_member_is_about_to_be_replaced_and_never_a_candidate(site: ScriptedGroupSite) -> None:
    start(site, 1)
    (member,) = at_work(site)
    site.ec2.hosts[member].state = "stopped"
    view = {one.id: one for one in site.provider.see(site.found()).instances or ()}
    assert view[member].state == "stopping"


@pytest.mark.parametrize(
    ("lifecycle", "state", "hold"),
    [
        ("InService", "running", False),
        ("Pending:Wait", "running", False),
        ("Standby", "running", True),
        ("Terminating:Wait", "stopping", False),
        ("Detaching", "stopping", False),
        ("SomethingNew", "running", False),
    ],
)
def test_a_members_lifecycle_says_whether_it_is_leaving_or_set_aside(
    site: ScriptedGroupSite, monkeypatch: pytest.MonkeyPatch, lifecycle: str, state: str, hold: bool
) -> None:
    start(site, 1)
    (member,) = at_work(site)
    answer = site.group.describe_auto_scaling_groups(["workers"])
    answer["AutoScalingGroups"][0]["Instances"][0]["LifecycleState"] = lifecycle
    monkeypatch.setattr(ScriptedGroupSite, "settle", lambda _: None)
    monkeypatch.setattr(type(site.group), "describe_auto_scaling_groups", lambda *_, **__: answer)
    one = seen(site)[member]
    assert (one.state, one.hold, one.owned) == (state, hold, True)


def test_an_instance_beside_the_group_counts_while_it_runs_and_is_nobodys_to_start_or_stop(
    site: ScriptedGroupSite,
) -> None:
    running = site.ec2.add(running=True)
    stopped = site.ec2.add()
    view = seen(site)
    assert (view[running].state, view[running].owned) == ("running", False)
    assert stopped not in view
    outcome = site.provider.stop(running)
    assert (outcome.stopped, set(outcome.blocked)) == ((), {running})


def test_a_member_without_the_fleets_tag_is_a_problem_that_names_it(site: ScriptedGroupSite) -> None:
    start(site, 1)
    (member,) = at_work(site)
    site.ec2.hosts[member].tags.pop(FLEET_TAG)
    assert problems(site) == (f"members of the Auto Scaling group workers without the fleet's tag: {member}",)
    assert seen(site)[member].state == "pending"


def test_a_group_that_is_not_there_is_unknown_to_the_look_and_a_failure_to_the_start(clock: "FakeClock") -> None:
    site = ScriptedGroupSite(clock)
    provider = AutoScalingGroup(cast("Any", site.group), "another", clock)
    sight = provider.see(())
    assert sight.instances is None
    assert sight.problems == ("could not read the Auto Scaling group another (NoSuchAutoScalingGroup)",)
    assert provider.start(("another#00001",), 1, clock.now()) == ActionOutcome(failed={"another#00001": NO_GROUP})
    assert provider.stop("i-1") == ActionOutcome(failed={"i-1": NO_GROUP})
    assert provider.hold_back() == ActionOutcome(failed={"another": NO_GROUP})


def test_members_carry_auto_scalings_own_tag_by_which_their_workers_know_the_group(site: ScriptedGroupSite) -> None:
    start(site, 1)
    (member,) = at_work(site)
    assert site.ec2.hosts[member].tags[GROUP_TAG] == "workers"
