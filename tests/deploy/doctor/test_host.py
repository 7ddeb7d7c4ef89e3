from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.doctor import host
from deploy.doctor.finding import Finding
from deploy.doctor.host import Answer, Host, this_host
from shared.setting_groups import ModelSettings

if TYPE_CHECKING:
    from tests.conftest import FakeClock
    from tests.deploy.doctor.conftest import Seen

GOOD: Mapping[str, Answer] = {
    "nvidia-smi": Answer(0, "Tesla T4, 550.54.15, 15360 MiB"),
    "systemctl is-enabled": Answer(0, "enabled"),
    "systemctl is-active": Answer(0, "active"),
    "timedatectl": Answer(0, "yes"),
}
WORKER_ENV = """\
SCRIBEFLEET_BUCKET=recordings
SCRIBEFLEET_JOBS_QUEUE_URL=https://sqs/jobs
SCRIBEFLEET_PRIORITY_QUEUE_URL=https://sqs/jobs-priority
SCRIBEFLEET_DEAD_LETTER_QUEUE_URL=https://sqs/dead-letter
SCRIBEFLEET_TABLE_NAME=ledger
SCRIBEFLEET_FLEET_NAME=north
SCRIBEFLEET_POWER_OFF_COMMAND=systemctl poweroff
SCRIBEFLEET_DEVICE=cuda
AWS_DEFAULT_REGION=us-east-1
"""


def answering(answers: Mapping[str, Answer]) -> "host.Run":
    """A host whose commands print what `answers` says, by the first words that match; no other command is there."""

    def run(command: Sequence[str]) -> Answer:
        words = " ".join(command)
        return next((answer for begin, answer in answers.items() if words.startswith(begin)), Answer(None, ""))

    return run


@pytest.fixture
def healthy(tmp_path: Path, clock: "FakeClock") -> Host:
    environment = tmp_path / "worker.env"
    environment.write_text(WORKER_ENV)
    return Host(
        run=answering(GOOD),
        load_library=lambda name: name,
        gpus=lambda: 1,
        free_bytes=lambda: 50_000_000_000,
        environment=environment,
        model=ModelSettings(model="tiny.en", device="cuda"),
        clock=clock,
    )


def without(host_: Host, **answers: Answer) -> Host:
    return replace(host_, run=answering({**GOOD, **answers}))


def cannot_load(name: str) -> object:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    "check",
    [
        host.look_at_driver,
        host.look_at_cuda,
        host.look_at_settings,
        host.look_at_disk,
        host.look_at_unit,
        host.look_at_clock,
    ],
)
def test_given_a_host_as_the_install_script_leaves_it_then_all_is_ok(
    check: Callable[[Host], Iterable[Finding]], healthy: Host, wrong: "Seen"
) -> None:
    assert wrong(check(healthy)) == []


@pytest.mark.parametrize(("device", "status"), [("cuda", "failure"), ("auto", "warning"), ("cpu", "ok")])
def test_a_missing_gpu_is_as_bad_as_the_worker_needs_it(device: str, status: str, healthy: Host) -> None:
    model = ModelSettings(device=device)
    bare = replace(healthy, run=answering({}), gpus=lambda: 0, model=model)

    (driver,), (cuda,) = host.look_at_driver(bare), host.look_at_cuda(bare)

    assert (driver.status, cuda.status) == (status, status)
    assert driver.seen.startswith("there is no nvidia-smi")
    assert cuda.seen.startswith("CTranslate2 sees no GPU")


def test_given_a_driver_that_does_not_fit_its_kernel_then_its_own_words_are_told(healthy: Host, wrong: "Seen") -> None:
    failing = without(healthy, **{"nvidia-smi": Answer(9, "NVIDIA-SMI has failed to communicate with the driver")})

    ((status, seen),) = wrong(host.look_at_driver(failing))

    assert status == "failure"
    assert "NVIDIA-SMI has failed to communicate" in seen


def test_given_a_gpu_without_its_libraries_then_each_that_does_not_load_is_named(healthy: Host, wrong: "Seen") -> None:
    def no_cudnn(name: str) -> object:
        return cannot_load(name) if "cudnn" in name else name

    ((status, seen),) = wrong(host.look_at_cuda(replace(healthy, load_library=no_cudnn)))

    assert (status, seen) == ("failure", "not found: libcudnn.so.9")


def test_given_no_file_of_settings_then_the_first_boot_has_not_written_it(healthy: Host, wrong: "Seen") -> None:
    healthy.environment.unlink()

    ((status, seen),) = wrong(host.look_at_settings(healthy))

    assert (status, "first boot has not written it" in seen) == ("failure", True)


