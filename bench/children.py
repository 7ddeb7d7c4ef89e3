"""Runs the measured code in fresh Python processes, cut off from the caller's AWS configuration.

A process of its own gives every run the same start: no modules imported before, no memory grown before, no
credentials or endpoint of the person who runs the bench. Knows nothing of what is measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.errors import ScribefleetError

PROJECT = Path(__file__).resolve().parents[1]


class MeasurementError(ScribefleetError):
    """A measurement could not be taken at all; the text says why."""


def environment(**extra: str) -> dict[str, str]:
    """The environment for a child: this process's own without AWS or fleet variables, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SCRIBEFLEET_"))}
    isolation = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        # A proxy between the two sides would be measured instead of them.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return kept | isolation | extra


def run_python(arguments: Sequence[str], env: Mapping[str, str], timeout_seconds: float) -> str:
    """Run this interpreter from the project's folder and return what it wrote to stdout.

    Raises:
        MeasurementError: it exited with an error or outlasted `timeout_seconds`, after which it has been killed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and our own modules
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{_shown(arguments)} did not end within {timeout_seconds:.0f} s") from None
    if done.returncode != 0:
        raise MeasurementError(f"{_shown(arguments)} ended with {done.returncode}: {_last_line(done.stderr)}")
    return done.stdout


def run_python_json(arguments: Sequence[str], env: Mapping[str, str], timeout_seconds: float) -> dict[str, Any]:
    """Like `run_python`, for a child whose last line on stdout is a JSON object."""
    lines = run_python(arguments, env, timeout_seconds).strip().splitlines()
    try:
        answer = json.loads(lines[-1] if lines else "")
    except ValueError:
        raise MeasurementError(f"{_shown(arguments)} did not answer in JSON") from None
    if not isinstance(answer, dict):
        raise MeasurementError(f"{_shown(arguments)} did not answer with a JSON object")
    return answer


def _last_line(stderr: str) -> str:
    """What a traceback comes down to. The lines above it name paths of this machine, and results are published."""
    lines = stderr.strip().splitlines()
    return lines[-1].strip().replace(f"{PROJECT}{os.sep}", "") if lines else "nothing on stderr"


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(["python", *arguments]).splitlines()[0]
