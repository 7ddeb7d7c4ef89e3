"""`scribefleet finalise` on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer.operator.finalise import finalise
from shared.errors import ConfigurationError, TransientError
from shared.session.finalise import Finalised, SessionFinaliser

if TYPE_CHECKING:
    from tests.conftest import Cloud

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCRIBEFLEET_SCAN_MIN_AGE_SECONDS", "0")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(finalise, arguments, catch_exceptions=False)


def store(cloud: "Cloud", session: str, *, gap: bool = False) -> None:
    segments = {"segments": [{"text": f"Words of {session}.", "start": 1, "end": 2}]}
    cloud.put_audio("alice", session, "001")
    cloud.put_transcript("alice", session, "001", segments)
    if gap:
        cloud.put_audio("alice", session, "002")


def keys(cloud: "Cloud") -> list[str]:
    listed = cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket).get("Contents", [])
    return [item["Key"].rpartition("sessions/")[2] for item in listed]


def outcomes(ran: Result) -> dict[str, Any]:
    return {each["sessionPath"].rpartition("/")[2]: each for each in json.loads(ran.stdout)["sessions"]}


def test_a_session_that_is_named_gets_its_transcript_through_the_console_script(cloud: "Cloud") -> None:
    store(cloud, "s1")

    ran = subprocess.run(
        [sys.executable, "-m", "deploy", "finalise", "s1", "--json"],
        env={**cloud.environment(), "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    [made] = json.loads(ran.stdout)["sessions"]
    assert (made["action"], made["status"], made["wordCount"]) == ("written", "completed", 3)
    assert "s1/transcription.vtt" in keys(cloud)


def test_a_session_with_gaps_that_is_named_gets_a_partial_one(cloud: "Cloud") -> None:
    store(cloud, "s1", gap=True)

    made = outcomes(run("alice/s1", "--json"))["s1"]

    assert (made["action"], made["status"], made["missingChunks"]) == ("written", "partial", ["002"])


def test_all_complete_takes_the_sessions_without_gaps_that_need_it(cloud: "Cloud") -> None:
    store(cloud, "done")
    run("done")
    store(cloud, "whole")
    store(cloud, "gaps", gap=True)
    cloud.put_audio("bob", "audio-only", "001")
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="users/odd", Body=b"")

    ran = run("--all-complete", "--json")

    assert ran.exit_code == 0
    assert {name: each["action"] for name, each in outcomes(ran).items()} == {"whole": "written"}
    assert "every session without a gap has its transcript" in run("--all-complete").stdout


def test_sessions_that_may_be_going_on_are_left_alone_by_all_complete(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIBEFLEET_SCAN_MIN_AGE_SECONDS", "600")
    store(cloud, "young")

    assert outcomes(run("--all-complete", "--json")) == {}


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(cloud: "Cloud") -> None:
    store(cloud, "s1")
    before = keys(cloud)

    ran = run("s1", "--dry-run", "--json")

    assert outcomes(ran)["s1"]["action"] == "would be written"
    assert keys(cloud) == before


def test_a_table_tells_people_what_was_done(cloud: "Cloud") -> None:
    store(cloud, "[bold]s1")

    ran = run("[bold]s1")

    assert "alice/[bold]s1" in ran.stdout
    assert "completed" in ran.stdout


def test_an_unknown_session_is_answered_with_the_closest_and_nothing_is_written(cloud: "Cloud") -> None:
    store(cloud, "monday")
    before = keys(cloud)

    with pytest.raises(ConfigurationError, match="alice/monday"):
        run("monday", "mondai")

    assert keys(cloud) == before


def test_one_of_a_name_and_all_complete_has_to_be_given() -> None:
    assert run().exit_code == 2
    assert run("s1", "--all-complete").exit_code == 2


def test_what_fails_for_one_session_does_not_keep_the_next_from_being_done(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    store(cloud, "s1")
    store(cloud, "s2")
    really = SessionFinaliser.finalise

    def fails_for_the_first(self: SessionFinaliser, path: str) -> Finalised:
        if path.endswith("/s1"):
            raise TransientError("it kept changing")
        return really(self, path)

    monkeypatch.setattr(SessionFinaliser, "finalise", fails_for_the_first)

    ran = run("s1", "s2", "--json")

    assert ran.exit_code == 1
    made = outcomes(ran)
    assert (made["s1"]["action"], made["s1"]["why"]) == ("failed", "it kept changing")
    assert made["s2"]["action"] == "written"
