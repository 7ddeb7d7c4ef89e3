"""Measures word errors: scribefleet's worker beside the plain loop and beside whole recordings, in the same run.

All three hear the same encoded audio. A session with a single gap says little by itself, so each gap's words are put
between its neighbours' words of the whole recording's transcript, and what that adds in errors is the gap's; the
figure is the whole recording's errors and those of all gaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import direct
from bench.direct import DirectRun, Word, text_of
from bench.fleet import BenchFleet, WorkerRun, bench_fleet
from bench.recorders import EXTENSIONS, RECORDERS, Chunk
from bench.report import Bound, Measurement
from bench.sessions import audio_objects, bench_session, chunk_names, existing_transcripts
from bench.speech import Recording, recordings
from bench.words import Score, score, total

_MAX_ABOVE_WHOLE = 1.0
_IN_TURN = ("restart", "timeslice")
# One recording is enough to see that a format is understood; Opus is what browsers record.
_MP4_RECORDING = "two-cities"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording as one recorder cut it."""

    recording: Recording
    recorder: str
    chunks: list[Chunk]

    @property
    def session(self) -> str:
        return bench_session(f"{self.recording.name}-{self.recorder}")

    def objects(self, session: str) -> dict[str, bytes]:
        """The audio as objects of a session."""
        return audio_objects(session, [chunk.data for chunk in self.chunks], EXTENSIONS[self.recorder])


def recorded(material: Sequence[Recording], recorder: str) -> list[Recorded]:
    """All recordings as one recorder cuts them."""
    return [Recorded(each, recorder, RECORDERS[recorder](each.samples)) for each in material]


def measure() -> list[Measurement]:
    """Word errors, speed and model calls of each way to transcribe.

    Raises:
        MeasurementError: speech could not be fetched, or a run failed.
    """
    material = recordings()
    cut = {recorder: recorded(material, recorder) for recorder in _IN_TURN}
    cut["mp4"] = recorded([each for each in material if each.name == _MP4_RECORDING], "mp4")
    whole = _transcribe([b"".join(chunk.data for chunk in each.chunks) for each in cut["timeslice"]])
    loop = _transcribe([chunk.data for each in cut["restart"] for chunk in each.chunks])
    words = {each.name: found for each, found in zip(material, whole.files, strict=True)}
    baseline = {each.name: score(each.reference, text_of(words[each.name])) for each in material}
    rows = [
        *_whole(material, whole, baseline),
        *_loop(cut["restart"], loop),
    ]
    with bench_fleet() as fleet:
        for recorder, sessions in cut.items():
            rows += _every(fleet, recorder, sessions, baseline)
        for recorder in _IN_TURN:
            rows += _in_turn(fleet, recorder, cut[recorder], words, baseline)
        failed = fleet.dead_letters()
    # A chunk that failed has no words, which are errors above, and is counted here.
    return [*rows, Measurement("words: chunks that failed", failed, "chunks", Bound("at most", 0), "of all runs")]


def spliced(words: Sequence[Word], chunks: Sequence[Chunk], gap: int, text: str) -> str:
    """The words of the whole recording, with `text` in place of those whose midpoint lies in the chunk `gap`."""
    chunk = chunks[gap]
    # Whatever lies before the first chunk or behind the last one belongs to it.
    start = chunk.start if gap > 0 else float("-inf")
    end = chunk.end if gap < len(chunks) - 1 else float("inf")
    before = [word for word in words if word.midpoint < start]
    after = [word for word in words if word.midpoint >= end]
    return " ".join([text_of(before), text, text_of(after)])


def _transcribe(files: Sequence[bytes]) -> DirectRun:
    with TemporaryDirectory(prefix="scribefleet-bench-") as folder:
        for index, data in enumerate(files):
            (Path(folder) / f"{index:04d}.webm").write_bytes(data)
        return direct.transcribe([Path(folder)])


def _whole(material: Sequence[Recording], run: DirectRun, baseline: Mapping[str, Score]) -> list[Measurement]:
    detail = _by_recording((each.name, baseline[each.name]) for each in material)
    return _row("whole recording", total(baseline.values()), run.speed, run.passes, None, detail)


