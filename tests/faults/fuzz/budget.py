"""Bounds the work that an input may cause, and says by counting, not by the clock, when it is too much.

Time only chooses which inputs are counted: on a machine that is busy with other things some are counted in vain.
"""

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NoReturn

# Generous: parsers call some ten functions for an element of two bytes, and some walk over the data six times.
_FREE_CALLS: Final = 100_000
_CALLS_PER_BYTE: Final = 150
# Of this process's own time, as is all that follows.
_SUSPICIOUS_SECONDS: Final = 0.05
_SUSPICIOUS_SECONDS_PER_BYTE: Final = 4e-6
_LONG_SECONDS: Final = 1.0
# What gets here while it is counted does its work where no call of Python can be counted.
_STUCK_SECONDS: Final = 20.0


class TooMuchWorkError(BaseException):
    """An input of some bytes made the product do more than a bounded number of steps a byte.

    No `Exception`, so that no handler of the product takes it for one of its own.
    """


def bounded(check: Callable[[bytes], bool], data: bytes) -> bool:
    """What `check` says of `data`.

    Raises:
        TooMuchWorkError: its calls of functions are no bounded number for each byte. Else what `check` raises.
    """
    before = time.process_time()
    try:
        result = _within(_LONG_SECONDS, check, data)
    except _TimeUpError:
        return _counted(check, data)
    suspicious = _SUSPICIOUS_SECONDS + _SUSPICIOUS_SECONDS_PER_BYTE * len(data)
    return _counted(check, data) if time.process_time() - before > suspicious else result


def allowed_calls(length: int) -> int:
    """How many calls of functions an input of `length` bytes may cause."""
    return _FREE_CALLS + _CALLS_PER_BYTE * length


class _TimeUpError(BaseException):
    """The processor time is over."""


def _within(seconds: float, check: Callable[[bytes], bool], data: bytes) -> bool:
    before = signal.signal(signal.SIGVTALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        return check(data)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _time_is_up(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TimeUpError


def _counted(check: Callable[[bytes], bool], data: bytes) -> bool:
    allowed, calls = allowed_calls(len(data)), 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}
        if calls > allowed:
            raise TooMuchWorkError(f"more than {allowed:,} calls for {len(data):,} bytes")

    sys.setprofile(count)
    try:
        return _within(_STUCK_SECONDS, check, data)
    except _TimeUpError:
        raise TooMuchWorkError(f"more than {_STUCK_SECONDS:.0f} s of processor time") from None
    finally:
        sys.setprofile(None)
