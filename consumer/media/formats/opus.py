"""What an Opus packet says of itself: how long it is, how many channels it has (RFC 6716, section 3.1 and 3.2).

It measures what a stream promises, and recognises Opus when no header names it. Opus needs no header to be decoded, so
one can be made up for a stream whose first chunk is missing. That one can be wrong about what the packets do not tell
(gain, how many samples to skip at the start), so those who use it must say so.
"""

import struct
from itertools import pairwise
from typing import Final

SAMPLE_RATE: Final = 48_000

# Milliseconds of a frame for each of the 32 configurations of the first byte: SILK, hybrid, CELT.
_FRAME_MS: Final = (*(10, 20, 40, 60) * 3, *(10, 20) * 2, *(2.5, 5, 10, 20) * 4)
_LONGEST_MS: Final = 120
# Times are rounded to milliseconds.
_ROUNDING_SECONDS: Final = 0.002
# Noise passes for an Opus packet of the right length about once in twenty times, so most must fit.
_MIN_FITTING: Final = 0.8


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


def looks_like_opus(groups: list[list[bytes]], times: list[float]) -> bool:
    """Whether packets are as long, by their own word, as the stream's clock says.

    Args:
        groups: the packets from each time of the stream's clock to the next one.
        times: these times in seconds.
    """
    lengths = [_total_seconds(packets) for packets in groups]
    if len(times) < 2:
        return bool(groups and groups[0]) and None not in lengths
    fitting = [
        length is not None and abs(after - before - length) <= _ROUNDING_SECONDS
        for length, (before, after) in zip(lengths, pairwise(times), strict=False)
    ]
    # One step may lead to the first cluster, whose clock the blocks in front of it do not share.
    return sum(fitting) >= min(_MIN_FITTING * len(fitting), len(fitting) - 1)


def _total_seconds(packets: list[bytes]) -> float | None:
    lengths = [packet_seconds(packet) for packet in packets]
    return None if None in lengths else sum(length or 0.0 for length in lengths)


def channels(packets: list[bytes]) -> int:
    """Those of most packets: Opus says them in each packet's first byte."""
    return 2 if 2 * sum(is_stereo(packet) for packet in packets if packet) > len(packets) else 1


def identification_header(channels: int) -> bytes:
    """The header packet of a stream (RFC 7845, section 5.1), which WebM keeps as the codec's private data."""
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, SAMPLE_RATE, 0, 0)


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
