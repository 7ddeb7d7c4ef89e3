"""Builds a small tree of recordings from the samples: three users, four sessions, real speech, real transcripts.

Used by the demo and by tests.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from shared.formats.layout import session_path, transcript_key

SAMPLES = Path(__file__).parent.parent / "samples" / "two_cities"
CHUNKS = tuple(f"{number:03d}" for number in range(1, 11))


def add_session(
    root: Path, user_id: str, session_id: str, *, gaps: Collection[str] = (), recorder: str = "restart"
) -> str:
    """Add the sample recording to a tree as one session, with its transcripts except those of `gaps`.

    Args:
        recorder: `restart` (each chunk a file of its own) or `timeslice` (slices of one WebM stream).

    Returns:
        The session path.
    """
    session = session_path(user_id, session_id)
    folder = root / session
    folder.mkdir(parents=True)
    for chunk in CHUNKS:
        audio = folder / f"chunk-{chunk}.webm"
        shutil.copyfile(SAMPLES / recorder / audio.name, audio)
        if chunk in gaps:
            continue
        transcript = json.loads((SAMPLES / "transcripts" / f"transcription-chunk-{chunk}.json").read_text())
        transcript |= {"userId": user_id, "sessionId": session_id, "audioKey": f"{session}/{audio.name}"}
        (root / transcript_key(session, chunk)).write_text(json.dumps(transcript))
    return session


def sample_tree(root: Path) -> list[str]:
    """The demo's recordings: one session complete, one with gaps in the middle, two without any transcript.

    Returns:
        The session paths, in this order.
    """
    return [
        add_session(root, "alice", "2026-03-02-complete"),
        add_session(root, "alice", "2026-03-03-connection-dropped", gaps=("004", "005", "006", "009")),
        add_session(root, "bob", "2026-03-04-never-transcribed", gaps=CHUNKS),
        add_session(root, "carol", "2026-03-05-sliced-stream", gaps=CHUNKS, recorder="timeslice"),
    ]


def session_text(root: Path, session: str) -> str:
    """The words of a session, from its chunks' transcripts in the order of the recording."""
    texts = (json.loads((root / transcript_key(session, chunk)).read_text())["text"] for chunk in CHUNKS)
    return " ".join(text for text in texts if text)


def reference_text() -> str:
    """What is said in the sample recording."""
    return (SAMPLES / "reference.txt").read_text().strip()
