"""A real worker process under a service manager's watch: what it says, and to whom."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.mark.e2e
@pytest.mark.model
def test_a_worker_says_that_it_is_ready_then_that_it_lives_then_that_it_ends(cloud: "Cloud", tmp_path: Path) -> None:
    # given: systemd's end of the notification socket, and an empty queue
    address = str(tmp_path / "notify")
    alive = tmp_path / "alive"
    environment = os.environ | cloud.environment()
    environment |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "600000000",
    }
    environment.pop("WATCHDOG_PID", None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        command = [sys.executable, "-m", "deploy", "consume", "--until-empty", "--alive-file", str(alive)]
        done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        manager.setblocking(False)
        said = [manager.recv(4096).decode() for _ in range(3)]
    assert said == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    assert alive.exists()
