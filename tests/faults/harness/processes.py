"""The harness's real processes: starts them tethered, keeps their output, signals them, ends them.

It must not know what they are; `fleet` and `hosts` say that.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.local.processes import clean_environment, end, start_tethered

ROOT: Final = Path(__file__).resolve().parents[3]
_POLL_INTERVAL_SECONDS: Final = 0.02


class NotInTimeError(Exception):
    """What was waited for did not happen; the text says what."""


class HarnessProcess:
    """One process, which ends with the harness whatever becomes of it.

    Args:
        actor: who it is at the proxy, and the name of its log.
        module: what `python -m` runs.
        environment: what it gets beside the few variables that every child needs.
        logs: an existing directory; all that the process says is appended to `{actor}.log` there.
    """

    def __init__(
        self, actor: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], logs: Path
    ) -> None:
        self.actor = actor
        self.log_file = logs / f"{actor}.log"
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        variables = clean_environment({"PYTHONPATH": path, **environment})
        self._process = start_tethered(module, arguments, variables, self.log_file)
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; minus a signal's number when one killed it; `None` while it runs."""
        return self._process.poll()

    @property
    def alive(self) -> bool:
        return self.returncode is None

    def signal(self, number: int) -> None:
        """Send a signal; to a process that has ended it is nothing."""
        self._process.send_signal(number)

    def kill(self) -> int:
        """`kill -9`, and wait until it is gone."""
        self._process.kill()
        return self._closed()

    def wait(self, timeout: float) -> int:
        """Wait until it ends; returns its exit code.

        Raises:
            NotInTimeError: it still runs after `timeout` seconds.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotInTimeError(f"{self.actor} still runs after {timeout:g} s; see {self.log_file}") from None
        return self._closed()

    def terminate(self) -> None:
        """SIGTERM, once; a process that was paused goes on first."""
        if self.alive:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)

    def reap(self, grace_seconds: float) -> int:
        """Wait for a process that was asked to end, and kill it when the grace is over; returns its exit code."""
        # Without another SIGTERM: a worker takes a second one as an order to drop what it has in hand.
        try:
            return self.wait(grace_seconds)
        except NotInTimeError:
            return self.kill()

    def log(self) -> str:
        """What this process has said so far; not what an earlier one of the same actor did."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log's events, or those of one name, in order; lines that are none are left out."""
        found = [event for line in self.log().splitlines() if (event := _event(line))]
        return [event for event in found if name is None or event.get("event") == name]

    def wait_for_event(self, name: str, timeout: float) -> dict[str, Any]:
        """Wait for the first event of a name.

        Raises:
            NotInTimeError: it did not come within `timeout` seconds, or the process ended before.
        """
        deadline = time.monotonic() + timeout
        while True:
            alive = self.alive  # before the look: what an ending process said last still counts
            if events := self.events(name):
                return events[0]
            if not alive or time.monotonic() > deadline:
                what = "within that time" if alive else f"before it ended with {self.returncode}"
                raise NotInTimeError(f"{self.actor} did not say {name!r} {what}; see {self.log_file}")
            time.sleep(_POLL_INTERVAL_SECONDS)

    def _closed(self) -> int:
        return end(self._process, 0)


class WorkerProcess(HarnessProcess):
    """A worker."""

    def wait_ready(self, timeout: float = 20) -> None:
        """Wait until it takes jobs; raises as `wait_for_event` does."""
        self.wait_for_event("ready", timeout)


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
