"""The GPU host, looked at from inside: would a worker run here?

It asks the same things of the host that the worker needs, through the worker's own code, and changes nothing.
"""

import ctypes
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from pydantic import ValidationError

from deploy.doctor.examination import Check, examine
from deploy.doctor.finding import Finding, failure, ok, unknown, warning
from shared.clock import Clock
from shared.errors import ScribefleetError
from shared.setting_groups import ENV_PREFIX, ModelSettings
from shared.settings import Settings

WORKER_ENVIRONMENT: Final = Path("/etc/scribefleet/worker.env")
WORKER_UNIT: Final = "scribefleet-worker.service"

# What CTranslate2 4.5 and later load at the first inference on a GPU: CUDA 12 with cuDNN 9.
_CUDA_LIBRARIES: Final = ("libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9")
_COMMAND_SECONDS: Final = 20
# A model, its libraries and a few days' logs; below the second, a worker cannot even write its report.
_LITTLE_GB: Final = 5.0
_TOO_LITTLE_GB: Final = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed; `code` is its exit status, `None` where there is no such command."""

    code: int | None
    text: str


Run = Callable[[Sequence[str]], Answer]


@dataclass(frozen=True, slots=True)
class Host:
    """What checks look at.

    Attributes:
        run: runs a command of the host.
        load_library: loads a shared library, or raises `OSError`.
        gpus: how many GPUs CTranslate2 can use.
        free_bytes: room on the root volume.
        environment: the file with the worker's variables.
        model: the model's settings as the worker has them.
    """

    run: Run
    load_library: Callable[[str], object]
    gpus: Callable[[], int]
    free_bytes: Callable[[], int]
    environment: Path
    model: ModelSettings
    clock: Clock


def this_host(model: ModelSettings, clock: Clock, environment: Path = WORKER_ENVIRONMENT) -> Host:
    """The host that this process runs on; `model` holds where the worker's own file says nothing or is not there."""
    unit = unit_environment(_run)
    libraries = [Path(each) for each in unit.get("LD_LIBRARY_PATH", "").split(":") if each]
    return Host(
        run=_run,
        load_library=partial(_load_library, libraries),
        gpus=_gpus,
        free_bytes=_free_bytes,
        environment=environment,
        model=worker_model(unit, environment) or model,
        clock=clock,
    )


def unit_environment(run: Run) -> dict[str, str]:
    """The variables that the worker's unit sets by itself; none where there is no such unit."""
    answer = run(["systemctl", "show", "--property=Environment", "--value", WORKER_UNIT])
    words = shlex.split(answer.text) if answer.code == 0 else []
    return dict(word.split("=", 1) for word in words if "=" in word)


def worker_model(unit: Mapping[str, str], environment: Path) -> ModelSettings | None:
    """The model's settings as the worker has them: the file wins over the unit. `None` where neither says anything."""
    file = {name: value for name, value in dotenv_values(environment, interpolate=False).items() if value}
    given = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in {**unit, **file}.items()}
    ours: dict[str, Any] = {name: value for name, value in given.items() if name in ModelSettings.model_fields}
    try:
        return ModelSettings(**ours) if ours else None
    except ValidationError:
        return None  # `look_at_settings` says what is wrong


def examine_host(host: Host) -> list[Finding]:
    """Everything that a worker needs of its host."""
    return examine(CHECKS, host)


def look_at_driver(host: Host) -> Iterator[Finding]:
    """The GPU and its driver."""
    answer = host.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    if answer.code == 0 and answer.text:
        yield ok("GPU", "; ".join(answer.text.splitlines()))
        return
    seen = "there is no nvidia-smi" if answer.code is None else f"nvidia-smi failed: {answer.text or answer.code}"
    remedy = (
        "boot an AMI with the NVIDIA driver; after a kernel upgrade: sudo apt-get install --reinstall nvidia-dkms-*"
    )
    yield _without_gpu(host.model, seen, remedy)


def look_at_cuda(host: Host) -> Iterator[Finding]:
    """Whether CTranslate2 sees the GPU and its libraries load."""
    count = host.gpus()
    if not count:
        yield _without_gpu(
            host.model, "CTranslate2 sees no GPU", "see GPU; the worker's user needs access to /dev/nvidia*"
        )
        return
    yield ok("CUDA", f"CTranslate2 sees {count} GPU{'s' if count > 1 else ''}")
    missing = [name for name in _CUDA_LIBRARIES if not _loads(host, name)]
    if missing:
        yield failure(
            "CUDA",
            f"not found: {', '.join(missing)}",
            "run the install script on this host; it puts scribefleet[gpu] and its libraries where the unit looks",
        )
    else:
        yield ok("CUDA", f"{', '.join(_CUDA_LIBRARIES)} load")


def look_at_model(host: Host) -> Iterator[Finding]:
    """The model: there, whole, loads, and hears a known clip."""
    # Only a host has these packages; an operator's machine need not.
    from consumer.model.location import resolve_model_dir  # noqa: PLC0415
    from consumer.model.selftest import self_test  # noqa: PLC0415
    from consumer.model.whisper import WhisperTranscriber  # noqa: PLC0415

    remedy = "scribefleet model fetch, then scribefleet model check"
    if host.model.device != "cpu":
        # This process began without the unit's search path: CTranslate2 takes what is loaded already.
        for name in _CUDA_LIBRARIES:
            _loads(host, name)
    try:
        directory = resolve_model_dir(host.model.model, host.model.model_dir, host.model.model_store)
        heard = self_test(WhisperTranscriber(host.model, host.clock), host.clock)
    except ScribefleetError as error:
        yield failure("model", str(error), remedy)
        return
    seen = f"{directory} hears {heard.share_heard:.0%} of a known clip, {heard.rtfx:.0f} times real time"
    yield ok("model", seen)


