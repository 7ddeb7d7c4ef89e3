"""The Lambda zips: what is in them, that they are the same each time, and that they run with nothing else but boto3.

Dependencies are copied from the running environment, which has the pinned versions; pip's part is tested on wheels
made here. So nothing needs a network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

from deploy import package
from deploy.package import REQUIREMENTS, Component, build_lambda, install_for_lambda
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.conftest import Cloud

COMPONENTS: tuple[Component, ...] = ("scanner", "autoscaler")
HANDLERS = {"scanner": "producer.handler", "autoscaler": "autoscaler.handler"}
OTHERS = ["faster_whisper", "av", "moto", "numpy", "consumer", "deploy", "click", "rich"]
# What AWS installs beside its Python runtime.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")

# Runs in a bare interpreter: the arguments are the path's entries, the handler's module and the event.
CALL_HANDLER = """
import json, sys
from importlib import import_module
from importlib.util import find_spec
*path, module, event, others = sys.argv[1:]
sys.path[:0] = path
found = [name for name in json.loads(others) if find_spec(name)]
handler = import_module(module).handler
print(json.dumps({"others": found, "result": handler(json.loads(event), None)}))
"""


def pins() -> dict[str, str]:
    """The pinned distributions: name -> version."""
    return dict(line.split("==") for line in REQUIREMENTS.read_text().splitlines())


def copy_installed(requirements: Path, into: Path) -> None:
    """Copies the distributions from the running environment, with new modification times."""
    for name in (line.split("==")[0] for line in requirements.read_text().splitlines()):
        for file in distribution(name).files or []:
            target = into / file
            if ".." not in file.parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


def runtime_folder(folder: Path) -> Path:
    """A directory that holds what Lambda's runtime has, and nothing else."""
    folder.mkdir()
    for name in RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


