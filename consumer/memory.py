"""Has the C library give memory back that is free again.

Every window is megabytes of samples that one thread makes and another one frees. By default glibc keeps a heap for each
few threads and grows the size up to which it serves from them, so that the holes in all of them add up: measured over
1,000 chunks, a worker took 570 MB instead of 330.
"""

import ctypes
from typing import Final

# malloc.h: values of glibc's mallopt(3)
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
# Larger pieces are mapped by themselves, and unmapped when they are freed.
_OWN_MAPPING_BYTES: Final = 256 * 1024
_HEAPS: Final = 2


def give_back_free_memory() -> bool:
    """Set this process's allocator so; returns False, changing nothing, with a C library that is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES) and mallopt(_M_ARENA_MAX, _HEAPS))
