"""Starts and ends the embedded cloud's processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What a child needs of the surroundings. Everything else of AWS stays out: an operator's real credentials, profile
# and endpoints must not reach a process that is to talk to the embedded cloud alone.
_KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: a few variables of this one's, and `extra`."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(extra)


def start_tethered(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log_file: Path
) -> "subprocess.Popen[bytes]":
    """Run a module in a process of its own that ends with this one; its output is appended to `log_file`.

    The process gets a session of its own, so that Ctrl-C reaches only this process, which then ends the others in
    the right order.
    """
    command = [sys.executable, "-m", "deploy.local.tether", module, *arguments]
    with log_file.open("ab") as log:
        # This interpreter and our own modules; no shell.
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=dict(environment), start_new_session=True
        )


def end(process: "subprocess.Popen[Any]", grace_seconds: float) -> int:
    """Ask a process to stop with SIGTERM, kill it when it takes longer than the grace; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    code = process.wait()
    if process.stdin:
        process.stdin.close()
    return code
