"""Measures what a cold start of the autoscaler's Lambda pays for imports, and that no worker's library is among them.

Each import happens in a fresh interpreter, in turns with a bare `import boto3`, which no Lambda of ours can avoid.
"""

from statistics import median
from typing import Any

from bench.children import environment, run_python_json
from bench.report import Bound, Measurement

_RUNS = 5
_MAX_SECONDS = 1
_RUN_LIMIT_SECONDS = 60
_WORKERS_ONLY = ("av", "ctranslate2", "faster_whisper", "moto", "numpy")

# The clock is started before and the modules are read after the import under test, within the same interpreter:
# its own start is Lambda's affair and the same on both sides.
_PROGRAM = """
import json, sys, time
began = time.perf_counter()
import {module}
seconds = time.perf_counter() - began
print(json.dumps({{"seconds": seconds, "modules": sorted(sys.modules)}}))
"""


def measure() -> list[Measurement]:
    """The import's numbers.

    Raises:
        MeasurementError: the import failed.
    """
    handler, boto3 = [], []
    for _ in range(_RUNS):
        boto3.append(_import("boto3"))
        handler.append(_import("autoscaler.handler"))
    seconds = median(each["seconds"] for each in handler)
    beside = median(each["seconds"] for each in boto3)
    unwanted = sorted({name for each in handler for name in _WORKERS_ONLY if name in each["modules"]})
    return [
        Measurement("handler import", seconds, "s", Bound("at most", _MAX_SECONDS), f"median of {_RUNS}"),
        Measurement("handler import to `import boto3`", seconds / beside, "ratio", detail=f"boto3: {beside:.2f} s"),
        Measurement(
            "handler import: workers' modules",
            len(unwanted),
            "modules",
            Bound("at most", 0),
            "imported: " + ", ".join(unwanted) if unwanted else "none of " + ", ".join(_WORKERS_ONLY),
        ),
    ]


def _import(module: str) -> dict[str, Any]:
    return run_python_json(["-c", _PROGRAM.format(module=module)], environment(), _RUN_LIMIT_SECONDS)
