"""Threads of the pipeline: a failure in any of them is told and logged, and none ends with work left undone."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from consumer.run.threads import Threads


class CrashError(Exception):
    """What a test's step raises."""


def crash() -> None:
    raise CrashError("in a thread")


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """The log's events with what was bound to them."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as events:
        yield events
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def failures() -> list[str]:
    """The names of the threads that told of a failure."""
    return []


@pytest.fixture
def threads(failures: list[str]) -> Threads:
    return Threads(2, lambda: failures.append(threading.current_thread().name))


def test_a_step_that_fails_is_told_and_logged_and_the_next_ones_are_still_done(
    threads: Threads, failures: list[str], logs: list[Any]
) -> None:
    done: list[int] = []
    threads.submit(crash)
    threads.submit(done.append, 1)
    threads.submit(done.append, 2)
    threads.join()
    assert sorted(done) == [1, 2]
    assert len(failures) == 1
    assert [(line["event"], line["log_level"], line["error"]) for line in logs] == [
        ("pipeline_broken", "error", "CrashError")
    ]


def test_a_stage_that_fails_is_told_from_its_own_thread_and_logged(
    threads: Threads, failures: list[str], logs: list[Any]
) -> None:
    threads.start("plan", crash)
    threads.join()
    assert failures == ["plan"]
    assert [(line["event"], line["error"]) for line in logs] == [("pipeline_broken", "CrashError")]


def test_what_goes_well_is_neither_told_nor_logged(threads: Threads, failures: list[str], logs: list[Any]) -> None:
    done: list[str] = []
    threads.start("plan", done.append, "stage")
    threads.submit(done.append, "step")
    threads.join()
    assert sorted(done) == ["stage", "step"]
    assert (failures, logs) == ([], [])


def test_a_thread_logs_with_what_its_starter_had_bound_at_that_moment(threads: Threads, logs: list[Any]) -> None:
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(worker="i-1", job="first"):
        threads.submit(log.info, "step")
        threads.start("plan", log.info, "stage")
    with structlog.contextvars.bound_contextvars(worker="i-1", job="second"):
        threads.submit(log.info, "later step")
    threads.submit(crash)
    threads.join()
    assert {line["event"]: (line.get("worker"), line.get("job")) for line in logs} == {
        "step": ("i-1", "first"),
        "stage": ("i-1", "first"),
        "later step": ("i-1", "second"),
        "pipeline_broken": (None, None),
    }


def test_the_steps_that_a_stage_leaves_at_its_end_are_done_before_the_threads_are_joined(threads: Threads) -> None:
    joining = threading.Event()
    done: list[int] = []

    def step(number: int) -> None:
        # Some milliseconds of work, so that not all steps are done by chance before a join that does not wait.
        done.append(sum(range(200_000)) and number)

    def stage() -> None:
        joining.wait(timeout=10)
        for number in range(20):
            threads.submit(step, number)

    threads.start("plan", stage)
    joining.set()
    threads.join()
    assert sorted(done) == list(range(20))
