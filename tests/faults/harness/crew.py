"""The fleet's processes: who is started how, under which actor's port of the proxy, and with which variables.

It starts and ends. When, and what is to be made of it, is its callers' business.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from consumer.model.location import resolve_model_dir
from deploy.local.lambdas import LambdaRuntime
from shared.setting_groups import ENV_PREFIX
from shared.settings import Settings
from tests.faults.harness.hosts import Host
from tests.faults.harness.processes import ROOT, HarnessProcess, WorkerProcess
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.server import CloudServer

_WORKER: Final = "tests.faults.harness.worker"
_HANDLERS: Final = {"scanner": "producer.handler.handler", "autoscaler": "autoscaler.handler.handler"}
# Beyond the time that a worker takes for its drain: to report, and to end its threads. One second where nothing else
# runs; here everything may be many times slower, and what hangs does not end in any time.
_END_SECONDS: Final = 20.0


class Exit(NamedTuple):
    """How a process ended: exit code, or minus the signal that killed it."""

    actor: str
    status: int


@dataclass(frozen=True, slots=True)
class Ways:
    """How a worker is started.

    Attributes:
        clock_offset: seconds that its clock is ahead.
        seconds_per_window: what the scripted transcriber takes.
        env: variables on top of the fleet's.
        until_empty: it ends when the queue stays empty.
        most_file_bytes: no file may grow beyond, its log included: a full disk.
        model: a real one, such as `tiny.en`, in place of the scripted transcriber. Then it is `scribefleet consume` as
            it is, and what is said about clock, windows and files does not concern it.
    """

    clock_offset: float = 0
    seconds_per_window: float = 0.15
    env: Mapping[str, str] = field(default_factory=dict)
    until_empty: bool = False
    most_file_bytes: int | None = None
    model: str | None = None

    def command(self) -> tuple[str, list[str]]:
        """The module that is run, and its arguments."""
        ending = ["--until-empty"] if self.until_empty else []
        if self.model is not None:
            return "deploy", ["consume", *ending]
        arguments = [f"--seconds-per-window={self.seconds_per_window}", f"--clock-offset={self.clock_offset}", *ending]
        if self.most_file_bytes is not None:
            arguments.append(f"--most-file-bytes={self.most_file_bytes}")
        return _WORKER, arguments

    def variables(self) -> dict[str, str]:
        """What it gets beside the fleet's variables."""
        if self.model is None:
            return dict(self.env)
        directory = resolve_model_dir(self.model, None)
        return {_variable("model"): self.model, _variable("model_dir"): str(directory), **self.env}


class Crew:
    """Starts the processes of one fleet.

    Attributes:
        processes: all that were ever started but functions, in order.
    """

    def __init__(self, server: CloudServer, proxy: FaultProxy, settings: Settings, logs: Path) -> None:
        self._server = server
        self._proxy = proxy
        self._settings = settings
        self._logs = logs
        self._functions: dict[str, LambdaRuntime] = {}
        self.processes: list[HarnessProcess] = []

    @property
    def exits(self) -> tuple[Exit, ...]:
        """How each process ended that has, in the order in which they were started."""
        ended = ((process.actor, process.returncode) for process in tuple(self.processes))
        return tuple(Exit(actor, status) for actor, status in ended if status is not None)

    def environment(self, actor: str) -> dict[str, str]:
        """The variables under which a process is this actor: AWS's with its port of the proxy, and the settings."""
        fields = self._settings.model_dump(mode="json", exclude_none=True)
        ours = {_variable(name): str(value) for name, value in fields.items()}
        return self._server.at(self._proxy.endpoint(actor)).environment | ours

    def invoke(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke the function `scanner` or `autoscaler`, in its own warm process; returns its answer.

        Raises:
            EmbeddedCloudError: it failed.
        """
        if function not in self._functions:
            log = self._logs / f"{function}.log"
            self._functions[function] = LambdaRuntime(_HANDLERS[function], ROOT, self.environment(function), log)
        return self._functions[function].invoke(event)

    def command(
        self, actor: str, arguments: Sequence[str], host: Host | None = None, module: str = "deploy"
    ) -> HarnessProcess:
        """Start a `scribefleet` command, of a host where one is given; or another module that is run like it."""
        environment = self.environment(actor) | _metadata(host)
        return self._began(HarnessProcess(actor, module, arguments, environment, self._logs))

    def worker(self, actor: str, ways: Ways, host: Host | None = None) -> WorkerProcess:
        """Start a worker, of a host where one is given; else it is no EC2 instance.

        Raises:
            ValueError: the actor has a worker that still runs.
        """
        if any(process.actor == actor and process.alive for process in self.processes):
            raise ValueError(f"{actor} still runs: two processes of one actor could not be told apart")
        module, arguments = ways.command()
        environment = self.environment(actor) | _metadata(host) | ways.variables()
        process = WorkerProcess(actor, module, arguments, environment, self._logs)
        self._began(process)
        return process

    def stop_workers(self) -> None:
        """Ask all workers to end, side by side, and wait; kill those that do not."""
        workers = [process for process in self.processes if isinstance(process, WorkerProcess)]
        self._end(workers, self._settings.drain_seconds + _END_SECONDS)

    def close(self) -> None:
        """End everything that still runs."""
        for function in self._functions.values():
            function.close()
        self._end(self.processes, self._settings.drain_seconds + 1)

    def _end(self, processes: Iterable[HarnessProcess], grace_seconds: float) -> None:
        alive = [process for process in processes if process.alive]
        for process in alive:
            process.terminate()
        for process in alive:
            process.reap(grace_seconds)

    def _began(self, process: HarnessProcess) -> HarnessProcess:
        self.processes.append(process)
        self._proxy.register(process.actor, _pid_of(process))
        return process


def _pid_of(process: HarnessProcess) -> Callable[[], int | None]:
    return lambda: process.pid if process.alive else None


def _metadata(host: Host | None) -> dict[str, str]:
    if host is None:
        return {"AWS_EC2_METADATA_DISABLED": "true"}
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": host.metadata_endpoint}


def _variable(field_name: str) -> str:
    return (ENV_PREFIX + field_name).upper()
