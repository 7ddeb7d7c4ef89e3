"""What every source of instances must do: the pool and the group, on moto's server, scripted and simulated."""

from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.config import Config

from autoscaler.model import ActionOutcome
from autoscaler.providers.contract import ALREADY_STARTED
from autoscaler.providers.dry_run import DryRunPool
from shared.aws.clients import autoscaling_client
from shared.state.instances import FLEET_TAG, HOLD_TAG
from tests.autoscaler.providers.simulated_site import SimulatedSite
from tests.autoscaler.providers.sites import (
    MotoGroup,
    MotoPool,
    ScriptedGroupSite,
    ScriptedPool,
    Site,
    at_work,
    seen,
    startable,
)

if TYPE_CHECKING:
    from tests.autoscaler.conftest import Refuse
    from tests.conftest import Cloud, FakeClock

# A lost or refused call is not tried again by boto3, so that no test waits.
_ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})


@pytest.fixture(params=["pool, scripted", "pool, moto", "group, scripted", "group, moto", "pool, simulated"])
def site(request: pytest.FixtureRequest, clock: "FakeClock", refuse: "Refuse") -> Site:
    kind, _, where = cast("str", request.param).partition(", ")
    if where == "simulated":
        return SimulatedSite()
    if where == "scripted":
        return ScriptedPool(clock) if kind == "pool" else ScriptedGroupSite(clock)
    cloud: Cloud = request.getfixturevalue("cloud")
    if kind == "pool":
        return MotoPool(cloud.ec2, boto3.client("ec2", config=_ONCE), refuse)
    client = boto3.client("autoscaling", config=_ONCE)
    return MotoGroup(cloud.ec2, autoscaling_client(), client, clock, refuse)


# --- starting


