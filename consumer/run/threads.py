"""Threads that report their failures: a stage that died would leave messages held that nobody works on."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context

import structlog

log = structlog.get_logger()


class Threads:
    """A pool for short steps, and threads for whole stages. They inherit the log context of whoever starts them.

    Args:
        on_failure: called when a step or stage raised, in its thread.
    """

    def __init__(self, pool_size: int, on_failure: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(pool_size, "io")
        self._on_failure = on_failure
        self._stages: list[threading.Thread] = []

    @property
    def pool(self) -> Executor:
        return self._pool

    def submit(self, step: Callable[..., None], *arguments: object) -> None:
        """Run a step in the pool."""
        self._pool.submit(copy_context().run, self._guarded, step, *arguments)

    def start(self, name: str, stage: Callable[..., None], *arguments: object) -> None:
        """Start a thread for a stage."""
        thread = threading.Thread(
            target=copy_context().run, args=(self._guarded, stage, *arguments), name=name, daemon=True
        )
        self._stages.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for the stages to end, then for the steps that they submitted."""
        for stage in self._stages:
            stage.join()
        self._pool.shutdown()

    def _guarded(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:
            log.exception("pipeline_broken", error=type(error).__name__)
            self._on_failure()
