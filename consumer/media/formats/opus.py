"""What an Opus packet says of itself: how long it is, how many channels it has (RFC 6716, section 3.1 and 3.2).

It decodes nothing. It serves to measure what a stream promises, and to know Opus when no header names it.
"""

from typing import Final

# Milliseconds of a frame for each of the 32 configurations of the first byte: SILK, hybrid, CELT.
_FRAME_MS: Final = (*(10, 20, 40, 60) * 3, *(10, 20) * 2, *(2.5, 5, 10, 20) * 4)
_LONGEST_MS: Final = 120


def packet_seconds(packet: bytes) -> float | None:
    """How long `packet` is in seconds; None when it cannot be an Opus packet."""
    if not packet:
        return None
    frames = _frames(packet)
    milliseconds = _FRAME_MS[packet[0] >> 3] * frames
    return milliseconds / 1000 if 0 < milliseconds <= _LONGEST_MS else None


def is_stereo(packet: bytes) -> bool:
    """Whether a packet (of at least a byte) holds two channels."""
    return bool(packet[0] & 0x04)


def _frames(packet: bytes) -> int:
    """How many frames a packet holds; 0 when its size cannot hold what its first bytes say."""
    match packet[0] & 3:
        case 0:
            return 1
        case 1:  # two frames of the same size
            return 2 if len(packet) % 2 == 1 else 0
        case 2:
            return 2 if len(packet) >= 2 else 0
        case _:
            return packet[1] & 0x3F if len(packet) >= 2 else 0
