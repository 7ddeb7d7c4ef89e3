"""Repeated calls beside the main thread."""

import signal
import threading

import pytest

from shared.background import repeating


def test_given_a_block_then_the_call_is_repeated_until_it_ends() -> None:
    called = threading.Semaphore(0)
    with repeating(called.release, 0.001, "test"):
        assert all(called.acquire(timeout=10) for _ in range(3))
    threads = [thread.name for thread in threading.enumerate()]
    assert "test" not in threads


def test_given_a_call_that_raises_then_the_process_is_asked_to_stop_and_the_error_raised(
    request: pytest.FixtureRequest,
) -> None:
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"), repeating(fail, 0.001, "test"):
        assert asked.wait(10)
