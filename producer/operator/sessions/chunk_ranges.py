"""Chunk numbers as people write them, such as `1,7-9`."""

import re
from collections.abc import Iterable
from typing import Final

_PART: Final = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")
_MAX_CHUNKS: Final = 1_000_000


def parse_chunks(text: str) -> tuple[int, ...]:
    """The numbers in a list such as `1,7-9`, sorted.

    Raises:
        ValueError: it is no such list; the text says which part.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is neither a number nor a range; write them as in 1,7-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last - first >= _MAX_CHUNKS:
            raise ValueError(f"the range {part.strip()} goes backwards or is too long")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def ranges(chunks: Iterable[int]) -> str:
    """Chunk numbers in order, shortened for people: `1, 7-9`."""
    spans: list[list[int]] = []
    for number in chunks:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