def test_given_settings_that_are_wrong_or_missing_then_each_is_named(
    healthy: Host, wrong: "Seen", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCRIBEFLEET_BUCKET", raising=False)
    text = WORKER_ENV.replace("SCRIBEFLEET_BUCKET=recordings\n", "") + "SCRIBEFLEET_LONG_POLL_SECONDS=21\n"
    healthy.environment.write_text(text)

    ((status, seen),) = wrong(host.look_at_settings(healthy))

    assert status == "failure"
    assert seen.endswith("missing or wrong: SCRIBEFLEET_BUCKET, SCRIBEFLEET_LONG_POLL_SECONDS")


@pytest.mark.parametrize(("gigabytes", "status"), [(0.9, "failure"), (1.0, "warning"), (4.9, "warning"), (5.0, "ok")])
def test_room_on_the_disk_is_judged_by_what_a_worker_writes(gigabytes: float, status: str, healthy: Host) -> None:
    (found,) = host.look_at_disk(replace(healthy, free_bytes=lambda: int(gigabytes * 1e9)))

    assert found.status == status


@pytest.mark.parametrize(
    ("answers", "status", "seen"),
    [
        ({"systemctl is-enabled": Answer(1, "disabled")}, "failure", "scribefleet-worker.service is disabled"),
        ({"systemctl is-enabled": Answer(1, "")}, "failure", "scribefleet-worker.service: not installed"),
        ({"systemctl is-active": Answer(3, "failed")}, "failure", "scribefleet-worker.service has failed"),
    ],
)
def test_a_unit_that_will_not_start_the_worker_is_a_failure(
    answers: dict[str, Answer], status: str, seen: str, healthy: Host, wrong: "Seen"
) -> None:
    assert wrong(host.look_at_unit(without(healthy, **answers))) == [(status, seen)]


def test_given_no_systemd_then_the_unit_is_unknown(healthy: Host, wrong: "Seen") -> None:
    assert wrong(host.look_at_unit(replace(healthy, run=answering({})))) == [("unknown", "there is no systemctl here")]


@pytest.mark.parametrize(("text", "status"), [("yes", "ok"), ("no", "failure"), ("", "unknown")])
def test_the_clock_is_judged_by_what_timedated_says(text: str, status: str, healthy: Host) -> None:
    (found,) = host.look_at_clock(without(healthy, timedatectl=Answer(0, text)))

    assert found.status == status


def test_given_a_model_that_is_not_there_then_the_finding_says_how_to_get_it(
    healthy: Host, tmp_path: Path, wrong: "Seen"
) -> None:
    model = ModelSettings(model="nobody/has-this", model_store=tmp_path, device="cpu")

    ((status, seen),) = wrong(host.look_at_model(replace(healthy, model=model)))

    assert (status, seen.startswith("No model 'nobody/has-this'")) == ("failure", True)


@pytest.mark.model
def test_given_the_real_model_on_the_cpu_then_it_hears(healthy: Host, wrong: "Seen") -> None:
    (found,) = host.look_at_model(replace(healthy, model=ModelSettings(model="tiny.en", device="cpu")))

    assert found.status == "ok"
    assert "hears 100% of a known clip" in found.seen


UNIT = Answer(0, 'HOME=/var/lib/scribefleet "SCRIBEFLEET_MODEL_STORE=/opt/the models" SCRIBEFLEET_DEVICE=auto')


def test_the_worker_has_its_units_variables_and_those_of_its_file_which_win(healthy: Host) -> None:
    unit = host.unit_environment(answering({"systemctl show": UNIT}))

    found = host.worker_model(unit, healthy.environment)

    assert found
    assert (found.model_store, found.device) == (Path("/opt/the models"), "cuda")


def test_given_a_file_with_a_wrong_value_then_the_model_is_that_of_this_shell(healthy: Host) -> None:
    healthy.environment.write_text("SCRIBEFLEET_DEVICE=abacus\n")

    assert host.worker_model({}, healthy.environment) is None


def test_given_no_unit_then_it_sets_nothing() -> None:
    assert host.unit_environment(answering({"systemctl show": Answer(1, "Failed to connect to bus")})) == {}


def test_given_no_worker_on_this_machine_then_the_model_is_that_of_this_shell(
    tmp_path: Path, clock: "FakeClock"
) -> None:
    made = this_host(ModelSettings(device="cpu"), clock, tmp_path / "none")

    assert made.model.device == "cpu"


def test_given_a_command_that_is_not_here_then_its_answer_has_no_code(tmp_path: Path, clock: "FakeClock") -> None:
    made = this_host(ModelSettings(), clock, tmp_path / "none")

    assert made.run(["no-such-command-on-any-machine"]) == Answer(None, "")
    assert made.run(["sh", "-c", "echo out; exit 3"]) == Answer(3, "out")
