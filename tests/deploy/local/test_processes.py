"""The embedded cloud's processes: what they inherit, and that none outlives the command that started it."""

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deploy.local.processes import clean_environment, end, start_tethered


def test_a_child_gets_nothing_of_the_users_aws_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example")
    monkeypatch.setenv("SCRIBEFLEET_BUCKET", "production-recordings")
    environment = clean_environment({"AWS_REGION": "us-east-1"})
    assert {name for name in environment if name.startswith(("AWS_", "SCRIBEFLEET_"))} == {"AWS_REGION"}
    assert environment["PATH"] == os.environ["PATH"]


SLEEPER = "import signal; print('up', flush=True); signal.pause()"


def _module(folder: Path, body: str) -> dict[str, str]:
    (folder / "sleeper.py").write_text(body)
    return clean_environment({"PYTHONPATH": str(folder)})


def test_a_process_is_asked_to_stop_and_its_exit_code_told(tmp_path: Path) -> None:
    process = start_tethered("sleeper", [], _module(tmp_path, SLEEPER), tmp_path / "log")
    assert end(process, grace_seconds=30) == -15


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w').close(); signal.pause()"
    stubborn += "\nwhile True: signal.pause()"
    environment = _module(tmp_path, stubborn.replace("'up'", repr(str(tmp_path / "up"))))
    process = start_tethered("sleeper", [], environment, tmp_path / "log")
    while not (tmp_path / "up").exists():
        assert process.poll() is None
    assert end(process, grace_seconds=0.1) == -9


def test_a_process_ends_when_the_one_that_started_it_is_killed(tmp_path: Path) -> None:
    # given: a parent with a tethered child that says its process id
    parent = textwrap.dedent(
        """
        import pathlib, signal, sys
        from deploy.local.processes import clean_environment, start_tethered
        folder = pathlib.Path(sys.argv[1])
        child = start_tethered("sleeper", [], clean_environment({"PYTHONPATH": str(folder)}), folder / "log")
        print(child.pid, flush=True)
        signal.pause()
        """
    )
    _module(tmp_path, SLEEPER)
    started = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    child = int(started.stdout.readline())
    # when
    started.kill()
    started.wait(30)
    started.stdout.close()
    # then: the child ends too, by itself
    pidfd = os.pidfd_open(child) if Path(f"/proc/{child}").exists() else None
    if pidfd is not None:
        assert select.select([pidfd], [], [], 30)[0] == [pidfd]
        os.close(pidfd)
