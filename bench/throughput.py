"""Measures how much faster the worker fills a corpus without transcripts than a plain loop over the same chunks.

Both take turns, so that what else the machine does falls on both, and each pair gives one ratio. Loading the model
is left out on both sides; everything else that the worker does is in, from its first look at the queue to its last
transcript: S3, the queue, the ledger, leases and heartbeats, with the embedded cloud on the same cores.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import direct
from bench.children import MeasurementError
from bench.fleet import BenchFleet, WorkerRun, bench_fleet
from bench.recorders import Chunk, restart
from bench.report import Bound, Measurement
from bench.sessions import audio_objects, bench_session
from bench.speech import recordings

_ROUNDS = 3
_MIN_RATIO = 1.6
# The worker is the faster side and gets the corpus twice, so that both run long enough to be timed.
_COPIES = 2


def measure() -> list[Measurement]:
    """The worker's speed beside the plain loop's.

    Raises:
        MeasurementError: speech could not be fetched, a run failed, or not all was transcribed.
    """
    corpus = [restart(each.samples) for each in recordings()]
    loops, workers = [], []
    with bench_fleet() as fleet, TemporaryDirectory(prefix="scribefleet-bench-") as folder:
        for index, chunk in enumerate(chunk for chunks in corpus for chunk in chunks):
            (Path(folder) / f"{index:04d}.webm").write_bytes(chunk.data)
        for turn in range(_ROUNDS):
            loops.append(direct.transcribe([Path(folder)]).speed)
            workers.append(fill(fleet, corpus, f"round-{turn}", _COPIES).speed)
    ratios = [worker / loop for worker, loop in zip(workers, loops, strict=True)]
    pairs = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return [
        Measurement(
            "throughput: worker to plain loop",
            median(ratios),
            "ratio",
            Bound("at least", _MIN_RATIO),
            f"all chunks missing; median of {_ROUNDS} pairs: {pairs}",
        ),
        Measurement("throughput: worker", median(workers), "s/s", detail="seconds of audio in a second"),
        Measurement("throughput: plain loop", median(loops), "s/s", detail="seconds of audio in a second"),
    ]


def fill(
    fleet: BenchFleet, corpus: list[list[Chunk]], name: str, copies: int, endpoint: str | None = None
) -> WorkerRun:
    """Let a worker fill sessions without transcripts, and make sure that it did.

    Raises:
        MeasurementError: the run failed, or left audio out.
    """
    for copy in range(copies):
        for index, chunks in enumerate(corpus):
            session = bench_session(f"{name}-{copy}-{index}")
            fleet.upload(audio_objects(session, [chunk.data for chunk in chunks], "webm"))
    fleet.scan(copies * sum(len(chunks) for chunks in corpus))
    run = fleet.work(endpoint)
    expected = copies * sum(chunks[-1].end for chunks in corpus)
    if abs(run.audio_seconds - expected) > 0.01 * expected:
        raise MeasurementError(f"the worker transcribed {run.audio_seconds:.0f} s of {expected:.0f} s")
    return run
