"""Measures how much of its time the worker transcribes while the cloud is far away: a GPU that waits costs the same.

Each call of S3 takes 100 ms longer than here and each call of SQS 50 ms. The time that counts runs from the first
look at a queue that is full to the end of the last window: while there was work, in other words.
"""

from bench.children import MeasurementError
from bench.fleet import WorkerRun, bench_fleet
from bench.recorders import restart
from bench.report import Bound, Measurement
from bench.slow_cloud import SlowCloud, slow_cloud
from bench.speech import recordings
from bench.throughput import fill

_DELAYS = {"s3": 0.1, "sqs": 0.05}
_MIN_FRACTION = 0.95
_COPIES = 2


def measure() -> list[Measurement]:
    """The busy fraction.

    Raises:
        MeasurementError: speech could not be fetched, or a run failed.
    """
    corpus = [restart(each.samples) for each in recordings()]
    with bench_fleet() as fleet, slow_cloud(fleet.cloud.endpoint, _DELAYS) as proxy:
        run = fill(fleet, corpus, "far-away", _COPIES, proxy.endpoint)
        return [_fraction(run, proxy)]


def _fraction(run: WorkerRun, proxy: SlowCloud) -> Measurement:
    calls = proxy.calls()
    if proxy.first_receive is None or not calls["s3"]:
        raise MeasurementError("the worker's calls did not come through the proxy")
    busy, last_end = time_in_model(run)
    seconds = last_end - proxy.first_receive
    far = f"{calls['s3']:,} calls of S3 with 100 ms more, {calls['sqs']:,} of SQS with 50 ms"
    detail = f"{busy:.1f} of {seconds:.1f} s; {far}"
    return Measurement("busy fraction, far cloud", busy / seconds, "of time", Bound("at least", _MIN_FRACTION), detail)


def time_in_model(run: WorkerRun) -> tuple[float, float]:
    """Seconds in which the model was at work, and when it ended, in seconds since the epoch.

    Threads that are in the model at the same time count once: the report has the sum, the log the last end.

    Raises:
        MeasurementError: neither says.
    """
    ends = run.named("window_transcribed", "chunk_transcribed")
    windows = run.named("window_transcribed")
    if not ends:
        raise MeasurementError("the worker's log tells of no transcription")
    busy = float(run.report["performance"]["transcribeDurationSeconds"])
    return busy, (windows or ends)[-1].at
