"""Chooses the chunks of a re-run. Pure: it sees what a folder holds and what the ledger says, and does nothing."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from producer.operator.sessions.folder import SessionFolder
from shared.formats.layout import chunk_order

_PART: Final = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")
_MOST_CHUNKS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for; without any of the first three it is the session's gaps.

    Attributes:
        numbers: of chunks, however they are spelled.
        everything: every chunk that has audio.
        failed: those whose job failed, by the ledger.
        force: also those that have a transcript, which is replaced.
    """

    numbers: tuple[int, ...] | None = None
    everything: bool = False
    failed: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The chunks, as spelled and in the order of the recording.

    Attributes:
        run: those to transcribe.
        left: those asked for that have a transcript, which stays.
        without_audio: the numbers asked for that no audio has.
    """

    run: tuple[str, ...]
    left: tuple[str, ...] = ()
    without_audio: tuple[int, ...] = ()


def parse_chunks(text: str) -> tuple[int, ...]:
    """The numbers in a list such as `1,7-9`, sorted.

    Raises:
        ValueError: it is no such list; the text says which part.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is neither a number nor a range; write them as in 1,7-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last - first >= _MOST_CHUNKS:
            raise ValueError(f"the range {part.strip()} goes backwards or is too long")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def choose(folder: SessionFolder, wanted: Wanted, failed: Collection[str] = ()) -> Choice:
    """The chunks of a re-run.

    Args:
        failed: the chunks whose job failed.
    """
    chunks = folder.chunks
    unknown: tuple[int, ...] = ()
    if wanted.numbers is not None:
        chunks, unknown = _numbered(chunks, wanted.numbers)
    elif wanted.failed:
        chunks = [chunk for chunk in chunks if chunk in failed]
    elif not wanted.everything:
        chunks = folder.gaps
    if wanted.force:
        return Choice(tuple(chunks), (), unknown)
    return Choice(
        run=tuple(chunk for chunk in chunks if chunk not in folder.transcripts),
        left=tuple(chunk for chunk in chunks if chunk in folder.transcripts),
        without_audio=unknown,
    )


def _numbered(chunks: Iterable[str], numbers: Collection[int]) -> tuple[list[str], tuple[int, ...]]:
    wanted = set(numbers)
    found = sorted((chunk for chunk in chunks if int(chunk) in wanted), key=chunk_order)
    return found, tuple(sorted(wanted - {int(chunk) for chunk in found}))


def ranges(chunks: Iterable[int]) -> str:
    """Chunk numbers in order, shortened for people: `1, 7-9`."""
    spans: list[list[int]] = []
    for number in chunks:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
