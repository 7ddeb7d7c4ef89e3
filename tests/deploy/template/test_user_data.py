"""What an instance's user data does at its first boot: its installation, and the variables that an operator adds."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.aws.host_package import build_host_package

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")


@pytest.mark.parametrize("capacity", ["pool", "asg"])
def test_a_host_package_is_installed_before_the_worker_is_enabled(deploy_fleet: "Deploy", capacity: str) -> None:
    fleet = deploy_fleet("fresh", CapacityProvider=capacity, HostPackageKey="host/0123abcd.tar.gz")

    install, enable, *_ = fleet.cloud_config()["runcmd"]

    assert install[:4] == ["bash", "-eo", "pipefail", "-c"]
    assert " --region us-east-1 " in install[4]
    assert " s3://lambda-code/host/0123abcd.tar.gz - " in install[4]
    assert enable == ["systemctl", "enable", "scribefleet-worker.service"]


@pytest.fixture(scope="module")
def installation(deploy_fleet: "Deploy") -> list[str]:
    """The command of the user data that installs a host."""
    command: list[str] = deploy_fleet("fresh", HostPackageKey="host/0123abcd.tar.gz").cloud_config()["runcmd"][0]
    return command


def run_at_first_boot(command: list[str], folder: Path, aws: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the user data in `folder` instead of /opt, with a stand-in for the AWS command line.

    install.sh only prints what it would do, and takes the host for an Ubuntu with a driver that it need not look at.
    """
    commands = folder / "bin"
    commands.mkdir()
    (commands / "aws").write_text(f"#!/bin/sh\n{aws}\n")
    (commands / "aws").chmod(0o755)
    release = folder / "os-release"
    release.write_text("ID=ubuntu\nVERSION_ID=24.04\n")
    there = [part.replace("/opt/scribefleet-setup", str(folder / "setup")) for part in command]
    there[-1] = there[-1].replace("bash ./install.sh", "bash ./install.sh --dry-run --cpu")
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "OS_RELEASE": str(release)}
    return subprocess.run(there, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_package_that_a_deployment_uploads_is_what_the_first_boot_installs(
    installation: list[str], tmp_path: Path
) -> None:
    def wheel(into: Path) -> None:
        (into / "scribefleet-1.0-py3-none-any.whl").write_bytes(b"")

    package = tmp_path / "package.tar.gz"
    package.write_bytes(build_host_package(wheel).content)

    done = run_at_first_boot(installation, tmp_path, f"cat {package}")

    assert done.returncode == 0, done.stderr
    assert "== installed" in done.stdout


def test_a_host_package_that_cannot_be_fetched_fails_the_installation(installation: list[str], tmp_path: Path) -> None:
    done = run_at_first_boot(installation, tmp_path, "echo 'fatal error: 403' >&2; exit 1")

    assert done.returncode != 0
    assert "403" in done.stderr
    assert "installed" not in done.stdout


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("none", "", {}),
        ("one", "SCRIBEFLEET_DEVICE=cpu", {"SCRIBEFLEET_DEVICE": "cpu"}),
        ("many", "A=1,B=2,C=3", {"A": "1", "B": "2", "C": "3"}),
        ("overriding", "SCRIBEFLEET_MAX_EMPTY_POLLS=9", {"SCRIBEFLEET_MAX_EMPTY_POLLS": "9"}),
        (
            "yaml",
            "A=x: y # z,B='single\",C=- {[&*!|>%@`,D==",
            {"A": "x: y # z", "B": "'single\"", "C": "- {[&*!|>%@`", "D": "="},
        ),
    ],
)
def test_further_variables_reach_the_worker_as_they_are(
    deploy_fleet: "Deploy", name: str, given: str, expected: dict[str, str]
) -> None:
    fleet = deploy_fleet(f"extra-{name}", WorkerExtraEnvironment=given)

    variables = fleet.worker_environment()

    assert {key: variables[key] for key in expected} == expected
    assert variables["SCRIBEFLEET_TABLE_NAME"] == fleet.outputs["TableName"]
