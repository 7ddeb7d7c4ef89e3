"""`scribefleet local` on the command line, as far as it needs no fleet."""

import json
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from deploy.local import cli
from deploy.local.recordings import Recordings, read_recordings
from sample_tree import add_session


def test_what_is_logged_meanwhile_does_not_get_into_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_session(tmp_path, "alice", "s1")

    def read_and_log(directory: Path) -> Recordings:
        structlog.get_logger().warning("something_is_odd")
        return read_recordings(directory)

    monkeypatch.setattr(cli, "read_recordings", read_and_log)

    ran = CliRunner().invoke(cli.local, [str(tmp_path), "--json"])

    assert json.loads(ran.stdout)["gaps"] == 0
    assert "something_is_odd" in ran.stderr
