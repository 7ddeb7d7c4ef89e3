"""Counts how long jobs waited, each of them, in memory that does not grow with their number.

Jobs that a worker does one after the other wait evenly spaced times, so they are entered as a row. All rows have the
same step, the time that a worker needs for one job; a row is kept by where it begins and ends, and the counts are
added up at the end.
"""

import math
from collections import defaultdict

_LANES = 25


class Waits:
    """A tally of waits in seconds, as exact as a twenty-fifth of `step`.

    Args:
        step: seconds between two waits of a row.
    """

    def __init__(self, step: float) -> None:
        self._resolution = step / _LANES
        self._rows: dict[int, int] = defaultdict(int)  # where rows begin (+) and end (-)
        self._single: dict[int, int] = defaultdict(int)
        self.count = 0
        self.total = 0.0
        self.longest = 0.0
        self._step = step

    def add_row(self, first: float, count: int) -> None:
        """`count` jobs that waited `first`, `first + step`, and so on."""
        slot = round(first / self._resolution)
        self._rows[slot] += 1
        self._rows[slot + count * _LANES] -= 1
        self.count += count
        self.total += count * (first + (count - 1) * self._step / 2)
        self.longest = max(self.longest, first + (count - 1) * self._step)

    def add_same(self, wait: float, count: int) -> None:
        """`count` jobs that all waited `wait`."""
        self._single[round(wait / self._resolution)] += count
        self.count += count
        self.total += count * wait
        self.longest = max(self.longest, wait)

    def quantiles(self, *shares: float) -> list[float]:
        """The least waits that at least these shares (0 to 1, ascending) of the jobs did not exceed; zeros if none."""
        wanted = [max(1, math.ceil(share * self.count)) for share in shares]
        found: list[float] = []
        seen = 0
        for slot, count in self._slots():
            seen += count
            while len(found) < len(wanted) and seen >= wanted[len(found)]:
                found.append(slot * self._resolution)
        return found + [0.0] * (len(wanted) - len(found))

    def _slots(self) -> list[tuple[int, int]]:
        """How many jobs waited how long: slot, count; ascending."""
        counts: dict[int, int] = defaultdict(int, self._single)
        lanes: dict[int, list[int]] = defaultdict(list)
        for slot in sorted(self._rows):
            lanes[slot % _LANES].append(slot)
        for slots in lanes.values():
            depth = 0
            for slot, following in zip(slots, [*slots[1:], slots[-1]], strict=True):
                depth += self._rows[slot]
                if depth:
                    for each in range(slot, following, _LANES):
                        counts[each] += depth
        return sorted(counts.items())
