"""What the pipeline's threads put into a queue for the loop, which counts it without holding them up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import TypeVar

from consumer.jobs.stages import JobRecord


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job has ended for good."""

    record: JobRecord
    at: datetime


@dataclass(frozen=True, slots=True)
class ModelWorked:
    """The model was at work; time in which windows overlap is in one result only."""

    seconds: float


Result = JobEnded | ModelWorked
Item = TypeVar("Item")


def drain(queue: "SimpleQueue[Item]") -> Iterator[Item]:
    """Take all items from a queue. Several threads may do so at the same time: each item goes to one of them."""
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
