"""Spoils good inputs: the mass of the fuzzing, far cheaper than a generator that keeps what it needs to shrink.

Pure: the same random numbers make the same input. It knows bytes, text and JSON, and no format of the product.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from tests.faults.fuzz.target import Kind

LONGEST: Final = 32 * 1024
"""No mutation makes an input longer than this: larger ones cost time and find nothing that these do not."""

# Mostly one: what is spoilt in many places is refused for the first of them.
_CHANGES_MADE: Final = (1, 1, 1, 1, 2, 2, 3, 5)
_NUMBERS: Final = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
_WIDTHS: Final = (1, 2, 3, 4, 8)
_TEXTS: Final = (
    *("", " ", "0", "-1", "/", "..", "../..", "a/b", "\0", "\n", "\r\n", "\t", "true", "null", "NaN", "inf"),
    *(
        "\ud800",
        "\udfff\ud800",
        "\ufeff",
        "\u202e",
        "\u0661\u0662",
        "\uff11",
        "\U0001f600",
        "e\u0301",
        "%2e%2e%2f",
        "${x}",
    ),
    *(
        "9" * 400,
        "9" * 5000,
        "x" * 1100,
        "2026-01-02T03:04:05Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ),
)
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2, 1.0, 1.5, -0.0, 1e-320, 1e308, -1e308, 1e13, 10**18, 10**39, 10**400, -(10**400)),
    *(float("inf"), float("nan"), [], {}, [[]], [None], {"": None}, *_TEXTS),
)
_DEPTHS: Final = (3, 150, 250, 900, 3000, 60_000)


def mutated(random: Random, samples: Sequence[bytes], kind: Kind, tokens: Sequence[bytes] = ()) -> bytes:
    """One of `samples`, spoilt in one to five places."""
    data = random.choice(samples)
    changes = random.choice(_CHANGES_MADE)
    if kind == "json" and random.random() < 0.6:
        spoilt = _spoilt_json(random, data, changes)
        if spoilt is not None:
            return spoilt
    for _ in range(changes):
        change = random.choice(_CHANGES)
        data = change(random, data, samples, tokens)[:LONGEST]
    return data


# --- bytes and text


def _flip(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _cut(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] if random.random() < 0.7 else data[at:]


def _remove(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(random, data)
    return data[:begin] + data[end:]


def _repeat(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    """A few bytes many times over: what makes a search that looks twice at everything take for ever."""
    begin, end = _span(random, data)
    times = random.choice((1, 2, 3, 10, 100, 2000))
    return data[:begin] + data[begin:end] * min(times, LONGEST // max(1, end - begin)) + data[begin:]


def _splice(random: Random, data: bytes, samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    other = random.choice(samples)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _overwrite(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    """A number where a length or a time may stand, in either byte order."""
    width = random.choice(_WIDTHS)
    number = random.choice(_NUMBERS) if random.random() < 0.7 else random.getrandbits(8 * width)
    piece = (number % (1 << 8 * width)).to_bytes(width, random.choice(("big", "little")))
    at = random.randint(0, len(data))
    return data[:at] + piece + data[at + width :]


def _noise(random: Random, data: bytes, _samples: Sequence[bytes], _tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(random, data)
    return data[:begin] + random.randbytes(end - begin) + data[end:]


def _insert(random: Random, data: bytes, _samples: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    if tokens and random.random() < 0.8:
        piece = random.choice(tokens)
    else:
        piece = random.choice(_TEXTS).encode(errors="surrogatepass")
    replaced = random.choice((0, 0, 1, len(piece)))
    return data[:at] + piece + data[at + replaced :]


_Change = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]
_CHANGES: Final[tuple[_Change, ...]] = (_flip, _flip, _cut, _remove, _repeat, _splice, _overwrite, _noise, _insert)


def _span(random: Random, data: bytes) -> tuple[int, int]:
    """A stretch of `data`, mostly a short one."""
    longest = len(data) if random.random() < 0.2 else min(len(data), 24)
    begin = random.randint(0, len(data))
    return begin, min(len(data), begin + random.randint(0, longest))


# --- JSON


def _spoilt_json(random: Random, data: bytes, changes: int) -> bytes | None:
    """`data` with some of its values changed; `None` when it is no JSON, or would be nested too deep."""
    try:
        value = json.loads(data)
        for _ in range(changes):
            value = _changed(random, value)
        text = json.dumps(value, ensure_ascii=random.random() < 0.9)
    except (ValueError, RecursionError):
        return None
    if random.random() < 0.02:
        text = _nested(random, text)
    return text.encode(errors="surrogatepass")[:LONGEST]


def _changed(random: Random, value: Any) -> Any:
    """`value` with one node of it replaced, taken out, copied or named otherwise."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        return _changed_member(random, value, name)
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        if random.random() < 0.2:
            return value[:at] + value[at + 1 :]
        if random.random() < 0.2:
            return value[:at] + value[at : at + 1] * random.choice((2, 3, 50)) + value[at + 1 :]
        return [*value[:at], _changed(random, value[at]), *value[at + 1 :]]
    return _other(random, value)


def _changed_member(random: Random, value: dict[str, Any], name: str) -> dict[str, Any]:
    choice = random.random()
    if choice < 0.1:
        return {key: member for key, member in value.items() if key != name}
    if choice < 0.15:
        return {random.choice(_TEXTS) if key == name else key: member for key, member in value.items()}
    if choice < 0.2:
        return {**value, random.choice(_TEXTS): random.choice(_ODD)}
    return {**value, name: _changed(random, value[name])}


def _other(random: Random, value: Any) -> Any:
    """Something else in place of `value`, of the same type in half of the cases, and JSON within JSON in most."""
    if isinstance(value, str) and value.startswith("{") and random.random() < 0.8:
        inner = _spoilt_json(random, value.encode(errors="surrogatepass"), 1)
        return value if inner is None else inner.decode(errors="replace")
    if isinstance(value, str) and random.random() < 0.5:
        at = random.randint(0, len(value))
        return value[:at] + random.choice(_TEXTS) + value[at + random.randint(0, 2) :]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and random.random() < 0.5:
        return random.choice([number for number in _ODD if isinstance(number, (int, float))])
    return random.choice(_ODD)


def _nested(random: Random, text: str) -> str:
    """`text` deep inside of lists or objects: parsers that call themselves have an end."""
    depth = random.choice(_DEPTHS)
    begin, end = random.choice((("[", "]"), ('{"a":', "}")))
    if random.random() < 0.5 and text.endswith("}") and text != "{}":
        return f'{text[:-1]}, "deep": {begin * depth}1{end * depth}}}'
    return begin * depth + text + end * depth
