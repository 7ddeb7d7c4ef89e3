"""`scribefleet scan` on the command line."""

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from producer.cli import scan

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCRIBEFLEET_SCAN_MIN_AGE_SECONDS", "0")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(scan, arguments, catch_exceptions=False)


def _store(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "[bold]s1", "001")
    cloud.put_audio("alice", "[bold]s1", "002")
    cloud.put_transcript("alice", "[bold]s1", "001")
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="users/alice/odd.txt", Body=b"")


def test_a_look_shows_the_gaps_and_queues_nothing(cloud: "Cloud") -> None:
    _store(cloud)
    ran = run()
    assert ran.exit_code == 0
    assert "[bold]s1" in ran.stdout
    assert "1 gaps in 1 of them" in ran.stdout.replace("\n", " ")
    assert "this was a look only" in ran.stdout
    assert "1 keys do not fit the layout" in ran.stdout


def test_verbose_lists_the_keys_that_do_not_fit(cloud: "Cloud") -> None:
    _store(cloud)
    assert "ignored: 'users/alice/odd.txt'" in run("--verbose").stderr


def test_json_is_one_object_with_sessions_and_outcome(cloud: "Cloud") -> None:
    _store(cloud)
    result = json.loads(run("--enqueue", "--json").stdout)
    assert (result["totalMissingChunks"], result["ignoredKeys"], result["enqueued"]) == (1, 1, 1)
    assert result["sessions"][0]["missingChunks"] == ["002"]


def test_queueing_twice_says_that_there_was_a_job_already(cloud: "Cloud") -> None:
    _store(cloud)
    assert "queued 1 jobs; 0 had one already" in run("--enqueue").stdout
    assert "queued 0 jobs; 1 had one already" in run("--enqueue").stdout


def _store_unfinished(cloud: "Cloud") -> None:
    for session in ("s1", "s2"):
        cloud.put_audio("alice", session, "001")
        cloud.put_transcript("alice", session, "001")


def test_sessions_that_lack_only_their_own_transcript_are_counted_and_with_enqueue_get_it(cloud: "Cloud") -> None:
    _store_unfinished(cloud)
    assert "2 sessions have all their chunks and no transcript of their own yet" in run().stdout
    written = run("--enqueue")
    assert "gave 2 of 2 sessions their own transcript" in written.stdout
    assert written.exit_code == 0
    assert "transcript of their own" not in run().stdout


def test_json_says_how_many_sessions_got_their_transcript(cloud: "Cloud") -> None:
    _store_unfinished(cloud)
    names = ("sessionsToFinalise", "sessionsFinalised", "sessionsNotFinalised")
    looked, done = json.loads(run("--json").stdout), json.loads(run("--enqueue", "--json").stdout)
    assert [looked[name] for name in names] == [2, 0, 0]
    assert [done[name] for name in names] == [2, 2, 0]


def test_a_session_transcript_that_cannot_be_made_is_told_and_does_not_fail_the_scan(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    _store_unfinished(cloud)
    monkeypatch.setattr("producer.scan.unfinished.MOST", 1)
    monkeypatch.setattr("producer.scan.scan.MOST", 1)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shared.session.finalise.assemble", broken)
    ran = run("--enqueue")
    assert "gave 0 of 2 sessions their own transcript" in ran.stdout
    assert "1 could not be given one" in ran.stdout
    assert "1 are left to the next scan" in ran.stdout
    assert ran.exit_code == 0


def test_an_unreadable_lock_is_named(cloud: "Cloud") -> None:
    _store(cloud)
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="batch-lock.json", Body=b"?")
    said = " ".join(run("--enqueue").stdout.split())
    assert "nothing queued: lock counts as held: s3://recordings/batch-lock.json is not a valid lock object" in said


def test_wrong_use_exits_with_two() -> None:
    assert run("--nonsense").exit_code == 2
