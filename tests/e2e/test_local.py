"""`scribefleet local` as a user runs it: the installed command in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytest
from click.testing import CliRunner

from deploy.cli import cli
from sample_tree import CHUNKS, SAMPLES, add_session, reference_text, session_text
from shared.formats.layout import transcript_key
from tests.fixtures.signals import interruptible_children

SCRIBEFLEET = (sys.executable, "-m", "deploy")


def scribefleet(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*SCRIBEFLEET, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environment},
    )


def transcribed(root: Path, session: str, *, of: Collection[str] = CHUNKS) -> list[str]:
    return [chunk for chunk in of if (root / transcript_key(session, chunk)).exists()]


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@dataclass(frozen=True, slots=True)
class Run:
    """One run over three sessions: a broken one, the slices of one stream, and one that lacks its own transcript alone.

    Attributes:
        broken, sliced, unfinished: the sessions' paths below `root`.
    """

    root: Path
    broken: str
    sliced: str
    unfinished: str
    ended: "subprocess.CompletedProcess[str]"

    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.ended.stdout)
        return content

    def reasons(self, user: str) -> dict[str, str]:
        """Chunk -> why it failed, in the words for programs; empty for one that was filled."""
        chunks = (chunk for chunk in self.result()["chunks"] if chunk["userId"] == user)
        return {chunk["chunk"]: (chunk["reason"] or "").split(":")[0] for chunk in chunks}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("recordings")
    # gaps of whole audio, of none, of half, of garbage and of a web page; and a file that is nothing
    broken = add_session(root, "alice", "s1", gaps=("002", "003", "004", "005", "006", "010"))
    folder = root / broken
    whole = (SAMPLES / "restart" / "chunk-003.webm").read_bytes()
    (folder / "chunk-002.webm").write_bytes(b"")
    (folder / "chunk-003.webm").write_bytes(whole[: len(whole) * 2 // 5])
    (folder / "chunk-004.webm").write_bytes(bytes(range(256)) * 40)
    (folder / "chunk-005.webm").write_bytes(b"<!DOCTYPE html><html><body>504</body></html>")
    (folder / "notes.txt").write_text("not of the layout")
    # slices of one stream, of which one is named as if it were another format
    sliced = add_session(root, "carol", "s1", gaps=CHUNKS, recorder="timeslice")
    (root / sliced / "chunk-004.webm").rename(root / sliced / "chunk-004.mp4")
    unfinished = add_session(root, "bob", "s2")
    return Run(root, broken, sliced, unfinished, scribefleet("local", str(root), "--json"))


@pytest.mark.e2e
@pytest.mark.model
def test_broken_chunks_fail_with_their_reasons_and_all_others_are_filled(ran: Run) -> None:
    assert ran.ended.returncode == 1, ran.ended.stderr
    result = ran.result()
    assert (result["sessions"], result["gaps"], result["filled"], result["failed"]) == (3, 16, 12, 4)
    assert ran.reasons("alice") == {
        "002": "audio-empty",
        "003": "audio-damaged",
        "004": "audio-not-audio",
        "005": "audio-not-audio",
        "006": "",
        "010": "",
    }
    assert len(result["ignoredFiles"]) == 1
    assert transcribed(ran.root, ran.broken) == [c for c in CHUNKS if c not in {"002", "003", "004", "005"}]
    [report] = [Path(path) for path in result["reports"]]
    assert read_json(report)["status"] == "partial"
    whole_session = read_json(ran.root / ran.broken / "transcription.json")
    assert (whole_session["status"], whole_session["missingChunks"]) == ("partial", ["002", "003", "004", "005"])
    errors = read_json(report)["errors"]
    assert sorted(error["chunk"] for error in errors) == ["002", "003", "004", "005"]
    assert report.with_suffix(".html").read_text().startswith("<!")


@pytest.mark.e2e
@pytest.mark.model
def test_a_session_that_lacks_only_its_own_transcript_gets_it_from_the_scan(ran: Run) -> None:
    assert ran.reasons("bob") == {}
    assert read_json(ran.root / ran.unfinished / "transcription.json")["status"] == "completed"


@pytest.mark.e2e
@pytest.mark.model
def test_a_sliced_stream_is_filled_with_whole_words(ran: Run) -> None:
    assert ran.reasons("carol") == dict.fromkeys(CHUNKS, "")
    assert transcribed(ran.root, ran.sliced) == list(CHUNKS)
    errors = jiwer.wer(comparable(reference_text()), comparable(session_text(ran.root, ran.sliced)))
    assert errors <= 0.05  # chunk by chunk it is 0.1


@pytest.mark.e2e
@pytest.mark.model
def test_ctrl_c_hands_everything_back_and_a_second_run_completes_the_work(tmp_path: Path) -> None:
    # given: a run that has filled the first gaps of thirty
    sessions = [add_session(tmp_path, "bob", f"s{number}", gaps=CHUNKS) for number in range(3)]

    def done() -> list[tuple[str, str]]:
        return [(session, chunk) for session in sessions for chunk in transcribed(tmp_path, session)]

    with interruptible_children():
        running = subprocess.Popen(
            [*SCRIBEFLEET, "local", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    deadline = time.monotonic() + 180
    while not done():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # when
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=180)
    # then: it ended in order; every file is whole, and the report says that the run was interrupted
    assert running.returncode == 130, said
    assert "Traceback" not in said
    filled = done()
    assert 0 < len(filled) < 30
    assert all(read_json(tmp_path / transcript_key(session, chunk))["schema"] == 1 for session, chunk in filled)
    assert not list(tmp_path.rglob("*.unfinished"))
    [report] = (tmp_path / "batch-reports").glob("*.json")
    assert read_json(report)["status"] == "interrupted"
    # and: a second run does the rest and no more
    again = scribefleet("local", str(tmp_path), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["filled"] == 30 - len(filled)
    assert len(done()) == 30
    # and: a third one has nothing to do and says so
    third = scribefleet("local", str(tmp_path))
    assert third.returncode == 0
    assert "Nothing to do: 3 sessions, no gaps." in third.stdout


def comparable(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def test_a_folder_without_recordings_is_wrong_use(tmp_path: Path) -> None:
    ran = scribefleet("local", str(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr.startswith("scribefleet: no recordings in ")
    assert len(ran.stderr.splitlines()) == 1


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    ran = scribefleet("local", str(tmp_path / "nowhere"))
    assert ran.returncode == 2
    assert "does not exist" in ran.stderr


def test_without_a_model_one_line_says_how_to_get_one(tmp_path: Path) -> None:
    add_session(tmp_path, "alice", "s1", gaps=("001",))
    ran = scribefleet("local", str(tmp_path), "--model", "no-such-model")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "SCRIBEFLEET_MODEL_DIR" in ran.stderr
    assert not (tmp_path / "batch-reports").exists()


def test_a_missing_setting_is_named_with_what_it_takes() -> None:
    ran = scribefleet("scan", SCRIBEFLEET_TABLE_NAME="ledger")
    assert ran.returncode == 2
    lines = ran.stderr.splitlines()
    assert lines[0].startswith("scribefleet: SCRIBEFLEET_BUCKET is not set. It takes: ")
    assert len(lines) == 4


def test_help_of_every_command_is_there() -> None:
    ran = scribefleet("--help")
    assert ran.returncode == 0
    for command in ("local", "scan", "autoscale", "consume"):
        assert f"  {command}" in ran.stdout
        assert "Exit codes:" in CliRunner().invoke(cli, [command, "--help"]).stdout
