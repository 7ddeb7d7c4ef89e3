"""Freed audio goes back to the system."""

import platform
import subprocess
import sys

import pytest

CHILD = """
import gc
from consumer.memory import give_back_free_memory
assert give_back_free_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4
bytearray(8 * 1024 * 1024)  # after this, glibc by default serves what is smaller from its heaps
small = [bytearray(1000) for _ in range(1000)]
before = resident()
blocks = []
for number in range(400):  # large pieces between small ones that stay
    blocks.append(bytearray(512 * 1024))
    small.append(bytearray(1000))
held = resident()
del blocks
gc.collect()
print(held - before, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_what_is_freed_is_given_back_to_the_system() -> None:
    ran = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    held, left = map(int, ran.stdout.split())
    assert held > 190_000  # kB
    assert left < 20_000
