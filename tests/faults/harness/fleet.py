"""A whole fleet under faults: cloud, proxy, recordings, and real processes of scanner, autoscaler and workers.

Scripts of faults speak to it. It brings the parts together and waits for rest; what goes wrong is for rules, scripts
and hosts, and whether the fleet bore it is for the invariants.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from shared.aws.sqs import queue_depth
from shared.settings import Settings
from shared.state.lock import LockState
from tests.faults.harness.crew import Crew, Exit, Ways
from tests.faults.harness.dead_letters import DeadLetter, DeadLetters
from tests.faults.harness.hosts import Host, Hosts, Manners
from tests.faults.harness.processes import HarnessProcess, NotInTimeError, WorkerProcess
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.recorder import Hold, Recorder
from tests.faults.harness.server import Clients, CloudServer, cloud_server, make_pool, make_resources
from tests.faults.harness.sessions import RecordedSession, Recordings

_POLL_INTERVAL_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 60.0
# EC2's states of an instance whose run is over.
_OVER: Final = frozenset({"stopped", "terminated"})


class NotSettledError(NotInTimeError):
    """The fleet has not come to rest; the text says what is left."""


class Fleet:
    """Make it with `fleet`.

    Attributes:
        workspace: for whatever a script writes; `logs` is in it, with a log for each actor.
        settings: what every process gets.
        cloud: bare clients, which no fault strikes.
        crew: starts the processes.
        recordings: every session that was put, and what it says.
        recorder: takes and releases the lock.
    """

    def __init__(
        self, server: CloudServer, proxy: FaultProxy, settings: Settings, workspace: Path, *, seed: int, workers: int
    ) -> None:
        self.proxy = proxy
        self.settings = settings
        self.workspace = workspace
        self.seed = seed
        self.cloud: Clients = server.clients
        self.logs = workspace / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.crew = Crew(server, proxy, settings, self.logs)
        self.recordings = Recordings(self.cloud.s3, settings.bucket)
        self.recorder = Recorder(server.at(proxy.endpoint("recorder")).s3(), settings)
        self._workers = workers
        self._letters = DeadLetters(self.cloud.sqs, settings.dead_letter_queue_url)
        self._pool: Hosts | None = None
        self._supervision = ExitStack()

    # --- recordings and the lock

    def put_session(
        self, user: str, session: str, chunks: Iterable[int] = range(1, 13), transcribed: Collection[int] = ()
    ) -> RecordedSession:
        """Put coded audio with these chunk numbers, and live transcripts where named; later calls add more."""
        return self.recordings.put_session(user, session, chunks, transcribed)

    def put_recording(
        self, user: str, session: str, kind: str = "restart", transcribed: Collection[int] = ()
    ) -> RecordedSession:
        """Put ten chunks of real speech, for workers with a real model."""
        return self.recordings.put_recording(user, session, kind, transcribed)

    @property
    def sessions(self) -> tuple[RecordedSession, ...]:
        return tuple(self.recordings)

    def take_lock(self, user: str, session: str, *, seconds_ago: float = 0) -> LockState:
        """As a recorder: take the lock for a live session, or refresh its hold."""
        return self.recorder.take(user, session, seconds_ago=seconds_ago)

    def release_lock(self, user: str, session: str) -> LockState:
        """As a recorder: release a live session's hold."""
        return self.recorder.release(user, session)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """When live sessions held the lock."""
        return self.recorder.holds

    # --- scanner and autoscaler

    def scan(self) -> dict[str, Any]:
        """Let the scanner's function run once, in its own process; returns its answer.

        Raises:
            EmbeddedCloudError: it failed.
        """
        return self.crew.invoke("scanner", {"enqueue": True})

    def tick(self) -> dict[str, Any]:
        """Let the autoscaler's function run once, in its own process; returns its answer.

        Raises:
            EmbeddedCloudError: it failed.
        """
        return self.crew.invoke("autoscaler", {})

    def start_scan(self, actor: str = "scanner") -> HarnessProcess:
        """Start `scribefleet scan --enqueue`."""
        return self.crew.command(actor, ["scan", "--enqueue"])

    def start_tick(self, actor: str = "autoscaler") -> HarnessProcess:
        """Start `scribefleet autoscale`."""
        return self.crew.command(actor, ["autoscale"])

    def start_command(self, actor: str, *arguments: str) -> HarnessProcess:
        """Start any other `scribefleet` command."""
        return self.crew.command(actor, arguments)

    # --- workers

    def start_worker(self, actor: str = "worker-1", **ways: Any) -> WorkerProcess:
        """Start a worker that is no EC2 instance and polls until it is asked to end; `ways` are fields of `Ways`."""
        return self.crew.worker(actor, Ways(**ways))

    def start_workers(self, count: int | None = None, **ways: Any) -> list[WorkerProcess]:
        """Start `worker-1`, `worker-2`, …: as many as the fleet was made for unless told."""
        return [self.start_worker(f"worker-{n}", **ways) for n in range(1, (count or self._workers) + 1)]

    def hosts(
        self,
        count: int | None = None,
        *,
        manners: Manners | None = None,
        instead: Mapping[int, Ways] | None = None,
        **ways: Any,
    ) -> Hosts:
        """Make stopped instances of the pool. From now on those that run have a worker: `worker-1` and so on.

        Args:
            ways: fields of `Ways` for all workers.
            instead: number -> how this host's worker is started instead.
        """
        if self._pool is not None:
            raise ValueError("the fleet has its hosts already")
        manners = manners or Manners()
        ids = make_pool(self.cloud.ec2, self.settings.fleet_name, count or self._workers)
        hosts = [Host(instance, f"worker-{number}", manners) for number, instance in enumerate(ids, 1)]
        each = {host.actor: (instead or {}).get(number, Ways(**ways)) for number, host in enumerate(hosts, 1)}
        self._pool = Hosts(
            self.cloud.ec2,
            hosts,
            manners,
            start_worker=lambda host: self.crew.worker(host.actor, each[host.actor], host),
            start_stop=lambda host: self.crew.command(host.actor, ["stop-host"], host),
            reboots=self._reboots,
        )
        self._supervision.enter_context(self._pool.running())
        return self._pool

    def host(self, number: int) -> Host:
        """The host of `worker-{number}`.

        Raises:
            LookupError: there is none.
        """
        for host in self._pool or ():
            if host.actor == f"worker-{number}":
                return host
        raise LookupError(f"there is no host {number}")

    def stop_workers(self) -> None:
        """Ask all workers to end, side by side, and wait; kill those that do not. Hosts start none any more."""
        self._supervision.close()
        self.crew.stop_workers()

    @property
    def processes(self) -> tuple[HarnessProcess, ...]:
        """All that were ever started but the functions, those of hosts too, in order."""
        return tuple(self.crew.processes)

    @property
    def exits(self) -> tuple[Exit, ...]:
        """How each of them ended that has."""
        return self.crew.exits

    # --- rest

    def dead_letters(self) -> list[DeadLetter]:
        """What is on the dead-letter queue; it stays there."""
        return self._letters.all()

    def settled(self, timeout: float = _SETTLE_SECONDS) -> float:
        """Wait until no message waits, is in flight or delayed, and no gap is left that is no dead letter.

        Returns:
            The seconds that it took.

        Raises:
            NotSettledError: it took longer.
        """
        return _wait_for_nothing(self.unsettled, timeout)

    def sessions_finished(self, timeout: float = _SETTLE_SECONDS) -> float:
        """Wait until every session that had gaps and has none has its transcript; as `settled` otherwise."""
        return _wait_for_nothing(self._unfinished, timeout)

    def instances_stopped(self, timeout: float = _SETTLE_SECONDS) -> float:
        """Wait until the pool's instances are stopped and nothing runs on them; as `settled` otherwise."""
        return _wait_for_nothing(self._running, timeout)

    def unsettled(self) -> str:
        """What keeps the fleet from being at rest, in words; empty when nothing does."""
        urls = (self.settings.priority_queue_url, self.settings.jobs_queue_url)
        depth = queue_depth(self.cloud.sqs, urls[0]) + queue_depth(self.cloud.sqs, urls[1])
        if depth.total:
            return f"{depth.visible} messages visible, {depth.in_flight} in flight, {depth.delayed} delayed"
        there = self._keys()
        gaps = {(each.user, each.session, chunk) for each in self.sessions for chunk in each.unfilled(there)}
        if gaps:
            gaps -= {(letter.user, letter.session, letter.chunk) for letter in self.dead_letters()}
        named = ", ".join(f"{session}/{chunk}" for _, session, chunk in sorted(gaps)[:5])
        return f"{len(gaps)} gaps without a transcript or a dead letter: {named}" if gaps else ""

    def _unfinished(self) -> str:
        there = self._keys()
        left = [each.session for each in self.sessions if not each.is_finished(there)]
        return f"no transcript yet of the sessions {', '.join(left[:5])}" if left else ""

    def _running(self) -> str:
        hosts = tuple(self._pool or ())
        states = self._pool.states() if self._pool else {}
        up = [host for host in hosts if states[host.instance_id] not in _OVER or host.is_up]
        return ", ".join(f"the host of {host.actor} is {states[host.instance_id]}" for host in up)

    def _keys(self) -> set[str]:
        pages = self.cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket, Prefix="users/")
        return {listed["Key"] for page in pages for listed in page.get("Contents", ())}

    def _reboots(self, instance_id: str) -> int:
        calls = self.proxy.journal.calls("ec2:RebootInstances", target=instance_id)
        return sum(entry.effective for entry in calls)

    def close(self) -> None:
        """End everything that still runs."""
        self._supervision.close()
        self.crew.close()
        if self._pool:
            self._pool.close()


