"""Metric lines, against the specification of the embedded metric format."""

import errno
import io
import json
from datetime import UTC, datetime

from shared.metrics import Value, metric_line, write_line

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_a_line_names_each_metric_its_unit_and_the_keys_of_its_dimensions() -> None:
    line = metric_line(NOON, "blue", {"Starts": Value(2), "Age": Value(1.5, "Seconds")}, State="running")
    assert line == {
        "_aws": {
            "Timestamp": 1772366400250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Scribefleet",
                    "Dimensions": [["Fleet", "State"]],
                    "Metrics": [{"Name": "Starts", "Unit": "Count"}, {"Name": "Age", "Unit": "Seconds"}],
                }
            ],
        },
        "Fleet": "blue",
        "State": "running",
        "Starts": 2,
        "Age": 1.5,
    }


class _Buffered(io.StringIO):
    """Keeps what is written to itself until it is flushed, as a pipe's stream does."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = ""

    def flush(self) -> None:
        self.arrived = self.getvalue()


def test_each_line_arrives_at_once_and_alone_on_its_line() -> None:
    stream = _Buffered()
    write_line({"a": "with\nbreak"}, stream)
    write_line({"b": 1}, stream)
    assert [json.loads(line) for line in stream.arrived.splitlines()] == [{"a": "with\nbreak"}, {"b": 1}]


class _FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_work_goes_on_when_a_line_cannot_be_written() -> None:
    stream = _FullDisk()
    write_line({"a": 1}, stream)
    assert stream.getvalue()
