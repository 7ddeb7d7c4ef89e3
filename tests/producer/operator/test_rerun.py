"""`scribefleet rerun` and `scribefleet cancel`: what is queued, kept, replaced and called off."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer.operator.cancel import cancel
from producer.operator.rerun import progress
from producer.operator.rerun.cli import rerun
from producer.operator.rerun.enqueue import How, Rerunner, rerun_jobs
from producer.operator.rerun.progress import POLL_INTERVAL_SECONDS, RerunStatus, RerunWatch
from producer.operator.rerun.selection import ChunkRequest, choose
from shared.clock import SystemClock
from shared.errors import LedgerError
from shared.formats.layout import session_path
from shared.formats.messages import ChunkJob, parse_job
from shared.session.folder import SessionFolder, list_folder
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

PATH = session_path("alice", "s1")


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ledger(cloud: "Cloud") -> Ledger:
    return Ledger(cloud.dynamodb, cloud.settings, SystemClock())


@pytest.fixture
def recording(cloud: "Cloud") -> "Cloud":
    """Four chunks, the second with a transcript."""
    for chunk in ("001", "002", "003", "004"):
        cloud.put_audio("alice", "s1", chunk)
    cloud.put_transcript("alice", "s1", "002", {"segments": [], "source": "live"})
    return cloud


def run(*arguments: str) -> Result:
    return CliRunner().invoke(rerun, arguments, catch_exceptions=False)


def queued(cloud: "Cloud", *, priority: bool = True) -> list[ChunkJob]:
    """Takes the jobs off a queue, in the order of sending."""
    url = cloud.settings.priority_queue_url if priority else cloud.settings.jobs_queue_url
    jobs = []
    while messages := cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            jobs.append(parse_job(message["Body"], bucket=cloud.settings.bucket))
            cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return jobs


def history(cloud: "Cloud") -> dict[str, Any]:
    """The chunks and the content of the copies that are kept."""
    found = cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket, Prefix=f"{PATH}/history/").get("Contents", [])
    bodies = {each["Key"]: cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=each["Key"])["Body"] for each in found}
    return {key.rpartition("-")[2].removesuffix(".json"): json.loads(body.read()) for key, body in bodies.items()}


# --- rerun


def test_the_gaps_are_queued_where_they_overtake_the_backlog(recording: "Cloud", ledger: Ledger) -> None:
    assert run("s1").exit_code == 0
    jobs = queued(recording)
    assert [(job.chunk, job.reason, job.force) for job in jobs] == [
        (chunk, "rerun", False) for chunk in ("001", "003", "004")
    ]
    assert queued(recording, priority=False) == []
    assert {row["status"] for row in ledger.session_jobs(PATH).values()} == {"queued"}


def test_a_rerun_without_priority_goes_behind_the_backlog(recording: "Cloud") -> None:
    run("s1", "--no-priority")
    assert queued(recording) == []
    assert len(queued(recording, priority=False)) == 3


def test_model_and_language_are_for_these_jobs(recording: "Cloud") -> None:
    run("alice/s1", "--chunks", "3", "--model", "medium", "--language", "de")
    (job,) = queued(recording)
    assert (job.chunk, job.model, job.language) == ("003", "medium", "de")


def test_a_look_changes_nothing(recording: "Cloud", ledger: Ledger) -> None:
    said = run("s1", "--all", "--force", "--dry-run").stdout
    assert "would queue 4 chunks: 1-4" in said
    assert "replacing the transcripts of 2" in said
    assert (queued(recording), history(recording), ledger.session_jobs(PATH)) == ([], {}, {})


def test_what_has_a_transcript_is_left_alone_and_named(recording: "Cloud") -> None:
    result = json.loads(run("s1", "--chunks", "1-2", "--json").stdout)
    assert (result["queued"], result["haveTranscript"]) == (["001"], ["002"])
    assert history(recording) == {}


def test_numbers_without_audio_are_named_and_the_others_queued(recording: "Cloud") -> None:
    ran = run("s1", "--chunks", "3,8-9")
    assert ran.exit_code == 1
    assert "no audio: 8-9" in ran.stdout
    assert [job.chunk for job in queued(recording)] == ["003"]


def test_a_forced_rerun_keeps_the_transcripts_that_it_replaces(recording: "Cloud") -> None:
    run("s1", "--all", "--force")
    assert [job.force for job in queued(recording)] == [True] * 4
    assert history(recording) == {"002": {"segments": [], "source": "live"}}


@pytest.fixture
def a_moment_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets transcripts be some seconds newer than the copies that were made before: S3 stamps whole seconds."""

    def listed(s3: Any, bucket: str, path: str) -> SessionFolder:
        folder = list_folder(s3, bucket, path)
        for chunk, stands in folder.transcripts.items():
            folder.transcripts[chunk] = stands._replace(modified=stands.modified + timedelta(seconds=5))
        return folder

    def make() -> None:
        for module in ("cli", "progress"):
            monkeypatch.setattr(f"producer.operator.rerun.{module}.list_folder", listed)

    return make


