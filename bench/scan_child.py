"""The process that is measured: one pass over the simulated bucket, by the scanner or by a bare boto3 paginator.

Both clients have the fleet's configuration; the paginator's is otherwise boto3's own, so that whatever the fleet adds
to its client counts for the scanner alone. Writes one JSON object to stdout: `{seconds, keys, peakBytes}`, and for
the scanner its tally and `wrongGaps`. Peak memory is read before the gaps are checked, which costs memory of its own.
"""

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3

from bench.keyspace import ExpectedGap, Keyspace
from producer.scan.gaps import ScanTally, SessionGaps, find_gaps
from shared.aws.clients import s3_client
from shared.formats.layout import USERS_PREFIX

_BUCKET = "recordings"
_KIB = 1024


def _bare() -> dict[str, Any]:
    """The yardstick: list everything, count the keys, do nothing else."""
    s3 = boto3.client("s3", config=s3_client().meta.config)
    began = time.perf_counter()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=USERS_PREFIX)
    keys = sum(len(page.get("Contents", [])) for page in pages)
    return {"seconds": time.perf_counter() - began, "keys": keys, "peakBytes": peak_bytes()}


def _scan(keyspace: Keyspace, threads: int) -> dict[str, Any]:
    """One scan, keeping the gaps found, as the scanner's callers do."""
    s3 = s3_client()
    tally = ScanTally()
    now = keyspace.newest + timedelta(seconds=1)
    began = time.perf_counter()
    found = list(find_gaps(s3, _BUCKET, now=now, quiet_for=timedelta(0), threads=threads, tally=tally))
    measured = {"seconds": time.perf_counter() - began, "peakBytes": peak_bytes()}
    counts = asdict(tally) | {"unfinished": tally.unfinished.count}
    return counts | measured | {"wrongGaps": _wrong_gaps(keyspace, found)}


def _wrong_gaps(keyspace: Keyspace, found: Iterable[SessionGaps]) -> int:
    """Gaps missed, invented, found twice or described wrongly."""
    expected = Counter(keyspace.expected_gaps())
    actual = Counter(
        ExpectedGap(each.session_path, gap.chunk, gap.key, gap.size) for each in found for gap in each.gaps
    )
    return ((expected - actual) + (actual - expected)).total()


def peak_bytes() -> int:
    """The most resident memory that this process has had.

    Linux hands ru_maxrss of the process that called exec down to the one it becomes, so a large parent would be
    counted as ours; VmHWM starts afresh. Elsewhere ru_maxrss is all there is: bytes on macOS, KiB on the others.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * _KIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["scan", "bare"])
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    result = _bare() if options.what == "bare" else _scan(Keyspace(options.users), options.threads)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _main()