@contextmanager
def fleet(
    workspace: Path, *, seed: int = 0, workers: int = 2, server: CloudServer | None = None, **settings: Any
) -> Iterator[Fleet]:
    """A fleet without work and without workers, for as long as the block lasts; then nothing of it runs any more.

    Args:
        workspace: a directory for logs and the like; it is made.
        seed: of everything that is drawn.
        workers: how many `start_workers` and `hosts` make unless told, and the most instances that may run.
        server: a cloud to empty and use; else the fleet has one of its own.
        settings: fields of `Settings`, on top of short waits (`tests.faults.harness.server`).
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with ExitStack() as parts:
        if server is None:
            server = parts.enter_context(cloud_server(workspace / "cloud"))
        else:
            server.reset()
        made = make_resources(server.clients, **({"max_instances": workers} | settings))
        proxy = parts.enter_context(FaultProxy(server.endpoint, seed))
        running = Fleet(server, proxy, made, workspace, seed=seed, workers=workers)
        parts.callback(running.close)
        yield running


def _wait_for_nothing(what_is_left: Callable[[], str], timeout: float) -> float:
    began = time.monotonic()
    while left := what_is_left():
        if time.monotonic() - began > timeout:
            raise NotSettledError(f"after {timeout:g} s: {left}")
        time.sleep(_POLL_INTERVAL_SECONDS)
    return time.monotonic() - began
