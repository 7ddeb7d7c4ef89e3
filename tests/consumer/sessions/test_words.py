"""A session of alternating live and batch chunks reads like the whole recording, by the real pipeline and model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.words import score, total
from consumer.media.decode import SAMPLE_RATE
from consumer.model.transcriber import Speech, Transcription
from consumer.model.whisper import WhisperTranscriber
from consumer.sessions.audio import SessionAudio
from shared.clock import SystemClock
from shared.formats.layout import session_path
from shared.setting_groups import ModelSettings

if TYPE_CHECKING:
    from tests.consumer.conftest import Crew, MakeCrew

pytestmark = pytest.mark.model

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"
REFERENCE = (SAMPLES / "reference.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    return WhisperTranscriber(
        ModelSettings(model="tiny.en", device="cpu", parallel_windows=1, cpu_threads=1), SystemClock()
    )


def test_four_sessions_have_the_words_of_the_whole_but_for_one_in_a_hundred(
    crew: "MakeCrew", whisper: WhisperTranscriber
) -> None:
    """Together, because one session of 119 words is too short to tell one in a hundred from none."""
    best, mixed = [], []
    wholes: dict[str, Transcription] = {}
    for recorder in ("restart", "timeslice"):
        for first_live in (1, 2):
            whole, text = alternating(crew, whisper, wholes, recorder, first_live)
            best.append(score(REFERENCE, whole))
            mixed.append(score(REFERENCE, text))
            # No session may carry the burden of all: two words at most.
            assert mixed[-1].errors <= best[-1].errors + 2, text

    assert total(mixed).percent <= total(best).percent + 1.0, mixed


def alternating(
    crew: "MakeCrew",
    whisper: WhisperTranscriber,
    wholes: dict[str, Transcription],
    recorder: str,
    first_live: int,
) -> tuple[str, str]:
    """The text of the whole recording, and that of a session of which a worker has filled every other chunk.

    Args:
        wholes: recorder -> what is heard in the whole of its recording, which is the same for all its sessions.
    """
    session = f"{recorder}-{first_live}"
    anything: Any = whisper
    # With a poll that waits: one that does not would ask the emulator again and again for as long as the model hears.
    polls = {"long_poll_seconds": 1, "max_empty_polls": 1}
    one = crew(scan_min_age_seconds=0, transcriber=anything, max_jobs_in_hand=40, **polls)
    chunks = [path.read_bytes() for path in sorted((SAMPLES / recorder).glob("chunk-*.webm"))]
    jobs = [one.job(f"{n:03d}", audio=body, session=session) for n, body in enumerate(chunks, 1)]
    audio = SessionAudio(one.cloud.s3, one.settings, one.retrier)
    samples = [audio.of(job).samples for job in jobs]
    if recorder not in wholes:
        [wholes[recorder]] = whisper.transcribe([Speech(np.concatenate(samples), "en")], should_abort=lambda: False)
    whole = wholes[recorder]
    ends = [float(end) for end in np.cumsum([len(part) for part in samples]) / SAMPLE_RATE]
    for n in range(first_live, len(samples) + 1, 2):
        begin, end = ([0.0, *ends][n - 1], ends[n - 1] if n < len(samples) else float("inf"))
        put_live(one, session, n, (begin, end), whole, from_session=recorder == "timeslice")

    one.run()

    key = f"{session_path('alice', session)}/transcription.json"
    made = json.loads(one.cloud.s3.get_object(Bucket=one.settings.bucket, Key=key)["Body"].read())
    assert made["metadata"]["liveChunks"] == made["metadata"]["batchChunks"] == 5
    assert made["metadata"]["liveTimes"] == ("session" if recorder == "timeslice" else "chunk")
    if first_live == 1:  # else the last chunk is a live one, of which nobody says that it is shorter than the others
        assert made["totalDuration"] == pytest.approx(ends[-1], abs=0.1)
    return " ".join(segment.text for segment in whole.segments), made["text"]


def put_live(one: "Crew", session: str, n: int, span: tuple[float, float], whole: Any, *, from_session: bool) -> None:
    """What a live path that hears the whole recording says of one chunk: the words whose midpoints lie in it."""
    begin, end = span
    zero = 0.0 if from_session else begin
    words = [word for segment in whole.segments for word in segment.words]
    own = [word for word in words if begin <= (word.start + word.end) / 2 < end]
    segments = [] if not own else [_segment(own, zero)]
    one.cloud.put_transcript("alice", session, f"{n:03d}", {"segments": segments})


def _segment(own: list[Any], zero: float) -> dict[str, Any]:
    return {
        "text": "".join(word.word for word in own).strip(),
        "start": own[0].start - zero,
        "end": own[-1].end - zero,
        "is_final": True,
        "words": [{"word": word.word, "start": word.start - zero, "end": word.end - zero} for word in own],
    }
