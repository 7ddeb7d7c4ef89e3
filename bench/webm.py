"""Writes WebM as Chromium's MediaRecorder does: whole files, or one stream that is sliced while it is recorded.

Bytes only: it encodes no audio. Source: RFC 8794 (EBML), RFC 9559 (Matroska), RFC 7845 (the Opus header), and the
recordings in samples/. A whole file has no seek index here (SeekHead, Cues): who reads it to its end needs none.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_OPEN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_SAMPLE_RATE = 48_000


@dataclass(frozen=True, slots=True)
class Packet:
    """One Opus packet; `start_ms` counts from the start of the file or stream."""

    data: bytes
    start_ms: int
    duration_ms: int


def whole_file(packets: Sequence[Packet]) -> bytes:
    """A file of its own, with its duration in its head, its clock at 0 and all sizes known."""
    begin = packets[0].start_ms
    blocks = b"".join(_block(packet, begin) for packet in packets)
    end_ms = packets[-1].start_ms - begin + packets[-1].duration_ms
    # Chromium's duration is where the last block begins, as its own files show.
    info = _info(_element(0x4489, struct.pack(">d", end_ms - packets[-1].duration_ms)))
    cluster = _element(0x1F43B675, _unsigned(0xE7, 0) + blocks)
    return _ebml_head() + _element(0x18538067, info + _tracks() + cluster)


def slices_of(packets: Sequence[Packet], slice_ms: int) -> list[list[Packet]]:
    """Which packets a recorder with a timeslice puts into which slice.

    It looks at the clock when it writes a packet, and starts the next slice's time then: the packet that comes too
    late begins a slice whose time runs from that packet's end.
    """
    slices: list[list[Packet]] = [[]]
    began_ms = 0
    for packet in packets:
        written_ms = packet.start_ms + packet.duration_ms
        if written_ms > began_ms + slice_ms:
            slices.append([])
            began_ms = written_ms
        slices[-1].append(packet)
    return slices


def sliced_stream(slices: Sequence[Sequence[Packet]]) -> list[bytes]:
    """One stream of open size, sliced as `MediaRecorder.start(timeslice)` does.

    A slice ends with the first byte of the next one's first block, behind which a new cluster begins: so a later
    slice begins in mid-element, has no header, and its first block's time is told by the cluster of the slice before.
    """
    written = []
    pending = _ebml_head() + _id(0x18538067) + _OPEN_SIZE + _info(b"") + _tracks() + _cluster_head(0)
    cluster_ms = 0
    for index, (first, *others) in enumerate(slices):
        block = _block(first, cluster_ms)
        if index:
            written.append(pending + block[:1])
            cluster_ms = first.start_ms + first.duration_ms
            pending, block = b"", block[1:] + _cluster_head(cluster_ms)
        pending += block + b"".join(_block(packet, cluster_ms) for packet in others)
    return [*written, pending]


def _ebml_head() -> bytes:
    versions = _unsigned(0x4286, 1) + _unsigned(0x42F7, 1) + _unsigned(0x42F2, 4) + _unsigned(0x42F3, 8)
    return _element(0x1A45DFA3, versions + _element(0x4282, b"webm") + _unsigned(0x4287, 4) + _unsigned(0x4285, 2))


def _info(duration: bytes) -> bytes:
    application = _element(0x4D80, b"Chrome") + _element(0x5741, b"Chrome")
    return _element(0x1549A966, _unsigned(0x2AD7B1, 1_000_000) + duration + application)


def _tracks() -> bytes:
    # Pre-skip 0: what Chromium writes, though its encoder is 6.5 ms late.
    opus_head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, _SAMPLE_RATE, 0, 0)
    audio = _element(0xB5, struct.pack(">f", _SAMPLE_RATE)) + _unsigned(0x9F, 1)
    entry = _unsigned(0xD7, 1) + _unsigned(0x73C5, 1) + _unsigned(0x83, 2) + _element(0x86, b"A_OPUS")
    return _element(0x1654AE6B, _element(0xAE, entry + _element(0x63A2, opus_head) + _element(0xE1, audio)))


def _cluster_head(start_ms: int) -> bytes:
    return _id(0x1F43B675) + _OPEN_SIZE + _unsigned(0xE7, start_ms)


def _block(packet: Packet, cluster_ms: int) -> bytes:
    """A SimpleBlock: track 1, time from its cluster's, and the flag of a keyframe."""
    return _element(0xA3, b"\x81" + struct.pack(">hB", packet.start_ms - cluster_ms, 0x80) + packet.data)


def _element(identity: int, payload: bytes) -> bytes:
    return _id(identity) + _size(len(payload)) + payload


def _unsigned(identity: int, value: int) -> bytes:
    return _element(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _id(identity: int) -> bytes:
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big")


def _size(value: int) -> bytes:
    """The shortest variable-size integer that is not the one for an open size."""
    length = next(n for n in range(1, 9) if value < (1 << 7 * n) - 1)
    return (value | 1 << 7 * length).to_bytes(length, "big")
