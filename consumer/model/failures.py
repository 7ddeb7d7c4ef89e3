"""What an error of CTranslate2 means: try at lower cost, end the process, or give up this one window.

CTranslate2 raises `RuntimeError` for everything and says only in the text what happened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from consumer.model.transcriber import TranscriberBrokenError, WindowFailedError

_MEMORY: Final = ("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "bad_alloc")
_DEVICE: Final = ("cuda", "cublas", "cudnn", "curand", "nccl")


class OutOfMemoryError(Exception):
    """The model ran out of memory. It stays within the transcriber, which tries at lower cost."""


def meaning(text: str) -> Literal["memory", "device", "window"]:
    """What the text of an error of the model speaks of."""
    lower = text.lower()
    if any(mark in lower for mark in _MEMORY):
        return "memory"
    return "device" if any(mark in lower for mark in _DEVICE) else "window"


@contextmanager
def model_errors() -> Iterator[None]:
    """Turn what the model raises into `OutOfMemoryError`, `TranscriberBrokenError` or `WindowFailedError`.

    IndexError and ValueError are what word timestamps have raised on odd audio (SYSTRAN/faster-whisper#57, #1118).
    """
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(str(error)) from error
    except RuntimeError as error:
        what = meaning(str(error))
        if what == "memory":
            raise OutOfMemoryError(str(error)) from error
        if what == "device":
            raise TranscriberBrokenError(f"the GPU or its libraries failed: {error}") from error
        raise WindowFailedError(f"the model failed: {error}") from error
    except (IndexError, ValueError) as error:
        raise WindowFailedError(f"the model failed: {type(error).__name__}") from error
