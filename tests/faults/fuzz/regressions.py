"""Keeps inputs that once failed: a file each, in a folder for each target, replayed by every test run."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "regressions"


def save(target: str, data: bytes, folder: Path = FOLDER) -> Path:
    """Keep `data` for `target`; returns its file, whose name is drawn from the content."""
    path = folder / target / f"{sha256(data).hexdigest()[:12]}.input"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def kept(target: str, folder: Path = FOLDER) -> Iterator[Path]:
    """The files of a target's inputs, in the order of their names."""
    yield from sorted((folder / target).glob("*.input"))
