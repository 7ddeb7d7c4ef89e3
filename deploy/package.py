"""Packages the Lambda functions: one zip each, the same bytes for the same content.

A deployment names the zip after its content's hash, so nothing of when or where it was built may get into it.
Uploading and deploying happen elsewhere.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from shared.errors import ConfigurationError

Component = Literal["scanner", "autoscaler"]
Installer = Callable[[Path, Path], None]
"""Installs the distributions of a requirements file (first) into an empty directory (second)."""

REQUIREMENTS = Path(__file__).parent.parent / "requirements" / "lambda.txt"

_PACKAGES: Mapping[Component, tuple[str, ...]] = {
    "scanner": ("producer", "shared"),
    "autoscaler": ("autoscaler", "shared"),
}
# Beside these a package holds only byte code. The command lines need click and rich, which the Lambdas do not carry.
_OWN_SUFFIXES = (".py", ".j2", ".typed")
_OWN_UNUSED = ("cli.py",)
_OWN_UNUSED_FOLDERS = ("operator", "simulate")
# What pip adds that depends on the machine (RECORD lists the scripts, whose first line names an interpreter).
_PIP_TRACES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
# The runtime's Python, as in the template; and wheels for its Amazon Linux 2023 (glibc 2.34), as PEP 600 names them.
# pip takes each tag literally: the newest does not imply the older ones.
_PYTHON = "3.12"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# The oldest date that a zip can hold.
_DATE = (1980, 1, 1, 0, 0, 0)


def install_for_lambda(requirements: Path, into: Path) -> None:
    """Install with pip for Lambda's platform, whatever the platform of this machine.

    The requirements are taken as they are, without what they need: pip reads environment markers for the running
    interpreter, so only a complete list is the right one for another.

    Raises:
        ConfigurationError: pip could not do it, such as when there is no wheel for that platform.
    """
    platforms = [option for tag in _PLATFORMS for option in ("--platform", tag)]
    target = ["--target", str(into), "--python-version", _PYTHON, "--implementation", "cp", *platforms]
    what = ["--no-deps", "--only-binary=:all:", "--no-compile", "--requirement", str(requirements)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *target, *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter's pip
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in errors if line.startswith("ERROR:")), errors[-1] if errors else "no reason given"
        )
        raise ConfigurationError(f"pip could not install the Lambda's dependencies: {reason}")


def build_lambda(
    component: Component, target: Path, *, with_dependencies: bool = False, install: Installer = install_for_lambda
) -> Path:
    """Write a function's zip to `target`, replacing what is there, and return `target`.

    Args:
        with_dependencies: whether the third-party packages go in too. boto3 never does: Lambda's runtime has it. A
            deployment needs them; a runtime that has them by itself, such as the embedded cloud's, does not.
        install: how they are installed.

    Raises:
        ConfigurationError: the dependencies cannot be installed.
    """
    with TemporaryDirectory() as folder:
        members = dict(_own_files(component))
        if with_dependencies:
            if not REQUIREMENTS.is_file():
                raise ConfigurationError(
                    "a Lambda's dependencies are pinned in requirements/lambda.txt: use a checkout"
                )
            install(REQUIREMENTS, Path(folder))
            members |= _installed_files(Path(folder))
        _write_zip(target, members)
    return target


def _own_files(component: Component) -> Iterator[tuple[str, Path]]:
    """The component's own files: name in the zip, where it is."""
    for package in _PACKAGES[component]:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigurationError(f"the package {package} is not installed")
        root = Path(spec.submodule_search_locations[0])
        for path in root.rglob("*"):
            name = path.relative_to(root)
            used = path.name not in _OWN_UNUSED and name.parts[0] not in _OWN_UNUSED_FOLDERS
            if path.suffix in _OWN_SUFFIXES and used and path.is_file():
                yield f"{package}/{name.as_posix()}", path


def _installed_files(root: Path) -> dict[str, Path]:
    """The files of installed distributions that a Lambda needs: name in the zip, where it is."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if _is_needed(PurePosixPath(name))}


def _is_needed(name: PurePosixPath) -> bool:
    if name.parts[0] == "bin" or "__pycache__" in name.parts:
        return False
    return not (name.parts[0].endswith(".dist-info") and name.name in _PIP_TRACES)


def _write_zip(target: Path, members: Mapping[str, Path]) -> None:
    """Write the zip beside its place first, so that whoever finds it there finds all of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    with ZipFile(unfinished, "w") as archive:
        for name, source in sorted(members.items()):
            info = ZipInfo(name, _DATE)
            info.create_system = 3  # Unix; otherwise the platform that builds, and Windows has no permissions
            info.external_attr = 0o644 << 16  # Lambda runs the code as another user, who must be able to read it
            info.compress_type = ZIP_DEFLATED
            archive.writestr(info, source.read_bytes())
    unfinished.replace(target)