def look_at_settings(host: Host) -> Iterator[Finding]:
    """The worker's variables, as its unit reads them."""
    if not host.environment.is_file():
        seen = f"{host.environment} is not there: the instance's first boot has not written it"
        yield failure("settings", seen, "cloud-init status --long; or write the file as docs/settings.md describes")
        return
    try:
        settings = Settings(_env_file=host.environment)
    except ValidationError as error:
        wrong = sorted({f"SCRIBEFLEET_{problem['loc'][0]}".upper() for problem in error.errors()})
        yield failure("settings", f"{host.environment}: missing or wrong: {', '.join(wrong)}", "docs/settings.md")
        return
    yield ok("settings", f"{host.environment} is the worker of the fleet {settings.fleet_name}")


def look_at_disk(host: Host) -> Iterator[Finding]:
    """Room for the model and the logs."""
    free = host.free_bytes() / 1e9
    seen = f"{free:.1f} GB free on /"
    remedy = "sudo journalctl --vacuum-size=500M; or deploy with a larger RootVolumeGiB"
    if free < _TOO_LITTLE_GB:
        yield failure("disk", seen, remedy)
    elif free < _LITTLE_GB:
        yield warning("disk", seen, remedy)
    else:
        yield ok("disk", seen)


def look_at_metadata(_host: Host) -> Iterator[Finding]:
    """The instance metadata service, by version 2, through the worker's own reading."""
    from consumer.host.imds import instance_identity  # noqa: PLC0415

    identity = instance_identity()
    if identity is None:
        remedy = "on EC2: enable the metadata service; in a container its hop limit has to be 2"
        yield warning(
            "metadata", "no answer: not an EC2 instance, or the service is off; nothing stops this host", remedy
        )
    else:
        yield ok("metadata", f"{identity.instance_id} ({identity.instance_type})")


def look_at_unit(host: Host) -> Iterator[Finding]:
    """Whether the worker starts with the host."""
    answer = host.run(["systemctl", "is-enabled", WORKER_UNIT])
    if answer.code is None:
        yield unknown("unit", "there is no systemctl here", "look at whatever starts the worker on this host")
    elif answer.text == "enabled":
        state = host.run(["systemctl", "is-active", WORKER_UNIT]).text
        if state == "failed":
            yield failure("unit", f"{WORKER_UNIT} has failed", f"journalctl -u {WORKER_UNIT} -b")
        else:
            yield ok("unit", f"{WORKER_UNIT} is enabled and {state}")
    elif answer.text == "disabled":
        yield failure("unit", f"{WORKER_UNIT} is disabled", f"sudo systemctl enable {WORKER_UNIT}")
    else:
        yield failure("unit", f"{WORKER_UNIT}: {answer.text or 'not installed'}", "run the install script on this host")


def look_at_clock(host: Host) -> Iterator[Finding]:
    """Whether the clock is kept by NTP: heartbeats, leases and signatures rest on it."""
    answer = host.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if answer.text == "yes":
        yield ok("clock", "synchronised")
    elif answer.text == "no":
        yield failure("clock", "not synchronised", "sudo systemctl enable --now chrony; sudo chronyc makestep")
    else:
        yield unknown("clock", "timedatectl does not say", "compare `date -u` with a clock that you trust")


CHECKS: Final[Sequence[Check[Host]]] = (
    Check("GPU", look_at_driver),
    Check("CUDA", look_at_cuda),
    Check("model", look_at_model),
    Check("settings", look_at_settings),
    Check("disk", look_at_disk),
    Check("metadata", look_at_metadata),
    Check("unit", look_at_unit),
    Check("clock", look_at_clock),
)


def _without_gpu(model: ModelSettings, seen: str, remedy: str) -> Finding:
    """A GPU that is not there is wrong only where the worker is told to use one."""
    if model.device == "cuda":
        return failure("GPU", f"{seen}, and SCRIBEFLEET_DEVICE is cuda", remedy)
    if model.device == "auto":
        return warning("GPU", f"{seen}: the worker will use the CPU, many times slower", remedy)
    return ok("GPU", f"{seen}, and none is asked for (SCRIBEFLEET_DEVICE=cpu)")


def _loads(host: Host, name: str) -> bool:
    try:
        host.load_library(name)
    except OSError:
        return False
    return True


def _load_library(directories: Sequence[Path], name: str) -> object:
    """Load a library as the worker would, with the unit's search path; from then on this process has it, too."""
    place = next((directory / name for directory in directories if (directory / name).exists()), name)
    return ctypes.CDLL(str(place), mode=ctypes.RTLD_GLOBAL)


def _gpus() -> int:
    import ctranslate2  # noqa: PLC0415 - only a host has it

    return int(ctranslate2.get_cuda_device_count())


def _free_bytes() -> int:
    return shutil.disk_usage("/").free


def _run(command: Sequence[str]) -> Answer:
    try:
        ended = subprocess.run(  # noqa: S603 - fixed commands of this module, no shell
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except FileNotFoundError:
        return Answer(None, "")
    except subprocess.TimeoutExpired:
        return Answer(124, f"no answer in {_COMMAND_SECONDS} s")
    return Answer(ended.returncode, (ended.stdout or ended.stderr).strip())
