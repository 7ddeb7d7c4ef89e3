"""The package that makes a worker of a bare host: complete, and the same for the same content."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.aws.host_package import HostPackage, build_host_package
from shared.errors import ConfigurationError


def built(content: bytes = b"a wheel") -> HostPackage:
    def wheel(into: Path) -> None:
        (into / "scribefleet-0-py3-none-any.whl").write_bytes(content)

    return build_host_package(wheel)


def test_the_same_content_is_the_same_package() -> None:
    assert built() == built()


def test_a_wheel_that_differs_only_in_other_parts_leaves_the_hosts_alone() -> None:
    assert built(b"one").digest == built(b"other").digest
    assert built(b"one").content != built(b"other").content


@pytest.mark.parametrize("changed", ["_OWN_FILES", "_OWN_PACKAGES"])
def test_a_change_of_what_a_worker_runs_is_another_package(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = built().digest
    monkeypatch.setattr(f"deploy.aws.host_package.{changed}", ())
    assert built().digest != before


def test_unpacked_its_script_finds_all_that_it_needs(tmp_path: Path) -> None:
    subprocess.run(
        ["tar", "-xz"], input=built().content, cwd=tmp_path, check=True
    )  # as an instance does at its first boot
    release = tmp_path / "os-release"
    release.write_text("ID=ubuntu\nVERSION_ID=22.04\n")
    script = ["bash", str(tmp_path / "install.sh"), "--dry-run", "--cpu"]
    environment = {**os.environ, "OS_RELEASE": str(release)}

    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60, env=environment)

    assert done.returncode == 0, done.stderr
    assert "units/scribefleet-worker.service" in done.stdout
    assert [path.name for path in tmp_path.glob("*.whl")] == ["scribefleet-0-py3-none-any.whl"]


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.aws.host_package.ROOT", tmp_path)
    with pytest.raises(ConfigurationError, match="use a checkout"):
        built()
