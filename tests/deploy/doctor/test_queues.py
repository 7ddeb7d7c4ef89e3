from typing import TYPE_CHECKING, Any

import pytest

from deploy.doctor.queues import look_at_dead_letters, look_at_job_queues

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen

WEEK = 604_800


@pytest.fixture(autouse=True)
def as_deployed(patient: "Patient") -> None:
    """The emulator's queues are set as the template sets them."""
    settings = patient.cloud.settings
    for url in (settings.jobs_queue_url, settings.priority_queue_url):
        change(patient, url, MessageRetentionPeriod=str(WEEK), SqsManagedSseEnabled="true")
    change(patient, settings.dead_letter_queue_url, MessageRetentionPeriod=str(2 * WEEK), SqsManagedSseEnabled="true")


def change(patient: "Patient", url: str, **attributes: str) -> None:
    sqs: Any = patient.cloud.sqs  # names of attributes that tests make up as they go
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


def test_given_queues_as_deployed_then_all_is_ok_and_their_depth_is_told(patient: "Patient", wrong: "Seen") -> None:
    patient.cloud.sqs.send_message(QueueUrl=patient.cloud.settings.jobs_queue_url, MessageBody="{}")

    found = list(look_at_job_queues(patient.fleet))

    assert wrong(found) == []
    assert [finding.seen for finding in found] == [
        "jobs is as deployed: 1 waiting, 0 in flight",
        "jobs-priority is as deployed: 0 waiting, 0 in flight",
    ]


@pytest.mark.parametrize(
    ("attribute", "value", "status", "seen"),
    [
        ("VisibilityTimeout", "31", "failure", "visibility timeout 31 s, deployed 30 s, so leases are not as long"),
        ("MessageRetentionPeriod", "60", "failure", "retention 60 s, deployed 604800 s, so the ledger holds gaps back"),
        ("SqsManagedSseEnabled", "false", "warning", "is not encrypted"),
    ],
)
def test_given_one_queue_that_someone_has_changed_then_it_alone_is_named(
    attribute: str, value: str, status: str, seen: str, patient: "Patient", wrong: "Seen"
) -> None:
    change(patient, patient.cloud.settings.priority_queue_url, **{attribute: value})

    ((found_status, found_seen),) = wrong(look_at_job_queues(patient.fleet))

    assert found_status == status
    assert found_seen.startswith("jobs-priority")
    assert seen in found_seen


def test_given_a_queue_without_redrive_then_a_killer_job_would_come_back_for_ever(
    patient: "Patient", wrong: "Seen"
) -> None:
    bare = patient.cloud.sqs.create_queue(
        QueueName="bare",
        Attributes={"VisibilityTimeout": "30", "MessageRetentionPeriod": str(WEEK), "SqsManagedSseEnabled": "true"},
    )["QueueUrl"]

    ((status, seen),) = wrong(look_at_job_queues(patient.with_settings(jobs_queue_url=bare)))

    assert status == "failure"
    assert seen.startswith("bare: dead letters go to nowhere")


def test_given_a_queue_that_is_gone_then_the_other_is_looked_at_all_the_same(patient: "Patient", wrong: "Seen") -> None:
    patient.cloud.sqs.delete_queue(QueueUrl=patient.cloud.settings.jobs_queue_url)

    found = list(look_at_job_queues(patient.fleet))

    assert wrong(found) == [("failure", "jobs does not exist")]
    assert found[-1].seen.startswith("jobs-priority is as deployed")


def test_given_dead_letters_then_it_warns_with_their_number(patient: "Patient", wrong: "Seen") -> None:
    assert wrong(look_at_dead_letters(patient.fleet)) == []

    patient.cloud.sqs.send_message(QueueUrl=patient.cloud.settings.dead_letter_queue_url, MessageBody="{}")

    assert wrong(look_at_dead_letters(patient.fleet)) == [("warning", "1 on dead-letter: jobs that failed for good")]


def test_given_dead_letters_that_expire_with_their_source_then_it_warns(patient: "Patient", wrong: "Seen") -> None:
    change(patient, patient.cloud.settings.dead_letter_queue_url, MessageRetentionPeriod=str(WEEK))

    ((status, seen),) = wrong(look_at_dead_letters(patient.fleet))

    assert (status, "vanish before anyone has seen them" in seen) == ("warning", True)


def test_given_no_dead_letter_queue_then_it_is_a_failure(patient: "Patient", wrong: "Seen") -> None:
    patient.cloud.sqs.delete_queue(QueueUrl=patient.cloud.settings.dead_letter_queue_url)

    assert wrong(look_at_dead_letters(patient.fleet)) == [("failure", "the queue dead-letter does not exist")]
