from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from deploy.doctor.instances import instance_findings, look_at_instances
from deploy.doctor.workers import look_at_workers, model_finding, worker_finding
from shared.formats.heartbeat import Heartbeat
from shared.state.fleet_view import parse_instance
from shared.state.instances import FLEET_TAG, HOLD_TAG, REBOOTED_TAG, STARTED_AT_TAG
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def described(state: str = "stopped", tags: dict[str, str] | None = None, **changes: Any) -> Any:
    """An instance as EC2 describes one that is set up well."""
    return {
        "InstanceId": "i-1",
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": state},
        "LaunchTime": NOON - timedelta(hours=2),
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "Tags": [{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        "MetadataOptions": {"HttpTokens": "required"},
        "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/worker"},
        **changes,
    }


def launch(patient: "Patient", **changes: Any) -> str:
    """An instance of the pool in the emulator; returns its id."""
    tags = [{"Key": FLEET_TAG, "Value": "scribefleet"}]
    ec2: Any = patient.cloud.ec2
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g4dn.xlarge",
        MinCount=1,
        MaxCount=1,
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        **changes,
    )
    return str(made["Instances"][0]["InstanceId"])


def test_given_an_instance_as_deployed_then_all_is_ok(wrong: "Seen") -> None:
    assert wrong(instance_findings(described(), grouped=False, now=NOON)) == []


@pytest.mark.parametrize(
    ("instance", "status", "seen"),
    [
        (described(tags={HOLD_TAG: ""}), "warning", "is on hold"),
        (described("running"), "warning", "was not started by the autoscaler"),
        (described(MetadataOptions={"HttpTokens": "optional"}), "warning", "still answers IMDSv1"),
        (described(HibernationOptions={"Configured": True}), "warning", "can hibernate"),
        (described(StateReason={"Code": "Server.InsufficientInstanceCapacity"}), "warning", "was stopped by AWS"),
    ],
)
def test_given_one_thing_that_is_not_as_deployed_then_it_alone_is_told(
    instance: Any, status: str, seen: str, wrong: "Seen"
) -> None:
    ((found_status, found_seen),) = wrong(instance_findings(instance, grouped=False, now=NOON))

    assert found_status == status
    assert found_seen.startswith(f"i-1 {seen}")


def test_given_an_instance_without_a_profile_then_its_worker_could_do_nothing(wrong: "Seen") -> None:
    instance = described()
    del instance["IamInstanceProfile"]

    ((status, seen),) = wrong(instance_findings(instance, grouped=False, now=NOON))

    assert (status, seen) == ("failure", "i-1 has no instance profile: its worker may not read the queue")


@pytest.mark.parametrize(
    "instance",
    [
        described("running", {STARTED_AT_TAG: (NOON - timedelta(hours=2)).isoformat()}),
        described("running", LaunchTime=NOON - timedelta(minutes=10)),
        described(StateReason={"Code": "Client.UserInitiatedShutdown"}),
    ],
    ids=["owned", "in its first boot", "stopped as usual"],
)
def test_given_what_is_usual_then_nothing_is_told(instance: Any, wrong: "Seen") -> None:
    assert wrong(instance_findings(instance, grouped=False, now=NOON)) == []


def test_given_members_of_a_group_then_the_tag_of_the_pools_instances_is_not_missed(wrong: "Seen") -> None:
    assert wrong(instance_findings(described("running"), grouped=True, now=NOON)) == []


def test_given_no_instance_with_the_fleets_tag_then_nothing_can_ever_start(patient: "Patient", wrong: "Seen") -> None:
    ((status, seen),) = wrong(look_at_instances(patient.fleet))

    assert status == "failure"
    assert seen == "none carries the tag scribefleet:fleet=scribefleet: nothing can ever start"


def test_given_an_instance_that_powering_off_would_end_for_good_then_it_is_a_failure(
    patient: "Patient", wrong: "Seen"
) -> None:
    kept, lost = launch(patient), launch(patient, InstanceInitiatedShutdownBehavior="terminate")

    lasting = [seen for status, seen in wrong(look_at_instances(patient.fleet)) if "for good" in seen]

    assert lasting == [f"{lost} is terminated for good when its host powers off"]
    assert kept != lost


def test_given_a_group_that_is_gone_then_it_is_a_failure(patient: "Patient", wrong: "Seen") -> None:
    fleet = patient.with_settings(capacity_provider="asg", auto_scaling_group="workers")

    assert wrong(look_at_instances(fleet)) == [("failure", "the Auto Scaling group workers does not exist")]


def test_given_a_group_then_its_bounds_and_suspensions_are_looked_at(patient: "Patient", wrong: "Seen") -> None:
    autoscaling = patient.fleet.clients.autoscaling
    template = patient.cloud.ec2.create_launch_template(
        LaunchTemplateName="worker",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "g4dn.xlarge"},
    )["LaunchTemplate"]["LaunchTemplateId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=0,
        MaxSize=2,
        AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateId": template},
    )
    asked = {"capacity_provider": "asg", "auto_scaling_group": "workers"}
    assert wrong(look_at_instances(patient.with_settings(**asked, max_instances=2))) == []

    autoscaling.suspend_processes(AutoScalingGroupName="workers", ScalingProcesses=["Launch"])

    assert wrong(look_at_instances(patient.with_settings(**asked, max_instances=3))) == [
        ("failure", "workers does nothing: Launch suspended"),
        ("warning", "workers may have 2 members, the autoscaler wants up to 3"),
    ]


