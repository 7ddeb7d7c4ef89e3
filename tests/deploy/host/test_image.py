"""What else belongs to a host: the container's recipe, the image's, the log agent's configuration, the packages."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from consumer.cli import consume
from shared.setting_groups import ENV_PREFIX
from shared.settings import Settings

REPOSITORY = Path(__file__).parents[3]
HOST = REPOSITORY / "deploy" / "host"
DOCKERFILE = HOST / "Dockerfile"


# --- the container


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def test_all_that_the_container_takes_from_the_checkout_is_there() -> None:
    copied = [shlex.split(text) for name, text in instructions() if name == "COPY" and "--from" not in text]
    sources = [source for words in copied for source in words[:-1]]
    assert len(sources) > 5
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    built = re.search(r"packages = (\[.*\])", (REPOSITORY / "pyproject.toml").read_text())
    assert built
    assert set(json.loads(built[1])) <= set(sources)


def test_the_container_s_context_is_what_it_takes_and_no_more() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().split()
    copied = [shlex.split(text) for name, text in instructions() if name == "COPY" and "--from" not in text]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {one for words in copied for one in words[:-1]}


def test_the_container_s_wheel_is_built_from_what_it_takes_alone(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name, text in instructions():
        if name == "COPY" and "--from" not in text:
            for source in map(Path, shlex.split(text)[:-1]):
                take = shutil.copytree if (REPOSITORY / source).is_dir() else shutil.copy
                take(REPOSITORY / source, context / source.name)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=context, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("scribefleet-*.whl")
    with ZipFile(wheel) as content:
        assert {"consumer/cli.py", "shared/reporting/templates/report.html.j2"} <= set(content.namelist())


def test_both_kinds_of_container_are_there_and_neither_runs_as_root() -> None:
    stages = [text.split() for name, text in instructions() if name == "FROM"]
    parents = {words[2]: words[0] for words in stages}
    assert parents["cpu"] == parents["gpu"] == "worker"
    pinned = [base for base in parents.values() if base not in parents]
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+-[a-z-]+", base) for base in pinned), pinned
    assert [text for name, text in instructions() if name == "USER"] == ["990:990"]


def test_the_container_s_command_is_one_that_the_worker_takes() -> None:
    (command,) = [json.loads(text) for name, text in instructions() if name == "CMD"]
    assert command[0] == "consume"
    done = CliRunner().invoke(consume, [*command[1:], "--help"])
    assert done.exit_code == 0
    assert all(word in done.output for word in command if word.startswith("--"))


@pytest.mark.parametrize(("age", "healthy"), [(0, True), (50, True), (70, False), (None, False)])
def test_a_container_is_healthy_while_its_worker_gives_signs_of_life(
    age: float | None, healthy: bool, tmp_path: Path
) -> None:
    (check,) = [text for name, text in instructions() if name == "HEALTHCHECK"]
    command = json.loads(check[check.index("CMD") + 3 :])
    (worker,) = [json.loads(text) for name, text in instructions() if name == "CMD"]
    alive = worker[worker.index("--alive-file") + 1]
    assert alive in command[-1]
    if age is not None:
        (tmp_path / "alive").touch()
        os.utime(tmp_path / "alive", (time.time() - age, time.time() - age))
    there = command[-1].replace(alive, str(tmp_path / "alive"))
    done = subprocess.run([sys.executable, *command[1:-1], there], capture_output=True, check=False)
    assert (done.returncode == 0) == healthy


def test_variables_of_the_container_are_settings() -> None:
    named = re.findall(rf"\b{ENV_PREFIX}(\w+)=", DOCKERFILE.read_text())
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


# --- the pinned packages


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "requirements" / "gpu.txt").read_text().splitlines()
    return dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line)


def test_hosts_are_pinned_to_the_versions_that_are_tested_here() -> None:
    ours = ("boto3", "ctranslate2", "faster-whisper", "av", "pydantic", "onnxruntime")
    assert {name: pins()[name] for name in ours} == {name: version(name) for name in ours}


def test_the_pinned_cuda_libraries_are_those_that_ctranslate2_opens() -> None:
    spec = find_spec("ctranslate2")
    assert spec
    assert spec.origin
    beside = Path(spec.origin).parent.parent / "ctranslate2.libs"
    (library,) = beside.glob("libctranslate2*")
    opened = set(re.findall(rb"lib(cublas|cudnn)\w*\.so\.(\d+)", library.read_bytes()))
    assert opened, "the wheel names no CUDA library: is it built for the GPU?"
    for name, major in opened:
        package = {b"cublas": "nvidia-cublas-cu12", b"cudnn": "nvidia-cudnn-cu12"}[name]
        assert pins()[package].split(".")[0] == major.decode()


# --- the log agent


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A CloudWatch agent that notes how it is called, and a systemctl that says it runs."""
    for path, script in {
        "agent/bin/amazon-cloudwatch-agent-ctl": f'echo "$@" >>"{tmp_path}/calls"',
        "bin/systemctl": "exit 0",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / path).chmod(0o755)
    (tmp_path / "agent/etc").mkdir()
    return tmp_path


