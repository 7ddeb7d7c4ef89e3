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


def test_an_unreadable_lock_is_named(cloud: "Cloud") -> None:
    _store(cloud)
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="batch-lock.json", Body=b"?")
    said = " ".join(run("--enqueue").stdout.split())
    assert "nothing queued: lock counts as held: s3://recordings/batch-lock.json is not a valid lock object" in said


def test_wrong_use_exits_with_two() -> None:
    assert run("--nonsense").exit_code == 2
