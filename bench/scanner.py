"""Measures the scanner over a listing of a million keys: requests, speed beside a bare paginator, memory, result.

Scanner and paginator take turns over one server, each in a fresh process, and each pair gives one ratio: what
else the machine does falls on both. Speeds by themselves are shown without a bound, because they are the machine's.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from bench.children import MeasurementError, environment, run_python_json
from bench.keyspace import Keyspace
from bench.listing_server import LIST, ListingServer, listing_server
from bench.report import Bound, Measurement
from shared.settings import Settings

USERS = 500
PAIRS = 3
_MB = 1_000_000
_RUN_LIMIT_SECONDS = 600
_FASTEST_RATIO = 0.7
_MAX_MEMORY_MB = 200
_SPARE_LISTS = 10
# boto3 signs its requests with something; the server does not look.
_ANYONE = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "bench")


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over the bucket: what the child says, and what the server saw of it."""

    child: dict[str, Any]
    operations: Counter[str]
    server_cpu_seconds: float

    @property
    def keys_a_second(self) -> float:
        """Keys listed a second of the pass."""
        return float(self.child["keys"] / self.child["seconds"])

    @property
    def server_ms_a_list(self) -> float:
        """Processor time of the server for one LIST, in milliseconds."""
        return 1000 * self.server_cpu_seconds / max(1, self.operations[LIST])


def measure() -> list[Measurement]:
    """The scanner's numbers.

    Raises:
        MeasurementError: a run failed, or did not see every key.
    """
    threads = int(Settings.model_fields["scan_threads"].default)
    keyspace = Keyspace(USERS)
    scans, bare = [], []
    with listing_server(USERS) as server:
        for _ in range(PAIRS):
            bare.append(run(server, "bare", threads))
            scans.append(run(server, "scan", threads))
    _check_complete([*scans, *bare], len(keyspace))
    return [*_requests(keyspace, scans), *_speed(scans, bare, threads), *_result(keyspace, scans)]


def run(server: ListingServer, what: Literal["scan", "bare"], threads: int) -> Run:
    """One pass in a process of its own; `threads` matters to the scanner only."""
    env = environment(AWS_ENDPOINT_URL=server.endpoint, **_ANYONE)
    arguments = ["-m", "bench.scan_child", what, "--users", str(USERS), "--threads", str(threads)]
    before = server.counts()
    child = run_python_json(arguments, env, _RUN_LIMIT_SECONDS)
    after = server.counts()
    operations = Counter(after["operations"])
    operations.subtract(before["operations"])
    return Run(child, operations, after["cpuSeconds"] - before["cpuSeconds"])


def _check_complete(runs: Iterable[Run], keys: int) -> None:
    seen = {each.child["keys"] for each in runs}
    if seen != {keys}:
        raise MeasurementError(f"of {keys:,} keys the runs saw {sorted(seen)}; their speeds cannot be compared")


def _requests(keyspace: Keyspace, scans: list[Run]) -> list[Measurement]:
    lists = max(each.operations[LIST] for each in scans)
    others = max(each.operations.total() - each.operations[LIST] for each in scans)
    most = len(keyspace) // 1000 + keyspace.users + _SPARE_LISTS
    size = f"{len(keyspace):,} keys, {keyspace.users} users, {keyspace.sessions:,} sessions"
    return [
        Measurement("scanner: LIST calls", lists, "calls", Bound("at most", most), size),
        Measurement("scanner: other calls", others, "calls", Bound("at most", 0), "GET, HEAD and everything else"),
    ]


def _speed(scans: list[Run], bare: list[Run], threads: int) -> list[Measurement]:
    ratios = [scan.keys_a_second / paginator.keys_a_second for scan, paginator in zip(scans, bare, strict=True)]
    pairs = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    detail = f"{threads} threads; median of {PAIRS} pairs: {pairs}"
    return [
        Measurement(
            "scanner: speed to bare paginator", median(ratios), "ratio", Bound("at least", _FASTEST_RATIO), detail
        ),
        Measurement(
            "scanner: speed", median(each.keys_a_second for each in scans), "keys/s", detail=_server_share(scans)
        ),
        Measurement(
            "bare paginator: speed", median(each.keys_a_second for each in bare), "keys/s", detail=_server_share(bare)
        ),
    ]


def _server_share(runs: list[Run]) -> str:
    """What the server cost each side, so that a reader can see that it holds up neither."""
    return f"server: {median(each.server_ms_a_list for each in runs):.1f} ms of processor time a LIST"


def _result(keyspace: Keyspace, scans: list[Run]) -> list[Measurement]:
    peak = max(each.child["peakBytes"] for each in scans) / _MB
    wrong = max(each.child["wrongGaps"] for each in scans)
    gaps = sum(1 for _ in keyspace.expected_gaps())
    wrong_counts = sum(_wrong_tally(keyspace, each) for each in scans)
    return [
        Measurement("scanner: peak memory", peak, "MB", Bound("at most", _MAX_MEMORY_MB), "whole process"),
        Measurement("scanner: wrong gaps", wrong, "gaps", Bound("at most", 0), f"{gaps:,} gaps are there"),
        Measurement(
            "scanner: wrong counts", wrong_counts, "counts", Bound("at most", 0), "users, sessions, ignored, unfinished"
        ),
    ]


def _wrong_tally(keyspace: Keyspace, scan: Run) -> int:
    expected = {"users": keyspace.users, "sessions": keyspace.sessions, "ignored_keys": 0, "too_young": 0}
    expected["unfinished"] = keyspace.unfinished
    return sum(scan.child[name] != value for name, value in expected.items())