def test_the_kept_transcripts_go_when_the_new_ones_are_in_place(
    recording: "Cloud", a_moment_later: Callable[[], None]
) -> None:
    run("s1", "--chunks", "2", "--force")
    recording.put_transcript("alice", "s1", "002", {"segments": [], "source": "batch"})
    a_moment_later()
    run("s1")
    assert history(recording) == {}


def test_a_rerun_before_the_new_ones_are_in_place_keeps_what_is_kept(recording: "Cloud") -> None:
    run("s1", "--chunks", "2", "--force")
    run("s1")
    assert set(history(recording)) == {"002"}


def test_a_forced_job_is_never_older_than_what_it_replaces(recording: "Cloud", clock: "FakeClock") -> None:
    # given: this machine's clock is an hour behind S3's
    folder = list_folder(recording.s3, "recordings", PATH)
    late = clock.now() - timedelta(hours=1)
    (job,) = rerun_jobs(folder, ["002"], How(force=True), "recordings", rerun_id="r", now=late)
    assert job.enqueued_at == folder.transcripts["002"].modified


def test_failed_are_those_whose_job_failed(recording: "Cloud", ledger: Ledger) -> None:
    run("s1")
    jobs = {job.chunk: job for job in queued(recording)}
    ledger.finished(jobs["001"], "failed", error="audio-empty: no bytes")
    assert run("s1", "--failed").exit_code == 0
    assert [job.chunk for job in queued(recording)] == ["001"]
    assert ledger.session_jobs(PATH)["001"]["status"] == "queued"


