"""Rules that hold for whatever the autoscaler may see."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.model import Instance, Observation, Plan, Policy, StartInstance, StopInstance
from autoscaler.plan import plan
from shared.ledger import Heartbeat
from shared.lock import Holder, LockState
from shared.queues import QueueDepth

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
    )


def a_heartbeat(name: str) -> st.SearchStrategy[Heartbeat]:
    fields = {
        "instance_id": st.just(name),
        "state": st.sampled_from(["starting", "idle", "idle", "busy", "locked", "draining"]),
        "beat_at": recent,
        "idle_since": st.none() | recent | moments,
    }
    return st.fixed_dictionaries(fields).map(lambda values: Heartbeat(**values))


instances = (st.just(set(IDS)) | st.sets(st.sampled_from(IDS))).flatmap(
    lambda names: st.tuples(*map(an_instance, sorted(names)))
)
heartbeats = st.fixed_dictionaries({}, optional={name: a_heartbeat(name) for name in IDS})
complete = st.builds(Observation, queue=queues, lock=st.just(LockState()), instances=instances, heartbeats=heartbeats)
observations = complete | st.builds(
    Observation,
    queue=st.none() | queues,
    lock=st.just(LockState()) | held_locks,
    instances=st.none() | instances,
    heartbeats=st.none() | heartbeats,
    problems=st.just(("could not read something (Throttling)",)),
)
policies = st.builds(
    Policy,
    max_instances=st.sampled_from([0, 1, 2, 4, 6, 9]),
    target_drain_seconds=st.integers(1, 900),
    real_time_factor=st.floats(0.1, 100),
    chunk_seconds=st.floats(0.1, 600),
    boot_limit=limits,
    idle_limit=limits,
    silent_limit=limits,
)


def seen(observation: Observation) -> dict[str, Instance]:
    return {instance.id: instance for instance in observation.instances or ()}


def stops(decided: Plan) -> list[str]:
    return [action.instance_id for action in decided.actions if isinstance(action, StopInstance)]


def starts(decided: Plan) -> list[StartInstance]:
    return [action for action in decided.actions if isinstance(action, StartInstance)]


@given(observations, policies)
def test_while_the_lock_is_held_there_are_no_actions(observation: Observation, policy: Policy) -> None:
    if observation.lock.held:
        assert plan(observation, policy, NOW).actions == ()


@given(observations, policies)
def test_a_partial_observation_never_stops_anything(observation: Observation, policy: Policy) -> None:
    if None in (observation.queue, observation.instances, observation.heartbeats):
        assert stops(plan(observation, policy, NOW)) == []


@given(observations, policies)
def test_only_owned_running_instances_that_nobody_holds_are_stopped(observation: Observation, policy: Policy) -> None:
    for name in stops(plan(observation, policy, NOW)):
        instance = seen(observation)[name]
        assert (instance.owned, instance.hold, instance.state) == (True, False, "running")


@given(observations, policies)
def test_a_fresh_worker_that_is_busy_or_locked_is_never_stopped(observation: Observation, policy: Policy) -> None:
    for name in stops(plan(observation, policy, NOW)):
        heartbeat = observation.heartbeat_of(seen(observation)[name])
        fresh = heartbeat is not None and NOW - heartbeat.beat_at <= policy.silent_limit
        assert not (fresh and heartbeat is not None and heartbeat.state in {"busy", "locked"})


@given(observations, policies)
def test_running_and_started_instances_never_exceed_the_limit(observation: Observation, policy: Policy) -> None:
    running = sum(instance.state in {"pending", "running"} for instance in observation.instances or ())
    for start in starts(plan(observation, policy, NOW)):
        assert 1 <= start.count <= policy.max_instances - running


@given(observations, policies)
def test_only_stopped_instances_that_nobody_holds_are_started_and_only_for_waiting_jobs(
    observation: Observation, policy: Policy
) -> None:
    for start in starts(plan(observation, policy, NOW)):
        assert observation.queue is not None
        assert observation.queue.visible > 0
        chosen = [seen(observation)[name] for name in start.candidates]
        assert all(instance.state == "stopped" and not instance.hold for instance in chosen)


@given(observations, policies)
def test_waiting_work_with_nothing_running_and_a_startable_instance_always_starts_one(
    observation: Observation, policy: Policy
) -> None:
    fleet = observation.instances or ()
    must_start = (
        not observation.lock.held
        and observation.queue is not None
        and observation.queue.visible > 0
        and policy.max_instances > 0
        and all(instance.state in {"stopped", "stopping"} for instance in fleet)
        and any(instance.state == "stopped" and not instance.hold for instance in fleet)
    )
    if must_start:
        assert len(starts(plan(observation, policy, NOW))) == 1


@given(observations, policies)
def test_every_decision_has_a_reason_and_depends_on_nothing_but_its_arguments(
    observation: Observation, policy: Policy
) -> None:
    decided = plan(observation, policy, NOW)
    assert decided.reason
    assert plan(observation, policy, NOW) == decided
