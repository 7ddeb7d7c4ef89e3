"""Metrics as log lines in CloudWatch's embedded metric format, so that no part calls CloudWatch.

It knows the format and nothing of what is measured. Written here, and not with AWS's library, because it is one
dictionary, and that library brings a web client into the zip.
"""

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, TextIO

NAMESPACE = "Scribefleet"
"""Namespace of every metric of the fleet; `Fleet` is a dimension of each."""

Unit = Literal["Seconds", "Count", "None"]


class Value(NamedTuple):
    """One metric's value. CloudWatch has no unit for fractions, hours and money: theirs is `None`."""

    number: float
    unit: Unit = "Count"


def metric_line(moment: datetime, fleet: str, values: Mapping[str, Value], **dimensions: str) -> dict[str, Any]:
    """One line, JSON-able: metrics that share their dimensions, which are the fleet and what else is given.

    Format: Amazon CloudWatch User Guide, "Embedded metric format specification". A line holds one value for each
    dimension and for each metric, so that other dimensions need a line of their own.
    """
    named = {"Fleet": fleet, **dimensions}
    metrics = [{"Name": name, "Unit": value.unit} for name, value in values.items()]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(named)], "Metrics": metrics}
    header = {"Timestamp": int(moment.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": header, **named, **{name: value.number for name, value in values.items()}}


def write_line(line: Mapping[str, Any], stream: TextIO) -> None:
    """Write one line at once, alone: CloudWatch reads metrics only from log lines that are nothing but this JSON.

    What cannot be written, because the disk is full, is lost: work must not end because it cannot be counted.
    """
    with contextlib.suppress(OSError):
        stream.write(json.dumps(line) + "\n")
        stream.flush()
