from datetime import timedelta
from typing import TYPE_CHECKING

from deploy.doctor import data
from shared.formats.layout import LOCK_KEY
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen


def lock_of(patient: "Patient") -> SessionLock:
    return SessionLock(patient.cloud.s3, patient.cloud.settings.bucket, patient.clock, timedelta(minutes=30))


def test_given_a_bucket_that_can_be_listed_then_it_is_ok(patient: "Patient", wrong: "Seen") -> None:
    assert wrong(data.look_at_bucket(patient.fleet)) == []


def test_given_a_bucket_that_is_gone_then_it_is_a_failure(patient: "Patient", wrong: "Seen") -> None:
    fleet = patient.with_settings(bucket="somebody-deleted-it")

    assert wrong(data.look_at_bucket(fleet)) == [("failure", "somebody-deleted-it does not exist")]


def test_given_a_bucket_that_can_become_public_then_it_is_a_failure_with_the_command_that_mends_it(
    patient: "Patient", wrong: "Seen"
) -> None:
    (found,) = data.look_at_public_access(patient.fleet)
    assert found.status == "failure"
    ways = found.remedy.rpartition(" ")[2]
    # when: what the remedy says is done
    patient.cloud.s3.put_public_access_block(
        Bucket="recordings",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": "BlockPublicAcls=true" in ways,
            "IgnorePublicAcls": "IgnorePublicAcls=true" in ways,
            "BlockPublicPolicy": "BlockPublicPolicy=true" in ways,
            "RestrictPublicBuckets": "RestrictPublicBuckets=true" in ways,
        },
    )
    # then
    assert wrong(data.look_at_public_access(patient.fleet)) == []


def test_given_one_way_left_open_then_it_is_named(patient: "Patient", wrong: "Seen") -> None:
    patient.cloud.s3.put_public_access_block(
        Bucket="recordings",
        PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True},
    )

    ((_, seen),) = wrong(data.look_at_public_access(patient.fleet))

    assert seen == "recordings does not block it: RestrictPublicBuckets off"


def test_given_no_default_encryption_then_it_warns_until_there_is_one(patient: "Patient", wrong: "Seen") -> None:
    s3 = patient.cloud.s3
    s3.delete_bucket_encryption(Bucket="recordings")
    assert wrong(data.look_at_encryption(patient.fleet)) == [("warning", "recordings has no default encryption")]

    s3.put_bucket_encryption(
        Bucket="recordings",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        },
    )

    (found,) = data.look_at_encryption(patient.fleet)
    assert found.seen == "recordings encrypts with aws:kms"


def test_given_a_live_session_then_the_lock_is_held_and_that_is_no_fault(patient: "Patient", wrong: "Seen") -> None:
    lock_of(patient).take("alice", "talk-7")

    (found,) = data.look_at_lock(patient.fleet)

    assert found.status == "ok"
    assert found.seen.startswith("live session talk-7 since ")
    assert found.seen.endswith(": the fleet waits for it")


def test_given_a_hold_that_was_not_refreshed_then_it_is_called_stale(patient: "Patient", wrong: "Seen") -> None:
    lock_of(patient).take("alice", "talk-7")
    patient.clock.advance(31 * 60)

    ((status, seen),) = wrong(data.look_at_lock(patient.fleet))

    assert status == "warning"
    assert seen == "lock is free; 1 stale holds that count as gone (talk-7)"


def test_given_a_lock_that_is_no_lock_then_it_is_a_failure_because_nothing_will_start(
    patient: "Patient", wrong: "Seen"
) -> None:
    patient.cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=b"{")

    ((status, seen),) = wrong(data.look_at_lock(patient.fleet))

    assert status == "failure"
    assert seen == "lock counts as held: s3://recordings/batch-lock.json is not a valid lock object"


def test_given_a_fleet_without_the_lock_then_the_object_is_not_looked_at(patient: "Patient", wrong: "Seen") -> None:
    patient.cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=b"{")

    assert wrong(data.look_at_lock(patient.with_settings(lock_enabled=False))) == []


def test_given_a_table_without_ttl_then_it_warns_until_the_right_attribute_has_it(
    patient: "Patient", wrong: "Seen"
) -> None:
    ((status, seen),) = wrong(data.look_at_table(patient.fleet))
    assert (status, "TTL on the attribute `ttl` is off" in seen) == ("warning", True)

    patient.cloud.dynamodb.update_time_to_live(
        TableName="ledger", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )

    assert wrong(data.look_at_table(patient.fleet)) == []