def _loop(sessions: Sequence[Recorded], run: DirectRun) -> list[Measurement]:
    texts = iter(run.texts())
    scores = {
        each.recording.name: score(each.recording.reference, " ".join(next(texts) for _ in each.chunks))
        for each in sessions
    }
    return _row("plain loop", total(scores.values()), run.speed, run.passes, None, _by_recording(scores.items()))


def _every(
    fleet: BenchFleet, recorder: str, sessions: Sequence[Recorded], baseline: Mapping[str, Score]
) -> list[Measurement]:
    """Sessions without any transcript."""
    for each in sessions:
        fleet.upload(each.objects(each.session))
    fleet.scan(sum(len(each.chunks) for each in sessions))
    run = fleet.work()
    scores = {
        each.recording.name: score(each.recording.reference, fleet.texts(each.session, chunk_names(len(each.chunks))))
        for each in sessions
    }
    return worker_row(f"every chunk missing, {recorder}", run, sessions, scores, baseline)


def _in_turn(
    fleet: BenchFleet,
    recorder: str,
    sessions: Sequence[Recorded],
    words: Mapping[str, Sequence[Word]],
    baseline: Mapping[str, Score],
) -> list[Measurement]:
    """One session for each chunk, with that chunk missing and the transcripts of all others there."""
    for each in sessions:
        names = chunk_names(len(each.chunks))
        for gap in names:
            session = f"{each.session}-without-{gap}"
            there = existing_transcripts(session, [name for name in names if name != gap])
            fleet.upload(each.objects(session) | there)
    fleet.scan(sum(len(each.chunks) for each in sessions))
    run = fleet.work()
    scores = {each.recording.name: _with_gaps(fleet, each, words[each.recording.name]) for each in sessions}
    return worker_row(f"each chunk missing in turn, {recorder}", run, sessions, scores, baseline)


def _with_gaps(fleet: BenchFleet, session: Recorded, words: Sequence[Word]) -> Score:
    """The whole recording's errors and what each gap's words add to them; a gap can also take some away."""
    reference = session.recording.reference
    whole = score(reference, text_of(words))
    errors = whole.errors
    for index, gap in enumerate(chunk_names(len(session.chunks))):
        text = fleet.texts(f"{session.session}-without-{gap}", [gap])
        errors += score(reference, spliced(words, session.chunks, index, text)).errors - whole.errors
    return Score(max(0, errors), whole.words)


def worker_row(
    name: str,
    run: WorkerRun,
    sessions: Sequence[Recorded],
    scores: Mapping[str, Score],
    baseline: Mapping[str, Score],
) -> list[Measurement]:
    """The row of a run of the worker, and its words once more without the free speech.

    Whole recordings at once lose a sentence of the free speech between two of the model's 30 seconds, which makes
    that comparison an easy one. So the bound holds for what was read aloud by itself, too.
    """
    read = [each.recording.name for each in sessions if each.recording.read_aloud]
    by_recording = _by_recording(scores.items())
    rows = _row(name, total(scores.values()), run.speed, run.windows, _bound(scores, baseline), by_recording)
    if len(read) == len(scores):
        return rows
    aloud = {each: scores[each] for each in read}
    percent = round(total(aloud.values()).percent, 3)
    alone = Measurement(
        f"words: {name}, read aloud", percent, "% errors", _bound(aloud, baseline), _by_recording(aloud.items())
    )
    return [rows[0], alone, *rows[1:]]


def _bound(scores: Mapping[str, Score], baseline: Mapping[str, Score]) -> Bound:
    """One word in a hundred above the whole recordings of the same names."""
    return Bound("at most", round(total(baseline[name] for name in scores).percent + _MAX_ABOVE_WHOLE, 3))


def _row(
    name: str, scored: Score, speed: float, passes: int | None, bound: Bound | None, detail: str
) -> list[Measurement]:
    return [
        Measurement(f"words: {name}", round(scored.percent, 3), "% errors", bound, detail),
        Measurement(f"speed: {name}", round(speed, 2), "s/s", detail="seconds of missing audio in a second"),
        Measurement(
            f"calls: {name}",
            passes,
            "passes",
            detail="of at most 30 s through the model" if passes is not None else "the worker's log does not tell",
        ),
    ]


def _by_recording(scores: Iterable[tuple[str, Score]]) -> str:
    return ", ".join(f"{name} {each.errors}/{each.words}" for name, each in scores)
