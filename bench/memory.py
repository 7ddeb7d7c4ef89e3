"""Measures the worker's memory: whether it grows with the chunks that it has done, and with the length of a session.

Chunks are short here and encoded with few bits: they cost little time and little of the embedded cloud's memory, and
the worker keeps or loses a chunk of two seconds as it does one of five.
"""

import itertools
from collections.abc import Sequence

from bench.children import MeasurementError
from bench.fleet import WorkerRun, bench_fleet
from bench.recorders import restart
from bench.report import Bound, Measurement
from bench.sessions import audio_objects, bench_session, chunk_names, existing_transcripts
from bench.speech import recordings

_CHUNK_SECONDS = 2
_BITS_A_SECOND = 24_000
_MB = 1_000_000
_MAX_GROWTH_MB = 50
_CHUNKS = 1_000
_WARM_UP_CHUNKS = 200
_SHORT_SESSION = 600
_LONG_SESSION = 20_000
_GAPS = 40
_MAX_MORE_FOR_LENGTH_MB = 50
_SETTINGS = {"SCRIBEFLEET_CHUNK_SECONDS": str(_CHUNK_SECONDS)}


def measure() -> list[Measurement]:
    """Growth over many chunks, and peaks for a short and a long session.

    Raises:
        MeasurementError: speech could not be fetched, a run failed, or the system does not tell a process's memory.
    """
    chunks = [chunk.data for chunk in restart(recordings()[0].samples, _CHUNK_SECONDS, _BITS_A_SECOND)]
    growth = _grown(_run(chunks, _CHUNKS, _CHUNKS))
    peaks = {length: _run(chunks, length, _GAPS).memory.peak / _MB for length in (_SHORT_SESSION, _LONG_SESSION)}
    return [
        growth,
        Measurement(
            "memory: long session above short one",
            round(peaks[_LONG_SESSION] - peaks[_SHORT_SESSION], 1),
            "MB",
            Bound("at most", _MAX_MORE_FOR_LENGTH_MB),
            f"peaks of {peaks[_LONG_SESSION]:.0f} MB with {_LONG_SESSION:,} chunks and {peaks[_SHORT_SESSION]:.0f} MB "
            f"with {_SHORT_SESSION:,}, {_GAPS} gaps in each",
        ),
    ]


def gaps_of(length: int, gaps: int) -> list[int]:
    """Places of gaps in a session, from 0 on: evenly spread, with the first chunk and the last one among them."""
    return sorted({round(index * (length - 1) / max(1, gaps - 1)) for index in range(gaps)})


def _run(chunks: Sequence[bytes], length: int, gaps: int) -> WorkerRun:
    """A worker on one session of `length` chunks, in a cloud that holds nothing else."""
    with bench_fleet(_SETTINGS) as fleet:
        session = bench_session(f"{length}-chunks")
        audio = list(itertools.islice(itertools.cycle(chunks), length))
        fleet.upload(audio_objects(session, audio, "webm"))
        missing = set(gaps_of(length, gaps))
        there = [name for index, name in enumerate(chunk_names(length)) if index not in missing]
        fleet.upload(existing_transcripts(session, there))
        fleet.scan(gaps)
        run = fleet.work()
    if not run.memory.samples:
        raise MeasurementError("this system does not tell how much memory a process has")
    return run


def _grown(run: WorkerRun) -> Measurement:
    warm, after = run.memory.highest(0, _WARM_UP_CHUNKS), run.memory.highest(_WARM_UP_CHUNKS + 1)
    detail = f"{warm / _MB:.0f} MB at most in the first {_WARM_UP_CHUNKS}, {after / _MB:.0f} MB later"
    growth = max(0.0, round((after - warm) / _MB, 1))
    name = f"memory: growth over {_CHUNKS:,} chunks"
    return Measurement(name, growth, "MB", Bound("at most", _MAX_GROWTH_MB), detail)