def test_a_session_without_gaps_has_nothing_to_queue(cloud: "Cloud") -> None:
    cloud.put_audio("alice", "s1", "001")
    cloud.put_transcript("alice", "s1", "001")
    ran = run("s1")
    assert (ran.exit_code, "nothing to queue" in ran.stdout) == (0, True)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--force",),
        ("--all", "--failed"),
        ("--chunks", "1", "--all"),
        ("--chunks", "9-1"),
        ("--timeout", "5"),
        ("--language", "English"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_done(recording: "Cloud", wrong: tuple[str, ...]) -> None:
    assert run("s1", *wrong).exit_code == 2
    assert queued(recording) == []


def test_messages_that_sqs_refuses_are_named_and_left_to_the_next_scan(
    recording: "Cloud", clock: "FakeClock", ledger: Ledger
) -> None:
    refused = {"Failed": [{"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True}], "Successful": []}

    class Refusing:
        def send_message_batch(self, **_: Any) -> dict[str, Any]:
            return refused

    folder = list_folder(recording.s3, "recordings", PATH)
    sqs: Any = Refusing()
    rerunner = Rerunner(recording.s3, sqs, ledger, recording.settings, clock)
    result = rerunner.queue(folder, ["001"], How(), {})
    assert (result.refused, result.jobs) == ({"001": "InvalidMessageContents"}, [])
    (job,) = rerun_jobs(folder, ["001"], How(), "recordings", rerun_id="r", now=clock.now())
    clock.advance(2)
    assert Ledger(recording.dynamodb, recording.settings, clock).claim(job)


def test_without_the_ledger_a_job_that_may_be_cancelled_is_not_sent(recording: "Cloud", clock: "FakeClock") -> None:
    recording.dynamodb.delete_table(TableName=recording.settings.table_name)
    ledger = Ledger(recording.dynamodb, recording.settings, clock)
    rerunner = Rerunner(recording.s3, recording.sqs, ledger, recording.settings, clock)
    folder = list_folder(recording.s3, "recordings", PATH)
    unknown = rerunner.queue(folder, ["001"], How(), None)
    cancelled = rerunner.queue(folder, ["001"], How(), {"001": {"cancelledAt": "2026-03-01"}})
    free = rerunner.queue(folder, ["003"], How(), {})
    assert (set(unknown.refused), set(cancelled.refused), free.refused) == ({"001"}, {"001"}, {})
    assert [job.chunk for job in queued(recording)] == ["003"]


# --- waiting


Wait = Callable[..., RerunStatus]


@pytest.fixture
def wait(recording: "Cloud", clock: "FakeClock", ledger: Ledger) -> Wait:
    """Queues chunks, plays a worker at the second look, and waits."""

    def make(chunks: str, worker: Callable[[list[ChunkJob]], None], *, force: bool = False) -> RerunStatus:
        folder = list_folder(recording.s3, "recordings", PATH)
        asked = choose(folder, ChunkRequest(numbers=tuple(int(chunk) for chunk in chunks.split()), force=force))
        rerunner = Rerunner(recording.s3, recording.sqs, ledger, recording.settings, clock)
        result = rerunner.queue(folder, asked.run, How(force=force), {})
        watch = RerunWatch(recording.s3, ledger, clock, "recordings", result.jobs, folder)
        looks: list[RerunStatus] = []

        def on_look(seen: RerunStatus) -> None:
            looks.append(seen)
            if len(looks) == 1:
                assert not seen.over
                worker(result.jobs)

        return watch.until_over(60, on_look)

    return make


def test_waiting_ends_with_done_failed_and_cancelled_told_apart(recording: "Cloud", ledger: Ledger, wait: Wait) -> None:
    def worker(jobs: list[ChunkJob]) -> None:
        recording.put_transcript("alice", "s1", "001")
        ledger.finished(jobs[1], "failed", error="audio-empty: no bytes")
        ledger.cancel(PATH, "004", 5)

    seen = wait("1 3 4", worker)
    assert (seen.done, seen.cancelled) == (frozenset({"001"}), frozenset({"004"}))
    assert seen.failed == {"003": "audio-empty: no bytes"}


def test_a_forced_chunk_is_done_when_its_transcript_is_another_one(recording: "Cloud", wait: Wait) -> None:
    def worker(_: list[ChunkJob]) -> None:
        recording.put_transcript("alice", "s1", "002", {"segments": [], "source": "batch"})

    assert wait("2", worker, force=True).done == {"002"}


def test_waiting_ends_with_its_time_though_nothing_was_done(clock: "FakeClock", wait: Wait) -> None:
    began = clock.monotonic()
    seen = wait("1 3", lambda _: None)
    assert (seen.over, seen.waiting) == (False, frozenset({"001", "003"}))
    assert 60 <= clock.monotonic() - began <= 60 + POLL_INTERVAL_SECONDS


def test_without_the_ledger_waiting_goes_by_the_transcripts(recording: "Cloud", wait: Wait) -> None:
    def worker(_: list[ChunkJob]) -> None:
        recording.dynamodb.delete_table(TableName=recording.settings.table_name)
        recording.put_transcript("alice", "s1", "001")

    assert wait("1", worker).done == {"001"}


def test_the_command_waits_until_all_is_done_and_removes_what_was_kept(
    recording: "Cloud", ledger: Ledger, a_moment_later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a worker that has done every job by the second look
    monkeypatch.setattr(progress, "POLL_INTERVAL_SECONDS", 0)
    a_moment_later()
    look, looks = RerunWatch.look, iter(range(100))

    def work(watch: RerunWatch) -> RerunStatus:
        if next(looks) == 1:
            recording.put_transcript("alice", "s1", "002", {"segments": [], "source": "batch"})
            ledger.finished(watch.jobs[0], "failed", error="audio-empty: no bytes")
        return look(watch)

    monkeypatch.setattr(RerunWatch, "look", work)
    # when
    ran = run("s1", "--chunks", "1-2", "--force", "--wait", "--json")
    # then
    result = json.loads(ran.stdout)
    assert (result["done"], result["failed"]) == (["002"], {"001": "audio-empty: no bytes"})
    assert (ran.exit_code, history(recording)) == (1, {})


# --- cancel


def call_off(*arguments: str) -> Result:
    return CliRunner().invoke(cancel, arguments, catch_exceptions=False)


def test_cancelled_chunks_are_left_alone_by_scans_until_they_are_asked_for_again(
    recording: "Cloud", ledger: Ledger
) -> None:
    run("s1")
    jobs = {job.chunk: job for job in queued(recording)}
    assert "cancelled 3 chunks: 1, 3-4" in call_off("s1").stdout
    assert {row["status"] for row in ledger.session_jobs(PATH).values()} == {"cancelled"}
    assert not ledger.claim(jobs["001"])
    assert not ledger.processing(jobs["001"], "i-1", 1)
    run("s1", "--chunks", "1")
    assert ledger.processing(jobs["001"], "i-1", 1)
    assert not ledger.processing(jobs["003"], "i-1", 1)


def test_what_a_worker_has_in_hand_is_named_as_such(recording: "Cloud", ledger: Ledger) -> None:
    run("s1")
    jobs = {job.chunk: job for job in queued(recording)}
    ledger.processing(jobs["003"], "i-1", 1)
    result = json.loads(call_off("s1", "--json").stdout)
    assert (result["cancelled"], result["inWork"]) == (["001", "004"], ["003"])


def test_only_the_chunks_that_are_named_are_cancelled(recording: "Cloud", ledger: Ledger) -> None:
    result = json.loads(call_off("s1", "--chunks", "3,2", "--json").stdout)
    assert (result["cancelled"], result["notQueued"]) == (["003"], [2])
    assert set(ledger.session_jobs(PATH)) == {"003"}


def test_a_look_cancels_nothing(recording: "Cloud", ledger: Ledger) -> None:
    assert "would cancel 3 chunks" in call_off("s1", "--dry-run").stdout
    assert ledger.session_jobs(PATH) == {}


def test_a_cancellation_that_cannot_be_written_is_an_error(recording: "Cloud") -> None:
    recording.dynamodb.delete_table(TableName=recording.settings.table_name)
    with pytest.raises(LedgerError):
        call_off("s1")


# --- through the console script


def script(cloud: "Cloud", *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **cloud.environment()}
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_console_script_reruns_and_cancels(recording: "Cloud") -> None:
    asked = script(recording, "rerun", "s1", "--chunks", "1")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "queued 1 jobs on jobs-priority" in asked.stdout
    called_off = script(recording, "cancel", "s1")
    assert "cancelled 3 chunks: 1, 3-4" in called_off.stdout
    shown = script(recording, "jobs", "s1", "--json")
    assert [(job["chunk"], job["status"]) for job in json.loads(shown.stdout)["jobs"]] == [
        (chunk, "cancelled") for chunk in ("001", "003", "004")
    ]


def test_the_console_script_answers_an_unknown_session_with_the_closest(recording: "Cloud") -> None:
    recording.put_audio("alice", "session-one", "001")
    ran = script(recording, "rerun", "session-on")
    assert ran.returncode == 2
    assert "there is no session session-on" in ran.stderr
    assert "alice/session-one" in ran.stderr
