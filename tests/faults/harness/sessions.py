"""What was recorded: sessions of coded audio, or of the samples' real speech, and what is to come of each chunk.

It knows the truth that results are held against, and puts recordings into the bucket. It reads no result.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared.formats.layout import TRANSCRIPT_NAMES, metadata_key, session_path, transcript_key
from tests.faults.harness.audio import SLOT_SECONDS, coded_chunk, words_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SAMPLES: Final = Path(__file__).resolve().parents[3] / "samples" / "two_cities"
_UPLOADS: Final = 4


@dataclass(slots=True)
class RecordedSession:
    """One session as its recorder left it.

    Attributes:
        number: what its coded audio calls it; 0 of real speech, whose words are not known here.
        chunks: all its chunks, as spelled in their keys.
        live: those with a transcript by the live path, which are no gaps.
        forced: those of which a new transcript was asked for; kept by who asks.
        redriven: those whose dead letter an operator has put back; kept by who does.
        fails_with: chunk -> the reason with which it must become a dead letter; kept by who broke its audio.
    """

    user: str
    session: str
    number: int
    chunks: list[str] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    forced: set[str] = field(default_factory=set)
    redriven: set[str] = field(default_factory=set)
    fails_with: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return session_path(self.user, self.session)

    @property
    def gaps(self) -> list[str]:
        """The chunks that nobody has transcribed live."""
        return [chunk for chunk in self.chunks if chunk not in self.live]

    def unfilled(self, keys: Collection[str]) -> list[str]:
        """The gaps whose transcript is not among the bucket's `keys`."""
        return [chunk for chunk in self.gaps if transcript_key(self.path, chunk) not in keys]

    def is_finished(self, keys: Collection[str]) -> bool:
        """Whether the session's own transcript is there, or is not due: it had no gap, or still has one."""
        return not self.gaps or bool(self.unfilled(keys)) or f"{self.path}/{TRANSCRIPT_NAMES[-1]}" in keys

    def words(self, chunk: str) -> tuple[str, ...] | None:
        """What a chunk says, in order; `None` of real speech."""
        return words_of(self.number, int(chunk)) if self.number else None


class Recordings:
    """Puts sessions into the bucket and remembers them.

    Args:
        s3: past the proxy: what was recorded is there before a fault begins.

    Attributes:
        strays: keys of what was put that is no part of any recording, or not as it should be.
    """

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._sessions: dict[tuple[str, str], RecordedSession] = {}
        self.strays: set[str] = set()

    def __iter__(self) -> Iterator[RecordedSession]:
        return iter(tuple(self._sessions.values()))

    def put_session(
        self, user: str, session: str, chunks: Iterable[int], transcribed: Collection[int] = ()
    ) -> RecordedSession:
        """Put coded chunks with these numbers, and live transcripts of those in `transcribed`; later calls add more."""
        recorded = self._session(user, session, coded=True)
        numbers = list(chunks)
        objects = [(f"{recorded.path}/chunk-{n:03d}.flac", coded_chunk(recorded.number, n)) for n in numbers]
        # Transcripts first, as no scan that runs meanwhile must take their chunks for gaps.
        self._put((transcript_key(recorded.path, f"{n:03d}"), _live(recorded.number, n)) for n in sorted(transcribed))
        recorded.live |= {f"{n:03d}" for n in transcribed}
        recorded.chunks += [f"{n:03d}" for n in numbers if f"{n:03d}" not in recorded.chunks]
        self._put(objects)
        return recorded

    def put_recording(
        self, user: str, session: str, kind: str = "restart", transcribed: Collection[int] = ()
    ) -> RecordedSession:
        """Put the sample's real speech: ten chunks of five seconds, as recorders of this `kind` write them.

        Args:
            kind: `restart` (each chunk is a file) or `timeslice` (all are slices of one stream).
        """
        recorded = self._session(user, session, coded=False)
        audio = sorted((_SAMPLES / kind).glob("chunk-*.webm"))
        self._put((f"{recorded.path}/{file.name}", file.read_bytes()) for file in audio)
        recorded.chunks = [file.stem.removeprefix("chunk-") for file in audio]
        recorded.live = {f"{number:03d}" for number in transcribed}
        live = [_SAMPLES / "transcripts" / f"transcription-chunk-{chunk}.json" for chunk in sorted(recorded.live)]
        self._put((f"{recorded.path}/{file.name}", file.read_bytes()) for file in live)
        return recorded

    def put_metadata(self, session: RecordedSession, body: bytes) -> None:
        """Put what the recorder says about a session."""
        self._put([(metadata_key(session.path), body)])

    def put_stray(self, key: str, body: bytes) -> None:
        """Put something that the fleet is to leave alone."""
        self.strays.add(key)
        self._put([(key, body)])

    def _session(self, user: str, session: str, *, coded: bool) -> RecordedSession:
        number = 1 + sum(recorded.number > 0 for recorded in self) if coded else 0
        return self._sessions.setdefault((user, session), RecordedSession(user, session, number))

    def _put(self, objects: Iterable[tuple[str, bytes]]) -> None:
        def put(item: tuple[str, bytes]) -> None:
            self._s3.put_object(Bucket=self._bucket, Key=item[0], Body=item[1])

        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(put, objects))


def _live(session: int, chunk: int) -> bytes:
    """A transcript as the live path writes it: the same words at the same times as the fleet would hear."""
    middles = [(slot + 0.5) * SLOT_SECONDS for slot in range(len(words_of(session, chunk)))]
    words = [
        {"word": f" {word}", "start": round(middle - 0.1, 3), "end": round(middle + 0.1, 3), "probability": 1.0}
        for word, middle in zip(words_of(session, chunk), middles, strict=True)
    ]
    text = " ".join(words_of(session, chunk))
    segment = {"text": text, "start": middles[0] - 0.1, "end": middles[-1] + 0.1, "is_final": True, "words": words}
    return json.dumps({"segments": [segment]}).encode()
