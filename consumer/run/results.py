"""Carries what the pipeline's threads did to the one thread that counts it, so that nobody counts under a lock."""

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
    """The model was at work for some time that no other result covers."""

    seconds: float


Result = JobEnded | ModelWorked
Item = TypeVar("Item")


def drain(queue: "SimpleQueue[Item]") -> Iterator[Item]:
    """Take what stands in a queue. Of several threads that drain it, each gets other items."""
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
