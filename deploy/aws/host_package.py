"""Packages what makes a worker of a bare GPU host: install.sh and what it needs, the same bytes for the same content.

The template's user data fetches and runs it at an instance's first boot.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
WheelBuilder = Callable[[Path], None]
"""Builds scribefleet's wheel into an empty directory."""

_HOST = ROOT / "deploy" / "host"
_REQUIREMENTS = ROOT / "requirements" / "gpu.txt"
_NOT_OF_A_HOST = frozenset({"Dockerfile", "make-image.sh"})
# Of the wheel's content, what a worker runs.
_OWN_PACKAGES = ("consumer", "shared")
_OWN_FILES = ("pyproject.toml", "deploy/cli.py")


def build_wheel(into: Path) -> None:
    """Build the wheel of this checkout with pip.

    Raises:
        ConfigurationError: pip could not do it.
    """
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", str(into), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter's pip
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConfigurationError(
            f"pip could not build scribefleet's wheel: {lines[-1] if lines else 'no reason given'}"
        )


@dataclass(frozen=True, slots=True)
class HostPackage:
    """The package as a .tar.gz, and a digest of what matters on a host.

    The wheel holds the other parts, too. A change in them alone leaves the digest, as a new one replaces every host.
    """

    content: bytes
    digest: str


def build_host_package(wheel: WheelBuilder) -> HostPackage:
    """Build the package.

    Raises:
        ConfigurationError: this is not a checkout, or the wheel cannot be built.
    """
    if not (ROOT / "pyproject.toml").is_file() or not _REQUIREMENTS.is_file():
        raise ConfigurationError("the hosts are installed from pyproject.toml and requirements/gpu.txt: use a checkout")
    with TemporaryDirectory() as folder:
        wheel(Path(folder))
        members = dict(_members(Path(folder)))
        return HostPackage(_archive(members), _digest(members))


def _members(wheels: Path) -> Iterator[tuple[str, Path]]:
    """Name in the package and where it is: install.sh at its root, beside all that it looks for there."""
    for path in _HOST.rglob("*"):
        if path.is_file() and path.suffix not in {".py", ".pyc"} and path.name not in _NOT_OF_A_HOST:
            yield path.relative_to(_HOST).as_posix(), path
    yield "requirements/gpu.txt", _REQUIREMENTS
    for path in wheels.glob("*.whl"):
        yield path.name, path


def _digest(members: dict[str, Path]) -> str:
    files = {name: path for name, path in members.items() if path.suffix != ".whl"}
    files |= {name: ROOT / name for name in _OWN_FILES}
    for package in _OWN_PACKAGES:
        found = (path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc")
        files |= {path.relative_to(ROOT).as_posix(): path for path in found}
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _archive(members: dict[str, Path]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(members.items()):
            content = path.read_bytes()
            member = tarfile.TarInfo(name)  # no owner and no date of this machine
            member.size = len(content)
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
