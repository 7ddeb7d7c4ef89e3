from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.state.instances import STARTED_AT_TAG
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.deploy.selftest.conftest import Site


def interrupt() -> None:
    raise KeyboardInterrupt


def nothing_is_left(site: "Site", user_id: str) -> bool:
    queues = (site.settings.priority_queue_url, site.settings.jobs_queue_url, site.settings.dead_letter_queue_url)
    path = f"users/{user_id}/audio/sessions/gap"
    return site.objects() == [] and not site.ledger.session_jobs(path) and not any(site.bodies(url) for url in queues)


def test_given_a_worker_that_hears_then_it_passes_and_nothing_is_left(site: "Site") -> None:
    site.clock.events = [lambda: None, site.work]

    result = site.self_test().run()

    assert (result.passed, result.share, result.reason) == (True, 1.0, "")
    assert result.worker == "i-1"
    assert result.seconds == pytest.approx(6)
    assert nothing_is_left(site, result.session.user_id)
    assert (result.cleaned.removed, result.cleaned.left) == (6, [])


def test_given_a_worker_whose_model_is_wrong_then_it_fails_with_what_was_heard(site: "Site") -> None:
    site.clock.events = [lambda: site.work("Thank you for watching!")]

    result = site.self_test().run()

    assert not result.passed
    assert result.reason.startswith("the worker heard 'Thank you for watching!' where 'it was the age of wisdom")
    assert "model check" in result.advice
    assert nothing_is_left(site, result.session.user_id)


def test_given_a_job_that_fails_for_good_then_its_reason_is_told_and_its_dead_letter_removed(site: "Site") -> None:
    dead_letters = site.settings.dead_letter_queue_url
    site.cloud.sqs.send_message(QueueUrl=dead_letters, MessageBody='{"userId": "alice"}')
    site.clock.events = [site.fail]

    result = site.self_test().run()

    assert result.reason == "the job failed for good: audio-empty: no audio"
    assert site.bodies(dead_letters) == ['{"userId": "alice"}']
    assert site.objects() == []


def test_given_nobody_who_works_then_it_says_why_in_the_autoscalers_words_and_takes_its_job_back(
    site: "Site",
) -> None:
    site.cloud.sqs.send_message(QueueUrl=site.settings.priority_queue_url, MessageBody='{"userId": "alice"}')

    result = site.self_test(timeout_seconds=30).run()

    assert not result.passed
    assert result.reason.startswith("no transcript after 30s. It waits: queued: no instance runs")
    assert "the pool is exhausted" in result.advice
    assert site.bodies(site.settings.priority_queue_url) == ['{"userId": "alice"}']
    assert site.objects() == []
    assert result.cleaned.left == []


def test_given_a_step_that_lasts_then_it_explains_itself_about_once_a_minute(site: "Site") -> None:
    site.self_test(timeout_seconds=130).run()

    explained = [text for text in site.told if text.startswith("still so after ")]
    assert len(explained) == 2
    assert all("The autoscaler's decision now: " in text for text in explained)


def test_given_ctrl_c_then_everything_is_removed_all_the_same(site: "Site") -> None:
    site.clock.events = [interrupt]

    result = site.self_test().run()

    assert (result.interrupted, result.passed) == (True, False)
    assert nothing_is_left(site, result.session.user_id)


def test_given_a_live_session_then_it_says_that_it_waits_and_passes_afterwards(site: "Site") -> None:
    lock = SessionLock(site.cloud.s3, site.settings.bucket, site.clock, timedelta(minutes=30))
    lock.take("alice", "talk-7")
    site.clock.events = [lambda: lock.release("alice", "talk-7"), site.work]

    result = site.self_test().run()

    assert result.passed
    (waits,) = [text for text in site.told if text.startswith("live session talk-7 since ")]
    assert waits.endswith("the fleet waits for it, and so does this test")


def test_given_keep_then_the_session_stays(site: "Site") -> None:
    site.clock.events = [site.work]

    result = site.self_test(keep=True).run()

    assert result.passed
    assert len(site.objects()) == 6
    assert all(key.startswith(f"users/{result.session.user_id}/") for key in site.objects())


def test_given_scan_then_the_scanner_is_asked_when_the_chunk_is_old_enough_and_finds_only_the_gap(
    site: "Site",
) -> None:
    asked: list[list[str]] = []

    def look() -> None:
        asked.append(site.bodies(site.settings.jobs_queue_url))

    site.clock.events = [*[look] * 42, site.work]

    result = site.self_test(scan=True).run()

    assert result.passed
    # the chunk has to be 120 s old and 5 s more, and a look comes every 3 s
    assert [len(bodies) for bodies in asked] == [0] * 42
    assert "the chunk is too young for a scan; the scanner is invoked when it is old enough" in site.told
    assert nothing_is_left(site, result.session.user_id)


def test_given_an_instance_that_was_started_for_it_then_its_run_is_what_it_cost(site: "Site") -> None:
    name = site.add_instance(**{STARTED_AT_TAG: site.clock.now().isoformat()})
    site.settings = site.cloud.settings_with(price_usd_per_hour=3.6, max_empty_polls=3, long_poll_seconds=20)
    site.clock.events = [*[lambda: None] * 29, lambda: site.work(worker=name)]

    result = site.self_test().run()

    assert result.started_instance
    # 90 s until the transcript and three empty polls of 20 s, at a tenth of a cent a second
    assert result.cost_usd == pytest.approx(0.150, abs=0.004)


def test_given_an_instance_that_was_running_anyhow_then_the_test_costs_nothing_more(site: "Site") -> None:
    name = site.add_instance()
    site.clock.clock.advance(3600)
    site.clock.events = [lambda: site.work(worker=name)]

    result = site.self_test().run()

    assert (result.passed, result.started_instance, result.cost_usd) == (True, False, 0)


def test_given_a_bucket_that_refuses_then_the_result_says_so_and_nothing_raises(site: "Site") -> None:
    site.settings = site.cloud.settings_with(bucket="somebody-deleted-it")

    result = site.self_test().run()

    assert not result.passed
    assert result.reason.startswith("AWS: An error occurred (NoSuchBucket)")
    assert result.cleaned.left == [f"s3://somebody-deleted-it/users/{result.session.user_id}/: NoSuchBucket"]


def test_given_a_ledger_that_is_away_then_the_transcript_alone_tells_the_end(site: "Site") -> None:
    site.clock.events = [site.work]
    site.cloud.dynamodb.delete_table(TableName=site.settings.table_name)

    result = site.self_test().run()

    assert result.passed
    assert site.objects() == []
    assert result.cleaned.left == ["its entry in the ledger: ResourceNotFoundException"]


def test_two_self_tests_never_share_a_session(site: "Site") -> None:
    site.clock.events = [site.work, site.work]
    first, second = site.self_test().run(), site.self_test().run()

    assert first.session.user_id != second.session.user_id