# --- workers


def beat(state: Any = "idle", ago: timedelta = timedelta(seconds=10), name: str = "i-1") -> Heartbeat:
    return Heartbeat(instance_id=name, state=state, beat_at=NOON - ago, jobs_done=3)


@pytest.mark.parametrize(
    ("heartbeat", "up", "status", "seen"),
    [
        (beat(), timedelta(hours=1), "ok", "i-1 is idle, heard 10s ago, 3 jobs done in this run"),
        (beat(ago=timedelta(minutes=6)), timedelta(hours=1), "failure", "i-1 was last heard 6m 00s ago (idle)"),
        (beat(ago=timedelta(minutes=-3)), timedelta(hours=1), "failure", "i-1 has a heartbeat 3m 00s in the future"),
        (
            None,
            timedelta(minutes=4),
            "ok",
            "i-1 has run for 4m 00s and its worker has said nothing; it may take 5m 00s",
        ),
        (None, timedelta(minutes=6), "failure", "i-1 has run for 6m 00s and its worker has said nothing"),
        # the heartbeat of the run before says nothing about this one
        (
            beat(ago=timedelta(hours=2)),
            timedelta(minutes=6),
            "failure",
            "i-1 has run for 6m 00s and its worker has said",
        ),
    ],
)
def test_a_running_instances_worker_is_judged_by_its_last_heartbeat_of_this_run(
    heartbeat: Heartbeat | None, up: timedelta, status: str, seen: str, patient: "Patient"
) -> None:
    instance = parse_instance(described("running", {STARTED_AT_TAG: (NOON - up).isoformat()}, LaunchTime=NOON - up))
    beats = {"i-1": heartbeat} if heartbeat else {}

    found = worker_finding(instance, instance.heartbeat_in(beats), patient.cloud.settings, NOON)

    assert found.status == status
    assert found.seen.startswith(seen)


def test_given_a_reboot_then_a_heartbeat_from_before_it_says_nothing_and_the_host_has_time_to_boot(
    patient: "Patient",
) -> None:
    began, rebooted = NOON - timedelta(hours=2), NOON - timedelta(minutes=2)
    tags = {STARTED_AT_TAG: began.isoformat(), REBOOTED_TAG: rebooted.isoformat()}
    instance = parse_instance(described("running", tags, LaunchTime=began))

    found = worker_finding(
        instance, instance.heartbeat_in({"i-1": beat(ago=timedelta(minutes=9))}), patient.cloud.settings, NOON
    )

    assert found.status == "ok"
    assert "its worker has said nothing" in found.seen


def test_given_an_instance_that_is_set_up_by_its_first_boot_then_its_worker_is_not_missed(patient: "Patient") -> None:
    instance = parse_instance(described("running", LaunchTime=NOON - timedelta(minutes=20)))

    assert worker_finding(instance, None, patient.cloud.settings, NOON).status == "ok"


@pytest.mark.parametrize(
    ("beats", "status", "seen"),
    [
        ([], "unknown", "no worker has been heard in a week"),
        ([beat("starting")], "unknown", "the worker on i-1 got no further than starting, 10s ago"),
        ([beat("draining", name="i-2"), beat("starting")], "ok", "passed its self-test on i-2"),
    ],
)
def test_the_model_is_known_to_work_once_a_worker_got_beyond_starting(
    beats: list[Heartbeat], status: str, seen: str
) -> None:
    found = model_finding(beats, NOON)

    assert found.status == status
    assert found.seen.startswith(seen)


def test_given_instances_then_their_heartbeats_are_read_from_the_ledger(patient: "Patient", wrong: "Seen") -> None:
    heard, silent = launch(patient), launch(patient)
    patient.clock.advance(3700)  # the emulator stamps launches with the real time, seconds after this clock began
    now = patient.clock.now()
    ledger = Ledger(patient.cloud.dynamodb, patient.cloud.settings, patient.clock)
    ledger.beat(Heartbeat(instance_id=heard, state="busy", beat_at=now))

    found = list(look_at_workers(patient.fleet))

    ((status, seen),) = wrong(found)
    assert status == "failure"
    assert seen.startswith(f"{silent} has run for 1h 0")
    assert "and its worker has said nothing" in seen
    assert f"{heard} is busy" in " ".join(finding.seen for finding in found)
    assert found[-1].seen.startswith(f"passed its self-test on {heard}")


def test_given_a_heartbeat_that_makes_no_sense_then_the_versions_differ(patient: "Patient", wrong: "Seen") -> None:
    name = launch(patient)
    patient.cloud.dynamodb.put_item(
        TableName="ledger",
        Item={"sessionPath": {"S": f"worker#{name}"}, "chunk": {"S": "heartbeat"}, "state": {"S": "dreaming"}},
    )

    found = wrong(look_at_workers(patient.fleet))

    assert ("warning", f"{name} says something that this version does not understand") in found
