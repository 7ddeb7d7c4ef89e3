"""The services of a worker's host, as systemd reads them, and what the worker's code must agree with them on."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from consumer.run.process import _ALIVE_FILE_SECONDS, _EXIT_RESTART
from deploy.cli import cli
from shared.settings import Settings

REPOSITORY = Path(__file__).parents[3]
UNITS = REPOSITORY / "deploy" / "host" / "units"
VERIFY = REPOSITORY / "scripts" / "verify_units.sh"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs the package systemd")


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A unit's sections; each option with all its values, as systemd lets one stand several times."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            option, _, value = line.partition("=")
            section.setdefault(option, []).append(value)
    return sections


def seconds(span: str) -> float:
    factors = {"s": 1, "min": 60, "h": 3600}
    found = re.fullmatch(r"(\d+)(s|min|h)", span)
    assert found, span
    return int(found[1]) * factors[found[2]]


def only(section: dict[str, list[str]], option: str) -> str:
    (value,) = section[option]
    return value


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    done = subprocess.run([VERIFY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("scribefleet-worker.service", "WatchdogSec=90s", "WatchdogSecs=90s"),
        ("scribefleet-worker.service", "Restart=on-failure", "Restart=sometimes"),
        ("scribefleet-scan.timer", "OnCalendar=00/2:00", "OnCalendar=25:00"),
    ],
)
def test_the_check_of_the_units_finds_a_mistake(name: str, right: str, wrong: str, tmp_path: Path) -> None:
    units = shutil.copytree(UNITS, tmp_path / "units")
    text = (units / name).read_text()
    assert right in text
    (units / name).write_text(text.replace(right, wrong))
    done = subprocess.run([VERIFY, units], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert name in done.stderr


@needs_systemd
@pytest.mark.parametrize("name", ["worker", "host-stop", "scan"])
def test_what_runs_python_is_shut_in(name: str) -> None:
    # systemd's own measure: 0 is shut in entirely, 10 not at all; it calls 2 and less "OK".
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        str(UNITS / f"scribefleet-{name}.service"),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_every_unit_that_another_one_names_is_there() -> None:
    named = {name for path in UNITS.iterdir() for name in re.findall(r"\bscribefleet-[a-z-]+\.\w+\b", path.read_text())}
    assert named <= {path.name for path in UNITS.iterdir()}


def test_a_worker_has_the_time_to_end_that_it_needs() -> None:
    service = unit("scribefleet-worker.service")["Service"]
    fields = Settings.model_fields
    needed = fields["long_poll_seconds"].default + fields["drain_seconds"].default
    assert seconds(only(service, "TimeoutStopSec")) >= needed + 15  # for the report


def test_a_watchdog_is_fed_three_times_before_it_bites() -> None:
    service = unit("scribefleet-worker.service")["Service"]
    assert only(service, "Type") == "notify"
    assert seconds(only(service, "WatchdogSec")) >= 3 * _ALIVE_FILE_SECONDS


def test_jobs_that_hang_one_after_the_other_use_up_the_worker_s_starts() -> None:
    both = unit("scribefleet-worker.service")
    deadline = Settings.model_fields["job_deadline_seconds"].default
    a_start_each = deadline + 60  # for the model
    burst = int(only(both["Unit"], "StartLimitBurst"))
    assert burst >= 3
    assert burst * a_start_each <= seconds(only(both["Unit"], "StartLimitIntervalSec"))
    assert only(both["Unit"], "OnFailure") == "scribefleet-host-stop.service"


def test_a_wrong_setting_is_not_tried_again_and_a_request_to_start_afresh_is() -> None:
    service = unit("scribefleet-worker.service")["Service"]
    prevented = only(service, "RestartPreventExitStatus").split()
    assert only(service, "Restart") == "on-failure"
    assert "2" in prevented  # deploy.cli's code of a ConfigurationError
    assert str(_EXIT_RESTART) not in prevented


def test_a_host_without_settings_neither_fails_nor_stops() -> None:
    both = unit("scribefleet-worker.service")
    path = only(both["Unit"], "ConditionPathExists")
    assert path == only(both["Service"], "EnvironmentFile")
    assert f"- path: {path}" in (REPOSITORY / "deploy" / "template.yaml").read_text()


def test_the_worker_s_wish_to_power_off_reaches_the_unit_that_does_it() -> None:
    wish = only(unit("scribefleet-power-off.path")["Path"], "PathExists")
    assert wish == "/run/scribefleet/power-off"
    for name in ("worker", "host-stop"):
        service = unit(f"scribefleet-{name}.service")["Service"]
        assert only(service, "RuntimeDirectory") == "scribefleet"
        assert only(service, "RuntimeDirectoryPreserve") == "yes"  # else the wish goes with its service
    assert f"Default: /usr/bin/touch {wish}\n" in (REPOSITORY / "deploy" / "template.yaml").read_text()
    assert "systemctl --no-block poweroff" in only(unit("scribefleet-power-off.service")["Service"], "ExecStart")


def test_nothing_of_ours_runs_as_root_but_what_must() -> None:
    as_root = {
        path.name
        for path in UNITS.glob("*.service")
        if unit(path.name)["Service"].get("User", ["root"]) != ["scribefleet"]
    }
    assert as_root == {"scribefleet-gpu.service", "scribefleet-logs.service", "scribefleet-power-off.service"}


def test_the_worker_may_use_the_gpu_and_compile_for_it() -> None:
    service = unit("scribefleet-worker.service")["Service"]
    assert only(service, "DeviceAllow") == "char-nvidia* rw"
    assert "PrivateDevices" not in service
    assert "MemoryDenyWriteExecute" not in service


def test_a_scan_is_made_up_for_after_the_machine_was_off() -> None:
    timer = unit("scribefleet-scan.timer")["Timer"]
    assert only(timer, "Persistent") == "true"
    assert only(timer, "OnCalendar") == "00/2:00"  # Persistent= works with OnCalendar= alone
    assert only(timer, "OnBootSec") == "10min"


def test_log_and_rotation_and_agent_name_the_same_file() -> None:
    host = REPOSITORY / "deploy" / "host"
    log = "/var/log/scribefleet/worker.log"
    assert only(unit("scribefleet-worker.service")["Service"], "StandardOutput") == f"append:{log}"
    assert (host / "etc" / "logrotate").read_text().count(f"{log} {{") == 1
    assert f'"file_path": "{log}"' in (host / "libexec" / "configure-logs").read_text()


def test_commands_of_the_units_are_commands_of_the_console_script() -> None:
    known = set(cli.list_commands(click.Context(cli)))
    used = {
        line.split()[1]
        for path in UNITS.glob("*.service")
        for line in path.read_text().splitlines()
        if line.startswith("ExecStart=/opt/scribefleet/venv/bin/scribefleet ")
    }
    assert used == {"consume", "stop-host", "scan"}
    assert used <= known