def call_in_bare_interpreter(cloud: "Cloud", component: Component, tmp_path: Path, event: object) -> dict[str, Any]:
    """Unpack the component's zip and call its handler where nothing is installed; returns what the script printed."""
    archive = build_lambda(component, tmp_path / "code.zip", with_dependencies=True, install=copy_installed)
    shutil.unpack_archive(archive, tmp_path / "code")
    path = [str(tmp_path / "code"), str(runtime_folder(tmp_path / "runtime"))]
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            CALL_HANDLER,
            *path,
            HANDLERS[component],
            json.dumps(event),
            json.dumps(OTHERS),
        ],
        env=cloud.environment() | {"SCRIBEFLEET_SCAN_MIN_AGE_SECONDS": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # what the function prints itself comes before
    return answer


def names(archive: Path) -> list[str]:
    with ZipFile(archive) as opened:
        return opened.namelist()


def install_on_machine(interpreter: str) -> Callable[[Path, Path], None]:
    """An installer that leaves the traces of pip on one machine beside the package."""

    def install(_requirements: Path, into: Path) -> None:
        (into / "bin").mkdir()
        (into / "bin" / "tool").write_text(f"#!{interpreter}\n")
        (into / "tool").mkdir()
        (into / "tool" / "__init__.py").write_text("name = 'tool'\n")
        (into / "tool" / "__pycache__").mkdir()
        (into / "tool" / "__pycache__" / "tool.pyc").write_text(interpreter)
        (into / "tool-1.0.dist-info").mkdir()
        (into / "tool-1.0.dist-info" / "METADATA").write_text("Name: tool\n")
        for trace in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            (into / "tool-1.0.dist-info" / trace).write_text(interpreter)

    return install


def write_wheel(folder: Path, tag: str) -> None:
    """A wheel of `demo` 1.0 for one platform, whose module says which."""
    folder.mkdir(exist_ok=True)
    with ZipFile(folder / f"demo-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr("demo.py", f"tag = {tag!r}\n")
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        wheel.writestr("demo-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr("demo-1.0.dist-info/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks for distributions."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "requirements.txt").write_text("demo==1.0\n")
    return tmp_path / "wheels"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_zip_holds_its_components_code_and_what_is_shared_and_no_other_part(
    component: Component, tmp_path: Path
) -> None:
    archive = build_lambda(component, tmp_path / "code.zip")

    found = names(archive)
    assert {name.split("/")[0] for name in found} == {HANDLERS[component].split(".")[0], "shared"}
    assert f"{HANDLERS[component].replace('.', '/')}.py" in found
    assert {"shared/settings.py", "shared/reporting/templates/report.html.j2", "shared/py.typed"} <= set(found)
    assert not [name for name in found if name.endswith("cli.py")]
    assert {Path(name).suffix or Path(name).name for name in found} <= {".py", ".j2", ".typed"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_same_content_makes_the_same_bytes(component: Component, tmp_path: Path) -> None:
    first = build_lambda(component, tmp_path / "1.zip", with_dependencies=True, install=copy_installed)
    second = build_lambda(component, tmp_path / "2.zip", with_dependencies=True, install=copy_installed)

    assert first.read_bytes() == second.read_bytes()
    with ZipFile(first) as opened:
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        # Readable by every user: Lambda runs the code as another one than unpacked it.
        assert {info.external_attr >> 16 for info in opened.infolist()} == {0o644}
        assert opened.namelist() == sorted(opened.namelist())


def test_nothing_of_the_machine_that_installed_the_dependencies_gets_into_the_zip(tmp_path: Path) -> None:
    here = install_on_machine("/opt/here/python")
    there = install_on_machine("/opt/there/python3.12")

    first = build_lambda("autoscaler", tmp_path / "1.zip", with_dependencies=True, install=here)
    second = build_lambda("autoscaler", tmp_path / "2.zip", with_dependencies=True, install=there)

    assert first.read_bytes() == second.read_bytes()
    assert {name for name in names(first) if name.startswith("tool")} == {
        "tool/__init__.py",
        "tool-1.0.dist-info/METADATA",
    }


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_zip_with_dependencies_stays_small_and_leaves_boto3_to_the_runtime(
    component: Component, tmp_path: Path
) -> None:
    archive = build_lambda(component, tmp_path / "code.zip", with_dependencies=True, install=copy_installed)

    with ZipFile(archive) as opened:
        unpacked = sum(info.file_size for info in opened.infolist())
    assert 1_000_000 < unpacked < 30_000_000
    assert not {name.split("/")[0].removesuffix(".py") for name in names(archive)} & set(RUNTIME)


def test_a_scanner_runs_from_its_zip_alone(cloud: "Cloud", tmp_path: Path) -> None:
    cloud.put_audio("ann", "monday", "001")

    answer = call_in_bare_interpreter(cloud, "scanner", tmp_path, {"enqueue": True})

    assert answer["others"] == []
    url = cloud.settings.jobs_queue_url
    depth = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert depth["ApproximateNumberOfMessages"] == "1"


def test_an_autoscaler_runs_from_its_zip_alone(cloud: "Cloud", tmp_path: Path) -> None:
    answer = call_in_bare_interpreter(cloud, "autoscaler", tmp_path, {})

    assert answer["others"] == []
    assert answer["result"]["reason"]


def test_the_pins_are_exact_name_no_index_and_are_what_the_tests_run_with() -> None:
    lines = REQUIREMENTS.read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert pins() == {name: distribution(name).version for name in pins()}


@pytest.mark.parametrize("platform", ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"])
def test_dependencies_are_installed_for_lambda_and_not_for_this_machine(
    wheels: Path, tmp_path: Path, platform: str
) -> None:
    write_wheel(wheels, f"cp312-cp312-{platform}")
    for other in (
        "cp312-cp312-macosx_11_0_arm64",
        "cp312-cp312-manylinux2014_aarch64",
        "cp311-cp311-manylinux1_x86_64",
    ):
        write_wheel(wheels, other)

    install_for_lambda(tmp_path / "requirements.txt", tmp_path / "into")

    assert (tmp_path / "into" / "demo.py").read_text() == f"tag = 'cp312-cp312-{platform}'\n"


def test_a_dependency_without_a_wheel_for_lambda_is_named_and_the_old_zip_stays(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, "cp312-cp312-macosx_11_0_arm64")
    monkeypatch.setattr(package, "REQUIREMENTS", tmp_path / "requirements.txt")
    target = build_lambda("scanner", tmp_path / "code.zip")
    before = target.read_bytes()

    with pytest.raises(ConfigurationError, match=r"pip could not install.* demo==1\.0"):
        build_lambda("scanner", target, with_dependencies=True)

    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.unfinished"))


def test_without_the_list_of_pins_the_error_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "REQUIREMENTS", tmp_path / "lambda.txt")

    with pytest.raises(ConfigurationError, match=r"requirements/lambda\.txt"):
        build_lambda("scanner", tmp_path / "code.zip", with_dependencies=True)
