"""Makes a failing input smaller as long as it fails in the same way: by leaving out ever shorter pieces of it."""

from collections.abc import Callable


def shrunk(data: bytes, fails: Callable[[bytes], bool], tries: int) -> bytes:
    """The smallest input found in at most `tries` calls of `fails`; `data` itself when none is smaller."""
    piece = max(1, len(data) // 2)
    at = 0
    while tries > 0:
        candidate = data[:at] + data[at + piece :]
        tries -= 1
        if len(candidate) < len(data) and fails(candidate):
            data = candidate
        else:
            at += piece
        if at >= len(data):
            if piece == 1:
                return data
            piece, at = max(1, piece // 2), 0
    return data
