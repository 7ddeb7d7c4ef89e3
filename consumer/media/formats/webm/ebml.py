"""Reads the headers of EBML elements: ids, sizes, and simple values (RFC 8794).

It knows no element by meaning and never raises on bad bytes: what cannot be read is None.
"""

import math
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `payload` is where its content begins, `size` its bytes, None when the stream leaves it open."""

    id: int
    payload: int
    size: int | None

    @property
    def end(self) -> int:
        """Where the payload ends; for an element of open size, where it begins."""
        return self.payload + (self.size or 0)


def read_id(data: bytes, at: int) -> tuple[int, int] | None:
    """The element id at `at`, marker bit included, and where it ends (RFC 8794, section 5)."""
    if at >= len(data) or data[at] < 0x10:
        return None
    end = at + 9 - data[at].bit_length()
    if end > len(data):
        return None
    return int.from_bytes(data[at:end], "big"), end


def read_size(data: bytes, at: int) -> tuple[int | None, int] | None:
    """The variable-size integer at `at` and where it ends; all bits set means unknown (RFC 8794, section 6.2)."""
    if at >= len(data) or data[at] == 0:
        return None
    length = 9 - data[at].bit_length()
    if at + length > len(data):
        return None
    unknown = (1 << 7 * length) - 1
    value = int.from_bytes(data[at : at + length], "big") & unknown
    return (None if value == unknown else value), at + length


def read_element(data: bytes, at: int) -> Element | None:
    """The element whose id begins at `at`; None when no whole header is there."""
    identity = read_id(data, at)
    size = read_size(data, identity[1]) if identity else None
    if identity is None or size is None:
        return None
    return Element(identity[0], size[1], size[0])


def unsigned(data: bytes, element: Element) -> int:
    """The value of an unsigned integer element, which has at most eight bytes (RFC 8794, section 7.2)."""
    return int.from_bytes(data[element.payload : element.end][:8], "big")


def positive_float(data: bytes, element: Element) -> float | None:
    """The value of a float element of four or eight bytes (RFC 8794, section 7.3), if it is a positive number."""
    layout = {4: ">f", 8: ">d"}.get(element.size or 0)
    if layout is None or element.end > len(data):
        return None
    value: float = struct.unpack_from(layout, data, element.payload)[0]
    return value if math.isfinite(value) and value > 0 else None


def encode(identity: int, payload: bytes) -> bytes:
    """An element with its size, in eight bytes as any payload needs at most."""
    return _id_bytes(identity) + (1 << 56 | len(payload)).to_bytes(8, "big") + payload


def encode_open(identity: int) -> bytes:
    """The header of an element of unknown size: whatever follows is its content."""
    return _id_bytes(identity) + b"\x01" + b"\xff" * 7


def encode_unsigned(identity: int, value: int) -> bytes:
    """An unsigned integer element of eight bytes."""
    return encode(identity, value.to_bytes(8, "big"))


def _id_bytes(identity: int) -> bytes:
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big")
