"""Measures what the autoscaler's Lambda weighs once unpacked, dependencies included and boto3 left out.

Lambda's runtime brings boto3 and what it needs. Should the package carry them all the same, they are shown apart
and not held against the bound.
"""

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from bench.report import Bound, Measurement
from deploy.package import build_lambda

_MB = 1_000_000
_MAX_MB = 30
_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "python_dateutil", "urllib3", "six")


def measure() -> list[Measurement]:
    """The package's size, as `deploy/` builds it for Lambda.

    Raises:
        ConfigurationError: the dependencies could not be installed.
    """
    with TemporaryDirectory() as folder:
        archive = build_lambda("autoscaler", Path(folder) / "autoscaler.zip", with_dependencies=True)
        own, runtime = _sizes(archive)
        zipped = archive.stat().st_size
    detail = f"zip {zipped / _MB:.1f} MB; of boto3 and its dependencies in it {runtime / _MB:.1f} MB"
    return [Measurement("autoscaler zip: unpacked", own / _MB, "MB", Bound("at most", _MAX_MB), detail)]


def _sizes(archive: Path) -> tuple[int, int]:
    """Unpacked bytes of what is ours to carry, and of what the runtime has anyway."""
    own = runtime = 0
    with ZipFile(archive) as opened:
        for member in opened.infolist():
            if _is_runtime(member.filename):
                runtime += member.file_size
            else:
                own += member.file_size
    return own, runtime


def _is_runtime(name: str) -> bool:
    """Whether a member belongs to a package of the runtime: its folder, its `.dist-info`, or its single module."""
    top = PurePosixPath(name).parts[0]
    return top.split("-")[0].removesuffix(".py") in _RUNTIME