def test_no_more_start_than_are_wanted_and_the_rest_stay_startable(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    before = startable(site)
    outcome = site.provider.start(before, 2, clock.now())
    assert outcome == ActionOutcome(started=before[:2])
    assert len(at_work(site)) == 2
    assert startable(site) == before[2:]


def test_no_more_start_than_there_are_candidates(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    before = startable(site)
    assert site.provider.start(before, 5, clock.now()).started == before
    assert len(at_work(site)) == 2


@pytest.mark.parametrize(("count", "candidates"), [(0, 2), (1, 0)])
def test_nothing_starts_when_nothing_is_wanted_or_nothing_can_be_started(
    site: Site, clock: "FakeClock", count: int, candidates: int
) -> None:
    site.offer(2)
    assert site.provider.start(startable(site)[:candidates], count, clock.now()) == ActionOutcome()
    assert at_work(site) == set()


def test_the_same_start_twice_starts_no_more_and_what_runs_stays_owned(site: Site, clock: "FakeClock") -> None:
    site.offer(4)
    before = startable(site)
    site.provider.start(before, 2, clock.now())
    again = site.provider.start(before, 2, clock.now())
    assert again.started == ()
    assert set(again.blocked.values()) == {ALREADY_STARTED}
    assert len(at_work(site)) == 2
    now = seen(site)
    assert all(now[name].owned for name in at_work(site))


def test_what_was_started_is_owned_and_what_was_not_is_not(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    before = startable(site)
    site.provider.start(before, 1, clock.now())
    now = seen(site)
    (mine,) = at_work(site)
    assert now[mine].owned
    assert not any(now[name].owned for name in startable(site))


def test_one_that_someone_else_started_meanwhile_counts_and_no_other_is_started_for_it(
    site: Site, clock: "FakeClock"
) -> None:
    site.offer(3)
    before = startable(site)
    site.start_by_person(before[0])
    outcome = site.provider.start(before, 1, clock.now())
    assert outcome == ActionOutcome(blocked={before[0]: ALREADY_STARTED})
    assert len(at_work(site)) == 1


def test_one_that_cannot_start_now_is_blocked_and_the_others_start(site: Site, clock: "FakeClock") -> None:
    site.offer(4)
    before = startable(site)
    site.full(before[0])
    outcome = site.provider.start(before, 3, clock.now())
    assert len(outcome.started) == 3
    assert outcome.failed == {}
    assert len(at_work(site)) == 3


def test_wanting_more_than_can_start_now_starts_what_can_and_names_the_rest(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    before = startable(site)
    site.full(before[1])
    outcome = site.provider.start(before, 3, clock.now())
    assert len(outcome.started) == 2
    assert len(outcome.blocked) == 1
    assert set(outcome.started) | set(outcome.blocked) == set(before)
    assert len(at_work(site)) == 2


def test_when_nothing_can_start_now_nothing_is_owned_and_nobody_is_called(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    before = startable(site)
    for candidate in before:
        site.full(candidate)
    outcome = site.provider.start(before, 2, clock.now())
    assert (outcome.started, outcome.failed) == ((), {})
    assert set(outcome.blocked) == set(before)
    assert not any(one.owned for one in seen(site).values())


def test_when_aws_has_no_time_the_start_is_put_off_and_works_a_minute_later(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    before = startable(site)
    site.busy()
    outcome = site.provider.start(before, 1, clock.now())
    assert (outcome.started, outcome.failed) == ((), {})
    assert set(outcome.blocked) == {before[0]}
    assert at_work(site) == set()
    assert startable(site) == before


def test_a_start_that_is_not_permitted_fails_and_leaves_everything_as_it_was(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    before = startable(site)
    site.forbid_start()
    outcome = site.provider.start(before, 1, clock.now())
    assert (outcome.started, set(outcome.failed)) == ((), {before[0]})
    assert at_work(site) == set()
    assert not any(one.owned for one in seen(site).values())


def test_a_start_whose_answer_got_lost_is_reported_and_what_it_started_is_owned(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    site_before = startable(site)
    site.lose_start()
    outcome = site.provider.start(site_before, 1, clock.now())
    assert set(outcome.failed) == {site_before[0]}
    (running,) = at_work(site)
    assert seen(site)[running].owned
    assert site.provider.stop(running) == ActionOutcome(stopped=(running,))


# --- seeing


def test_a_tag_of_a_person_holds_a_running_instance(site: Site, clock: "FakeClock") -> None:
    site.offer(1)
    site.provider.start(startable(site), 1, clock.now())
    (mine,) = at_work(site)
    site.tag(mine, HOLD_TAG, "")
    assert seen(site)[mine].hold


def test_an_instance_of_another_fleet_is_not_seen(site: Site, clock: "FakeClock") -> None:
    site.offer(1)
    site.provider.start(startable(site), 1, clock.now())
    (mine,) = at_work(site)
    site.tag(mine, FLEET_TAG, "another")
    assert mine not in {one.id for one in site.found()}
    assert at_work(site) == set()


# --- stopping


def test_a_running_instance_stops_and_nothing_takes_its_place(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    site.provider.start(startable(site), 2, clock.now())
    first, second = sorted(at_work(site))
    assert site.provider.stop(first) == ActionOutcome(stopped=(first,))
    assert at_work(site) == {second}


def test_an_instance_that_does_not_run_any_more_is_left_alone(site: Site, clock: "FakeClock") -> None:
    site.offer(2)
    site.provider.start(startable(site), 2, clock.now())
    gone, other = sorted(at_work(site))
    site.provider.stop(gone)
    site.settle()
    again = site.provider.stop(gone)
    assert (again.stopped, again.failed, set(again.blocked)) == ((), {}, {gone})
    assert at_work(site) == {other}


def test_what_was_stopped_can_be_started_again(site: Site, clock: "FakeClock") -> None:
    site.offer(1)
    before = startable(site)
    site.provider.start(before, 1, clock.now())
    (first,) = at_work(site)
    site.provider.stop(first)
    assert startable(site) == before
    site.provider.start(before, 1, clock.now())
    assert len(at_work(site)) == 1


# --- holding back


def test_holding_back_leaves_what_runs_and_what_can_be_started(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    site.provider.start(startable(site), 2, clock.now())
    running, free = at_work(site), startable(site)
    assert site.provider.hold_back() == ActionOutcome()
    assert (at_work(site), startable(site)) == (running, free)


# --- the dry run


def test_a_dry_run_sees_the_same_and_changes_nothing(site: Site, clock: "FakeClock") -> None:
    site.offer(3)
    site.provider.start(startable(site), 1, clock.now())
    running, before = at_work(site), startable(site)
    dry = DryRunPool(site.provider)
    assert {one.id for one in dry.see(site.found()).instances or ()} == set(seen(site))
    assert dry.start(before, 1, clock.now()) == ActionOutcome(started=before[:1])
    assert dry.stop(min(running)) == ActionOutcome(stopped=(min(running),))
    assert dry.hold_back() == ActionOutcome()
    assert (at_work(site), startable(site)) == (running, before)
