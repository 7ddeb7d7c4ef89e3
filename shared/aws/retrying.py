"""Tries calls to AWS again in place, where their errors say that this can help."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from shared.clock import Clock
from shared.errors import is_retryable

log = structlog.get_logger()

T = TypeVar("T")


class Retrier:
    """Makes a call, and again 1, 2, 4 s (and jitter) later while that can help; then its error is raised."""

    def __init__(self, attempts: int, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock

    def __call__(self, call: Callable[..., T], *arguments: object) -> T:
        retrying = Retrying(
            retry=retry_if_exception(is_retryable),
            stop=stop_after_attempt(self._attempts),
            wait=wait_exponential(multiplier=1, max=8) + wait_random(0, 0.5),
            sleep=self._clock.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(call, *arguments)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.debug("retrying", call=getattr(state.fn, "__name__", "call"), error=type(error).__name__)
