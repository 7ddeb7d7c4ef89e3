"""Chooses the chunks of a re-run. Pure: it sees what a folder holds and what the ledger says, and does nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.formats.layout import chunk_order
from shared.session.folder import SessionFolder


@dataclass(frozen=True, slots=True)
class ChunkRequest:
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


def choose(folder: SessionFolder, wanted: ChunkRequest, failed: Collection[str] = ()) -> Choice:
    """The chunks of a re-run.

    Args:
        failed: the chunks whose job failed.
    """
    chunks = sorted(folder.audio, key=chunk_order)
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
