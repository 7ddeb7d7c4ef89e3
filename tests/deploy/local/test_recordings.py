"""A folder of recordings: what counts as one, and that results are written whole or not at all."""

import os
from pathlib import Path

import pytest

from deploy.local.recordings import read_recordings, write_result
from sample_tree import sample_tree
from shared.errors import ConfigurationError


def test_the_folder_is_read_as_the_scanner_reads_the_bucket(tmp_path: Path) -> None:
    sample_tree(tmp_path)
    (tmp_path / "users" / "alice" / "notes.txt").write_text("mine")
    (tmp_path / "elsewhere.webm").write_text("not under users/")
    recordings = read_recordings(tmp_path)
    assert recordings.sessions == 4
    assert recordings.gaps == 24
    assert [(s.user_id, len(s.gaps)) for s in recordings.with_gaps] == [("alice", 4), ("bob", 10), ("carol", 10)]
    assert recordings.unfinished == ("users/alice/audio/sessions/2026-03-02-complete",)
    assert recordings.ignored == ("users/alice/notes.txt",)
    assert len(recordings.keys) == 40 + 16


def test_a_file_whose_name_is_not_utf_8_is_left_alone(tmp_path: Path) -> None:
    sample_tree(tmp_path)
    odd = os.fsencode(tmp_path / "users/bob/audio/sessions/2026-03-04-never-transcribed") + b"/chunk-\xff.webm"
    Path(os.fsdecode(odd)).write_bytes(b"audio")
    recordings = read_recordings(tmp_path)
    assert len(recordings.ignored) == 1
    assert recordings.gaps == 24


def test_a_folder_with_transcripts_alone_holds_no_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "users/u/audio/sessions/s"
    folder.mkdir(parents=True)
    (folder / "transcription-chunk-001.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="no recordings in"):
        read_recordings(tmp_path)


def test_a_result_is_written_beside_its_audio(tmp_path: Path) -> None:
    written = write_result(tmp_path, "users/u/audio/sessions/s/transcription-chunk-001.json", b"{}")
    assert written.read_bytes() == b"{}"
    assert [path.name for path in written.parent.iterdir()] == ["transcription-chunk-001.json"]


@pytest.mark.parametrize("key", ["../outside.json", "users/../../outside.json", "/outside.json"])
def test_a_key_cannot_lead_out_of_the_folder(tmp_path: Path, key: str) -> None:
    inside = tmp_path / "recordings"
    inside.mkdir()
    with pytest.raises(ValueError, match="not a key of this folder"):
        write_result(inside, key, b"x")
    assert not (tmp_path / "outside.json").exists()
