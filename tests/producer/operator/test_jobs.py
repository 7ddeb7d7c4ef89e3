"""`scribefleet jobs`: what the ledger says of jobs."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer.operator.jobs import job_of, jobs
from shared.clock import SystemClock
from shared.errors import LedgerError
from shared.formats.heartbeat import Heartbeat
from shared.formats.messages import chunk_job
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def written(cloud: "Cloud") -> Ledger:
    """Two sessions' jobs in several states, and a worker's heartbeat among them."""
    clock = SystemClock()
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    made = {
        (session, chunk): chunk_job(
            bucket="recordings",
            audio_key=f"users/alice/audio/sessions/{session}/chunk-{chunk}.webm",
            audio_size=5,
            enqueued_at=clock.now(),
        )
        for session, chunk in (("s1", "9"), ("s1", "10"), ("s1", "11"), ("s2", "001"))
    }
    for job in made.values():
        ledger.claim(job)
        ledger.queued(job)
    ledger.finished(made["s1", "9"], "failed", error="audio-empty: [bold]no bytes")
    ledger.processing(made["s1", "10"], "i-1", 2)
    ledger.cancel("users/alice/audio/sessions/s2", "001", 5)
    ledger.beat(Heartbeat(instance_id="i-1", state="busy", beat_at=clock.now()))
    return ledger


def run(*arguments: str) -> Result:
    return CliRunner().invoke(jobs, arguments, catch_exceptions=False)


def shown(*arguments: str) -> list[tuple[str, str]]:
    return [(job["chunk"], job["status"]) for job in json.loads(run(*arguments, "--json").stdout)["jobs"]]


@pytest.mark.usefixtures("written")
def test_a_sessions_jobs_are_shown_in_the_order_of_the_recording() -> None:
    assert shown("alice/s1") == [("9", "failed"), ("10", "processing"), ("11", "queued")]
    said = run("alice/s1").stdout
    assert "[bold]" in said
    assert "3 jobs: 1 failed, 1 processing, 1 queued" in said


@pytest.mark.usefixtures("written")
def test_without_a_session_all_jobs_are_shown_and_nothing_else() -> None:
    assert len(shown()) == 4


@pytest.mark.usefixtures("written")
def test_jobs_are_chosen_by_their_state() -> None:
    assert shown("--status", "failed", "--status", "cancelled") == [("9", "failed"), ("001", "cancelled")]
    assert shown("alice/s1", "--status", "queued") == [("11", "queued")]


@pytest.mark.usefixtures("written")
def test_what_is_cut_off_is_said() -> None:
    ran = run("--limit", "2")
    assert "there are more (--limit)" in ran.stdout
    assert json.loads(run("--limit", "4", "--json").stdout)["more"] is False


def test_a_session_that_the_ledger_never_heard_of_has_no_jobs() -> None:
    assert "0 jobs" in run("alice/none").stdout


def test_a_cancelled_job_that_went_back_to_its_queue_is_shown_as_cancelled() -> None:
    item: dict[str, Any] = {"sessionPath": "users/a/audio/sessions/s", "chunk": "1", "status": "queued"}
    assert job_of({**item, "cancelledAt": "2026-03-01T00:00:00.000Z"}).status == "cancelled"
    assert job_of(item).status == "queued"


def test_a_row_that_the_fleet_has_not_written_is_shown_and_hides_no_other(cloud: "Cloud", written: Ledger) -> None:
    for path, chunk in (("users/alice/audio/sessions/s1", "first"), ("users/alice//x", "001")):
        row = {"sessionPath": {"S": path}, "chunk": {"S": chunk}, "attempts": {"S": "many"}}
        cloud.dynamodb.put_item(TableName=cloud.settings.table_name, Item=row)

    assert ("first", "unknown") in shown()
    assert len(shown()) == 6
    assert "users/alice//x" in run().stdout
    assert [chunk for chunk, _ in shown("alice/s1")] == ["9", "10", "11"]


def test_a_ledger_that_is_away_is_an_error(cloud: "Cloud") -> None:
    cloud.dynamodb.delete_table(TableName=cloud.settings.table_name)
    with pytest.raises(LedgerError):
        run()
