from typing import TYPE_CHECKING

import pytest

from deploy.selftest.cleaning import Cleaner
from deploy.selftest.session import TrialSession, enqueue, gap_job, is_trial, new_session, upload
from shared.formats.layout import parse_key
from shared.state.ledger import Claim

if TYPE_CHECKING:
    from tests.deploy.selftest.conftest import Site


@pytest.fixture
def cleaner(site: "Site") -> Cleaner:
    return Cleaner(site.clients, site.settings)


@pytest.fixture
def session(site: "Site") -> TrialSession:
    """A self-test whose job waits on the priority queue."""
    made = new_session(site.clock.now())
    upload(site.cloud.s3, site.settings.bucket, made)
    job = gap_job(made, site.settings.bucket, site.clock.now())
    enqueue(site.cloud.sqs, site.ledger, site.settings.priority_queue_url, job)
    return made


def test_the_recording_fits_the_layout_and_its_transcripts_come_first(session: TrialSession) -> None:
    keys = [parse_key(key) for key, body, _ in session.objects() if body]

    assert [(key.transcript_chunk, key.audio_chunk) for key in keys if key] == [
        ("001", None),
        ("003", None),
        (None, "001"),
        (None, "002"),
        (None, "003"),
    ]


def test_a_job_is_claimed_so_that_no_scan_queues_the_gap_again(session: TrialSession, site: "Site") -> None:
    again = gap_job(session, site.settings.bucket, site.clock.now())

    assert site.ledger.claim(again) is Claim.TAKEN


def test_given_a_message_in_a_workers_hand_then_its_job_finds_a_transcript_and_is_dropped(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    job, _ = site.take()

    done = cleaner.clean(session, queued=True, status="processing")

    # A worker drops a job whose transcript exists; had its audio gone alone, it would be a dead letter.
    assert site.objects() == [job.transcript_key]
    assert len(done.left) == 1
    assert "selftest --clean" in done.left[0]


def test_given_what_was_left_then_it_is_removed_when_its_job_is_over_and_not_before(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    job, delete = site.take()
    cleaner.clean(session, queued=True, status="processing")
    (left,) = cleaner.leftovers()

    early = cleaner.clean_leftover(left, status="processing", now=site.clock.now())
    assert early.left == [f"{session.user_id}: its job is still on its way (processing)"]
    assert site.objects() == [job.transcript_key]

    site.ledger.finished(job, "skipped")
    delete()
    late = cleaner.clean_leftover(left, status="skipped", now=site.clock.now())

    assert (late.removed, late.left, site.objects()) == (1, [], [])
    assert site.ledger.session_jobs(session.path) == {}


def test_given_a_leftover_whose_message_has_come_back_then_both_are_removed(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    done = cleaner.clean_leftover(session, status="queued", now=site.clock.now())

    assert (done.left, site.objects()) == ([], [])
    assert site.bodies(site.settings.priority_queue_url) == []


def test_given_a_leftover_whose_message_must_have_expired_then_it_is_removed(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    site.take()
    site.clock.clock.advance(site.settings.queue_retention_seconds + 1)

    done = cleaner.clean_leftover(session, status="processing", now=site.clock.now())

    assert (done.left, site.objects()) == ([], [])


def test_given_a_crowded_queue_then_nobody_elses_jobs_are_received_for_the_sake_of_ours(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    url = site.settings.priority_queue_url
    for _ in range(20):
        site.cloud.sqs.send_message(QueueUrl=url, MessageBody='{"userId": "alice"}')

    done = cleaner.clean(session, queued=True, status="queued")

    assert site.objects() == [session.gap_key]
    assert len(done.left) == 1
    received = site.cloud.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in received} == {"1"}


def test_given_a_message_that_is_no_json_then_it_is_given_back_like_any_other(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    url = site.settings.priority_queue_url
    for body in ("not json", "[1]"):
        site.cloud.sqs.send_message(QueueUrl=url, MessageBody=body)

    done = cleaner.clean(session, queued=True, status="queued")

    assert done.left == []
    assert sorted(site.bodies(url)) == ["[1]", "not json"]


def test_given_a_versioned_bucket_then_no_version_stays(site: "Site", cleaner: Cleaner) -> None:
    bucket = site.settings.bucket
    site.cloud.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    session = new_session(site.clock.now())
    upload(site.cloud.s3, bucket, session)
    upload(site.cloud.s3, bucket, session)

    done = cleaner.clean(session, queued=False, status=None)

    answer = site.cloud.s3.list_object_versions(Bucket=bucket)
    assert (answer.get("Versions", []), answer.get("DeleteMarkers", [])) == ([], [])
    assert done.removed == 10


def test_only_users_that_a_self_test_has_made_are_leftovers(
    site: "Site", cleaner: Cleaner, session: TrialSession
) -> None:
    site.cloud.put_audio("alice", "s1", "001")
    site.cloud.put_audio("scribefleet-selftest-my-own", "s1", "001")

    assert list(cleaner.leftovers()) == [session]
    assert not is_trial("scribefleet-selftest-20260301T120000Z-abcdef/..")


def test_nobody_elses_objects_are_touched(site: "Site", cleaner: Cleaner, session: TrialSession) -> None:
    others = site.cloud.put_audio("alice", "s1", "001"), site.cloud.put_audio(f"{session.user_id}0", "s1", "001")

    cleaner.clean(session, queued=True, status="queued")

    assert sorted(site.objects()) == sorted(others)
