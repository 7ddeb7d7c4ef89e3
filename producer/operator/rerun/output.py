"""Says what a re-run is about to do and has done: as lines for people, as one document for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.operator.rerun.enqueue import How, Queued
from producer.operator.rerun.progress import RerunStatus
from producer.operator.rerun.selection import Choice
from producer.operator.sessions.chunk_ranges import ranges
from producer.operator.sessions.find import FoundSession
from shared.session.folder import SessionFolder


@dataclass(frozen=True, slots=True)
class Found:
    """A session as it is before its re-run; `rows` is absent when the ledger could not be read."""

    session: FoundSession
    folder: SessionFolder
    rows: Mapping[str, Mapping[str, Any]] | None
    choice: Choice


def document(found: Found, how: How, *, dry_run: bool) -> dict[str, Any]:
    """What is to be done, for machines."""
    choice, folder = found.choice, found.folder
    return {
        "sessionId": found.session.session_id,
        "userId": found.session.user_id,
        "sessionPath": found.session.path,
        "audioChunks": len(folder.audio),
        "transcriptionChunks": sum(chunk in folder.transcripts for chunk in folder.audio),
        "selected": list(choice.run),
        "replaced": [chunk for chunk in choice.run if chunk in folder.transcripts],
        "haveTranscript": list(choice.left),
        "withoutAudio": list(choice.without_audio),
        "force": how.force,
        "model": how.model,
        "language": how.language,
        "priority": how.priority,
        "dryRun": dry_run,
    }


def result(queued: Queued, ended: RerunStatus | None) -> dict[str, Any]:
    """What was done, for machines; the ends of jobs are absent when nobody waited for them."""
    return {
        "rerunId": queued.rerun_id,
        "queue": queued.queue_url.rsplit("/", 1)[-1],
        "queued": [job.chunk for job in queued.jobs],
        "notQueued": queued.refused,
        "kept": queued.kept,
        "done": sorted(ended.done) if ended else None,
        "failed": dict(ended.failed) if ended else None,
        "cancelled": sorted(ended.cancelled) if ended else None,
        "unfinished": sorted(ended.at_work | ended.waiting) if ended else None,
    }


def intention(found: Found, how: How, *, dry_run: bool) -> list[str]:
    """What is to be done, for people."""
    choice, folder = found.choice, found.folder
    lines = [f"{found.session.name}: {len(folder.audio):,} chunks, {len(folder.gaps):,} without a transcript"]
    if choice.left:
        lines.append(f"left alone, as they have a transcript (--force replaces it): {_numbers(choice.left)}")
    if choice.without_audio:
        lines.append(f"no audio: {ranges(choice.without_audio)}")
    if not choice.run:
        return [*lines, "nothing to queue"]
    replaced = [chunk for chunk in choice.run if chunk in folder.transcripts]
    words = [f"{'would queue' if dry_run else 'queueing'} {len(choice.run):,} chunks: {_numbers(choice.run)}"]
    words += [f"model {how.model}"] if how.model else []
    words += [f"language {how.language}"] if how.language else []
    lines.append(", ".join(words))
    return [*lines, f"replacing the transcripts of {_numbers(replaced)}"] if replaced else lines


def outcome(queued: Queued, *, wait: bool) -> list[str]:
    """What was queued and kept, for people."""
    lines = [f"queued {len(queued.jobs):,} jobs on {queued.queue_url.rsplit('/', 1)[-1]}"]
    lines += [f"NOT queued: chunk {chunk}: {why}" for chunk, why in queued.refused.items()]
    if queued.kept and not wait:
        lines.append(
            f"{queued.kept:,} former transcripts lie in history/{queued.rerun_id}/ until the session's next re-run "
            "finds the new ones in place"
        )
    return lines


def ending(ended: RerunStatus) -> list[str]:
    """How the jobs ended, for people."""
    lines = [f"{len(ended.done):,} done, {len(ended.failed):,} failed, {len(ended.cancelled):,} cancelled"]
    lines += [f"failed: chunk {chunk}: {why}" for chunk, why in ended.failed.items()]
    unfinished = len(ended.at_work) + len(ended.waiting)
    return [*lines, f"{unfinished:,} not done in time; their jobs go on"] if unfinished else lines


def _numbers(chunks: Sequence[str]) -> str:
    return ranges(int(chunk) for chunk in chunks)