def configure_logs(agent: Path, fleet: str) -> list[str]:
    environment = {
        "PATH": f"{agent / 'bin'}:{os.environ['PATH']}",
        "SCRIBEFLEET_AGENT": str(agent / "agent"),
        "SCRIBEFLEET_FLEET_NAME": fleet,
    }
    subprocess.run(["bash", HOST / "libexec/configure-logs"], env=environment, check=True)
    calls = agent / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def test_the_agent_sends_the_worker_s_log_to_the_fleet_s_group(agent: Path) -> None:
    (call,) = configure_logs(agent, "night-shift")
    assert call.startswith("-a fetch-config -m ec2 -s -c file:")
    config = json.loads(Path(call.rsplit("file:", 1)[1]).read_text())
    (source,) = config["logs"]["logs_collected"]["files"]["collect_list"]
    assert source["log_group_name"] == "/scribefleet/night-shift/worker"
    assert source["retention_in_days"] == -1  # the stack's business: the worker may not change it
    template = (REPOSITORY / "deploy" / "template.yaml").read_text()
    assert "/scribefleet/${FleetName}/worker" in template


def test_an_agent_that_is_right_already_is_left_alone_at_the_next_boot(agent: Path) -> None:
    assert len(configure_logs(agent, "a")) == 1
    assert len(configure_logs(agent, "a")) == 1
    assert len(configure_logs(agent, "b")) == 2


# --- the image


@pytest.fixture
def aws(tmp_path: Path) -> Path:
    """An AWS command line that notes its calls and answers what an installation that succeeds would."""
    script = tmp_path / "bin/aws"
    script.parent.mkdir()
    script.write_text(f"""#!/bin/bash
printf '%s\\n' "$*" >>"{tmp_path}/calls"
case "$1 $2" in
"cloudformation describe-stacks") echo code-bucket ;;
"ssm get-parameter") echo ami-base ;;
"s3 cp") cat >"{tmp_path}/package" ;;
"s3 presign") echo 'https://code-bucket.example.test/package?signature=x&more=y' ;;
"ec2 run-instances") echo i-1 ;;
"ec2 get-console-output") cat "{tmp_path}/console" ;;
"ec2 create-image") echo ami-new ;;
esac
""")
    script.chmod(0o755)
    return tmp_path


def make_image(aws: Path, console: str, *options: str) -> "subprocess.CompletedProcess[str]":
    (aws / "console").write_text(console)
    path = f"{aws / 'bin'}:{os.environ['PATH']}"
    python = aws / "python"
    python.write_text("#!/bin/sh\necho package\n")
    python.chmod(0o755)
    environment = {**os.environ, "PATH": path, "PYTHON": str(python)}
    command = ["bash", str(HOST / "make-image.sh"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_image_is_made_and_what_it_was_made_with_is_removed(aws: Path) -> None:
    done = make_image(aws, "booting\nscribefleet image: ready\n", "--fleet", "night-shift")
    assert done.returncode == 0, done.stderr
    assert "scribefleet deploy --fleet night-shift --parameter ImageId=ami-new" in done.stdout
    calls = (aws / "calls").read_text()
    assert "--image-id ami-base --instance-type g4dn.xlarge" in calls
    assert "curl --fail --silent --show-error 'https://code-bucket.example.test/package?signature=x&more=y'" in calls
    assert "ec2 terminate-instances --instance-ids i-1" in calls
    assert calls.index("ec2 wait image-available") < calls.index("ec2 terminate-instances")
    uploaded = re.search(r"s3 cp --only-show-errors - (\S+)", calls)
    assert uploaded
    assert f"s3 rm --only-show-errors {uploaded[1]}" in calls
    assert (aws / "package").read_text() == "package\n"


def test_an_installation_that_failed_becomes_no_image_and_leaves_no_instance(aws: Path) -> None:
    done = make_image(aws, "install.sh: the driver does not reach the GPU\n")
    assert done.returncode == 1
    assert "the installation failed" in done.stderr
    calls = (aws / "calls").read_text()
    assert "create-image" not in calls
    assert "ec2 terminate-instances --instance-ids i-1" in calls


def test_what_the_image_script_runs_on_the_instance_is_a_valid_script(aws: Path) -> None:
    make_image(aws, "")
    calls = (aws / "calls").read_text()
    script = calls[calls.index("#!/bin/bash") : calls.index(" --query Instances[0]")]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.index("install.sh") < script.index("cloud-init clean") < script.index("image: ready")
    assert "trap 'poweroff' EXIT" in script
