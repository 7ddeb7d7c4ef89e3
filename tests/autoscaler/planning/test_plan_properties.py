"""Rules that hold for whatever the autoscaler may see."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.model import (
    History,
    Instance,
    Observation,
    Plan,
    Policy,
    ProbeResult,
    RebootInstance,
    StartInstance,
    StopInstance,
    Surplus,
)
from autoscaler.planning.plan import plan
from autoscaler.policy import QuietHours
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat
from shared.state.lock import Holder, LockState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

IDS = [f"i-{number}" for number in range(6)]

moments = st.integers(-60, 7200).map(lambda seconds: NOW - timedelta(seconds=seconds))
recent = st.integers(0, 900).map(lambda seconds: NOW - timedelta(seconds=seconds))
counts = st.sampled_from([0, 0, 1, 2, 500]) | st.integers(0, 100_000)
limits = st.integers(1, 900).map(lambda seconds: timedelta(seconds=seconds))

held_locks = st.builds(
    LockState,
    holders=st.just((Holder(user_id="u", session_id="s", timestamp=NOW),)),
    problem=st.none() | st.just("s3://recordings/batch-lock.json could not be read (AccessDenied)"),
)
queues = (
    st.just(QueueDepth())
    | st.builds(QueueDepth, visible=st.integers(1, 100_000))
    | st.builds(QueueDepth, visible=counts, in_flight=counts, delayed=counts)
)


def an_instance(name: str) -> st.SearchStrategy[Instance]:
    return st.builds(
        Instance,
        id=st.just(name),
        state=st.sampled_from(["pending", "running", "running", "stopping", "stopped", "stopped"]),
        launch_time=moments,
        owned_since=st.none() | moments,
        hold=st.sampled_from([False, False, False, True]),
        availability_zone=st.sampled_from(["", "us-east-1a", "us-east-1b"]),
        stopped_at=st.none() | moments,
        suspect_since=st.none() | moments,
        rebooted_at=st.none() | moments,
    )


def a_heartbeat(name: str) -> st.SearchStrategy[Heartbeat]:
    fields = {
        "instance_id": st.just(name),
        "state": st.sampled_from(["starting", "idle", "idle", "busy", "locked", "draining"]),
        "beat_at": recent,
        "idle_since": st.none() | recent | moments,
        "progress_at": st.none() | recent | moments,
        "jobs_done": st.integers(0, 2),
        "rtfx": st.none() | st.floats(0, 100),
    }
    return st.fixed_dictionaries(fields).map(lambda values: Heartbeat(**values))


instances = (st.just(set(IDS)) | st.sets(st.sampled_from(IDS))).flatmap(
    lambda names: st.tuples(*map(an_instance, sorted(names)))
)
heartbeats = st.fixed_dictionaries({}, optional={name: a_heartbeat(name) for name in IDS})
looks = {
    "confirmations": st.lists(queues, max_size=2).map(tuple),
    "invalid_heartbeats": st.frozensets(st.sampled_from(IDS), max_size=2),
    "sighting": st.none() | st.sampled_from(ProbeResult),
}
complete = st.builds(
    Observation, queue=queues, lock=st.just(LockState()), instances=instances, heartbeats=heartbeats, **looks
)
observations = complete | st.builds(
    Observation,
    queue=st.none() | queues,
    lock=st.just(LockState()) | held_locks,
    instances=st.none() | instances,
    heartbeats=st.none() | heartbeats,
    problems=st.just(("could not read something (Throttling)",)),
    **looks,
)
histories = st.builds(
    History,
    oldest_waits=st.none() | st.integers(0, 7200).map(lambda seconds: timedelta(seconds=seconds)),
    gpu_seconds_today=st.none() | st.floats(0, 200_000),
    last_start=st.none() | moments,
    last_work=st.none() | moments,
    last_sighting=st.none() | moments,
    surplus=st.none() | st.builds(Surplus, since=moments, most_wanted=st.integers(1, 9)),
    blocked_zones=st.dictionaries(st.sampled_from(["us-east-1a", "us-east-1b"]), moments),
)
plain = st.builds(
    Policy,
    max_instances=st.sampled_from([0, 1, 2, 4, 6, 9]),
    target_drain_seconds=st.integers(1, 900),
    rtfx=st.floats(0.1, 100),
    chunk_seconds=st.floats(0.1, 600),
    boot_limit=limits,
    idle_limit=limits,
    silent_limit=limits,
    surplus_limit=limits,
    stuck_limit=limits,
    max_run=limits,
)
thrifty = st.builds(
    replace,
    plain,
    min_instances=st.integers(0, 3),
    start_min_jobs=st.integers(1, 1000),
    start_max_wait=limits,
    daily_gpu_seconds=st.none() | st.floats(1, 200_000),
    budget_override_until=st.none() | moments,
    quiet_hours=st.sampled_from([None, QuietHours(time(11), time(14)), QuietHours(time(14), time(11))]),
)
policies = plain | thrifty


def seen(observation: Observation) -> dict[str, Instance]:
    return {instance.id: instance for instance in observation.instances or ()}


def stops(decided: Plan) -> list[str]:
    return [action.instance_id for action in decided.actions if isinstance(action, StopInstance)]


def disturbed(decided: Plan) -> list[str]:
    """Instances that are stopped or rebooted."""
    kinds = (StopInstance, RebootInstance)
    return [action.instance_id for action in decided.actions if isinstance(action, kinds)]


def starts(decided: Plan) -> list[StartInstance]:
    return [action for action in decided.actions if isinstance(action, StartInstance)]


@given(observations, histories, policies)
def test_while_the_lock_is_held_there_are_no_actions(
    observation: Observation, history: History, policy: Policy
) -> None:
    if observation.lock.held:
        assert plan(observation, history, policy, NOW).actions == ()


@given(observations, histories, policies)
def test_a_partial_observation_never_stops_or_reboots_anything(
    observation: Observation, history: History, policy: Policy
) -> None:
    if None in (observation.queue, observation.instances, observation.heartbeats):
        assert disturbed(plan(observation, history, policy, NOW)) == []


@given(observations, histories, policies)
def test_only_owned_running_instances_that_nobody_holds_and_whose_heartbeat_is_known_are_disturbed(
    observation: Observation, history: History, policy: Policy
) -> None:
    for name in disturbed(plan(observation, history, policy, NOW)):
        instance = seen(observation)[name]
        assert (instance.owned, instance.hold, instance.state) == (True, False, "running")
        assert name not in observation.invalid_heartbeats


@given(observations, histories, policies)
def test_a_worker_with_work_that_speaks_and_gets_on_is_never_disturbed(
    observation: Observation, history: History, policy: Policy
) -> None:
    for name in disturbed(plan(observation, history, policy, NOW)):
        heartbeat = observation.heartbeat_of(seen(observation)[name])
        if heartbeat is not None and NOW - heartbeat.beat_at <= policy.silent_limit:
            stuck = heartbeat.progress_at is not None and NOW - heartbeat.progress_at > policy.stuck_limit
            assert heartbeat.state != "locked"
            assert heartbeat.state != "busy" or stuck


@given(observations, histories, policies)
def test_a_dead_worker_is_stopped_only_after_a_reboot_in_this_run_and_a_mark_after_it(
    observation: Observation, history: History, policy: Policy
) -> None:
    for name in stops(plan(observation, history, policy, NOW)):
        instance = seen(observation)[name]
        heartbeat = observation.heartbeat_of(instance)
        if heartbeat is None:
            assert instance.rebooted_at is not None
            assert instance.suspect_since is not None
            assert instance.run_start <= instance.rebooted_at <= instance.suspect_since


@given(observations, histories, thrifty)
def test_nothing_starts_in_quiet_hours_over_the_budget_or_in_a_full_zone(
    observation: Observation, history: History, policy: Policy
) -> None:
    for start in starts(plan(observation, history, policy, NOW)):
        assert policy.quiet_hours is None or not policy.quiet_hours.include(NOW)
        overridden = policy.budget_override_until is not None and policy.budget_override_until > NOW
        if policy.daily_gpu_seconds is not None and not overridden:
            assert history.gpu_seconds_today is not None
            assert history.gpu_seconds_today < policy.daily_gpu_seconds
        zones = {seen(observation)[name].availability_zone for name in start.candidates}
        assert all(until <= NOW for zone, until in history.blocked_zones.items() if zone in zones)


@given(observations, histories, policies)
def test_running_and_started_instances_never_exceed_the_limit(
    observation: Observation, history: History, policy: Policy
) -> None:
    running = sum(instance.state in {"pending", "running"} for instance in observation.instances or ())
    for start in starts(plan(observation, history, policy, NOW)):
        assert 1 <= start.count <= policy.max_instances - running


@given(observations, histories, policies)
def test_only_stopped_instances_that_nobody_holds_are_started_and_only_for_waiting_jobs(
    observation: Observation, history: History, policy: Policy
) -> None:
    for start in starts(plan(observation, history, policy, NOW)):
        least = observation.least_queue()
        assert least is not None
        assert least.visible > 0 or policy.min_instances > 0
        chosen = [seen(observation)[name] for name in start.candidates]
        assert all(instance.state == "stopped" and not instance.hold for instance in chosen)


@given(observations, histories, plain)
def test_waiting_work_with_nothing_running_and_a_startable_instance_always_starts_one(
    observation: Observation, history: History, policy: Policy
) -> None:
    fleet, least = observation.instances or (), observation.least_queue()
    must_start = (
        not observation.lock.held
        and least is not None
        and least.visible > 0
        and policy.max_instances > 0
        and all(instance.state in {"stopped", "stopping"} for instance in fleet)
        and any(instance.state == "stopped" and not instance.hold for instance in fleet)
        # a start of a moment ago counts as running, and a full zone rests
        and not any(instance.owned_since and NOW - instance.owned_since < timedelta(minutes=1) for instance in fleet)
        and all(until <= NOW for until in history.blocked_zones.values())
    )
    if must_start:
        certain = replace(observation, sighting=ProbeResult.MESSAGE)
        assert len(starts(plan(certain, history, policy, NOW))) == 1
        decided = plan(observation, history, policy, NOW)
        # Nothing comes between work and a start but a look that has found no message, or the wait for one.
        assert starts(decided) or decided.in_doubt or observation.sighting is ProbeResult.NOTHING


@given(observations, histories, policies)
def test_counts_alone_start_no_more_than_one_instance_and_none_within_an_hour_of_a_run_without_work(
    observation: Observation, history: History, policy: Policy
) -> None:
    history = replace(history, last_sighting=None, last_work=None)
    decided = plan(replace(observation, sighting=ProbeResult.NOTHING), history, replace(policy, min_instances=0), NOW)
    assert sum(start.count for start in starts(decided)) <= 1
    if history.last_start is not None and NOW - history.last_start < timedelta(hours=1):
        assert starts(decided) == []


@given(observations, histories, policies)
def test_a_look_for_a_message_is_asked_for_only_where_finding_one_leads_to_a_start(
    observation: Observation, history: History, policy: Policy
) -> None:
    if plan(observation, history, policy, NOW).in_doubt:
        assert starts(plan(replace(observation, sighting=ProbeResult.MESSAGE), history, policy, NOW))
        assert starts(plan(replace(observation, sighting=ProbeResult.REFUSED), history, policy, NOW))
        assert not plan(replace(observation, sighting=ProbeResult.NOTHING), history, policy, NOW).in_doubt


@given(observations, histories, thrifty)
def test_work_that_has_waited_longer_than_every_rule_allows_is_started_for(
    observation: Observation, history: History, policy: Policy
) -> None:
    free = replace(observation, lock=LockState())
    waited = replace(history, oldest_waits=policy.start_max_wait, gpu_seconds_today=0, blocked_zones={})
    bold = replace(policy, start_min_jobs=1, quiet_hours=None)
    assert starts(plan(free, waited, replace(policy, quiet_hours=None), NOW)) == starts(plan(free, waited, bold, NOW))


@given(observations, histories, policies)
def test_every_decision_has_a_reason_and_depends_on_nothing_but_its_arguments(
    observation: Observation, history: History, policy: Policy
) -> None:
    decided = plan(observation, history, policy, NOW)
    assert decided.reason
    assert plan(observation, history, policy, NOW) == decided
