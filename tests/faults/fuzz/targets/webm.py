"""WebM: whatever the bytes, their structure is told, and what is made of whole blocks is a stream of whole blocks."""

import math
from functools import cache
from itertools import pairwise
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from consumer.media.decode import source_of
from consumer.media.formats.base import Source, StreamContext
from consumer.media.formats.webm import matroska
from consumer.media.formats.webm.coverage import cover
from consumer.media.formats.webm.ebml import encode, encode_open, encode_unsigned
from consumer.media.formats.webm.rebuild import rebuild
from consumer.media.formats.webm.slices import seam
from consumer.media.formats.webm.walk import WebmStructure, walk
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError
from tests.faults.fuzz.fixed import SAMPLES
from tests.faults.fuzz.target import Target, require

REASONS: Final = frozenset({"audio-empty", "audio-not-audio", "audio-headerless"})
_CHUNK_SECONDS: Final = 5.0
# As much as a mutation needs to meet: the head and some blocks. Whole chunks of 80 KB are but a few of the samples.
_SHORT_BYTES: Final = 3500
_IDS: Final = tuple(
    identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    for identity in sorted(matroska.BEHIND_HEAD | matroska.MASTERS | {matroska.TIMESTAMP_SCALE, matroska.DURATION})
)
_CLUSTER: Final = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x00"
_TOKENS: Final = (
    *(
        *_IDS,
        matroska.MAGIC,
        _CLUSTER,
        b"\x1f\x43\xb6\x75\x80\xe7\x80",
        b"\xa3\x86\x81\x00\x00\x80\xfc\x00",
        b"\x01" + b"\xff" * 7,
    ),
    *(
        b"\xe7\x88" + b"\xff" * 8,
        b"\x2a\xd7\xb1\x88" + b"\xff" * 8,
        b"\x44\x89\x88\x7f\xef" + b"\xff" * 6,
        b"\xff",
        b"\x80",
    ),
)


@cache
def chunk(number: int, kind: str) -> bytes:
    """A sample's chunk: `restart` has whole files, `timeslice` the slices of one stream."""
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


@cache
def samples() -> list[bytes]:
    """Beginnings and ends of real chunks, some whole ones, and small streams of every kind of element."""
    short = [
        chunk(1, "restart")[:_SHORT_BYTES],
        chunk(1, "timeslice")[:_SHORT_BYTES],
        chunk(2, "timeslice")[:_SHORT_BYTES],
    ]
    ends = [chunk(10, "restart")[-_SHORT_BYTES:], chunk(3, "timeslice")[-_SHORT_BYTES:]]
    small = [_stream(codec, grouped=grouped) for codec in (b"A_OPUS", b"A_VORBIS") for grouped in (False, True)]
    return [*short * 3, *ends, *small * 4, chunk(10, "timeslice")]


def _stream(codec: bytes, *, grouped: bool) -> bytes:
    """Two clusters of four blocks each, with a head that declares everything that is read."""
    entry = encode_unsigned(matroska.TRACK_NUMBER, 1) + encode_unsigned(matroska.TRACK_TYPE, matroska.AUDIO)
    info = encode_unsigned(matroska.TIMESTAMP_SCALE, 1_000_000) + encode(matroska.DURATION, b"\x43\xe0\x00\x00")
    head = encode(0x1A45DFA3, b"") + encode_open(matroska.SEGMENT) + encode(matroska.INFO, info)
    head += encode(matroska.TRACKS, encode(matroska.TRACK_ENTRY, entry + encode(matroska.CODEC_ID, codec)))
    return head + b"".join(_cluster(begin, grouped=grouped) for begin in (0, 240))


def _cluster(begin: int, *, grouped: bool) -> bytes:
    blocks = [bytes([0x81, 0, 60 * place, 0x80]) + b"\xfc" + bytes(8 + place) for place in range(4)]
    inner = [
        encode(matroska.BLOCK_GROUP, encode(matroska.BLOCK, block)) if grouped else encode(matroska.SIMPLE_BLOCK, block)
        for block in blocks
    ]
    return encode_open(matroska.CLUSTER) + encode_unsigned(matroska.TIMESTAMP, begin) + b"".join(inner)


@cache
def _slice() -> bytes:
    """What Chromium hands out behind a first chunk: it begins with a block's size, the block's id is in front of it."""
    stream = _stream(b"A_OPUS", grouped=False)
    return stream[stream.rfind(b"\x1f\x43\xb6\x75") :].partition(b"\xa3")[2]


def structured() -> SearchStrategy[bytes]:
    """Elements of known kinds in any order, with any contents and sizes that may be wrong."""
    size = st.integers(0, 2**56 - 2).map(lambda number: (1 << 56 | number).to_bytes(8, "big")) | st.binary(max_size=3)
    wrong = st.builds(
        lambda identity, length, content: identity + length + content,
        st.sampled_from(_IDS),
        size,
        st.binary(max_size=12),
    )
    right = st.builds(
        lambda identity, content: identity + bytes([0x80 | len(content)]) + content,
        st.sampled_from(_IDS),
        st.binary(max_size=40),
    )
    block = st.builds(
        lambda time, content: b"\xa3" + bytes([0x84 + len(content)]) + b"\x81" + time + b"\x80" + content,
        st.binary(min_size=2, max_size=2),
        st.binary(max_size=20),
    )
    head = st.sampled_from([b"", _stream(b"A_OPUS", grouped=False)[:150], matroska.MAGIC, samples()[0][:300]])
    return st.builds(
        lambda front, parts: front + b"".join(parts), head, st.lists(right | wrong | block | st.just(_CLUSTER))
    )


def check(data: bytes) -> bool:
    """A chunk as it may stand in S3: on its own, as the first of its session, and as a neighbour."""
    found = walk(data)
    _is_consistent(data, found)
    chunk = inspect(data)
    _made(_slice(), StreamContext(header=chunk.header, before=chunk.tail, after=data))
    header = inspect(samples()[1]).header
    alone = _made(data, StreamContext())
    return _made(data, StreamContext(header=header, before=b"\xa3", after=_slice())) or alone


def _made(data: bytes, surroundings: StreamContext) -> bool:
    """All that stands between a chunk's bytes and the decoder; returns whether there was a way."""
    try:
        source = source_of(inspect(data), surroundings)
    except PermanentJobError as error:
        require(error.reason in REASONS, f"{error.reason} is a reason that nobody documented")
        return False
    require(source.sliced == inspect(data).is_slice, "what goes on with a stream is a slice")
    require(0 <= source.lost_in_front <= len(data), "no more is lost than there was")
    found = walk(source.stream.data)
    _is_consistent(source.stream.data, found)
    _can_be_rebuilt(source, found, surroundings)
    return True


def _can_be_rebuilt(source: Source, found: WebmStructure, surroundings: StreamContext) -> None:
    joint = seam(source.stream.data, found, surroundings.after, sliced=source.sliced)
    coverage = cover(
        source.stream.data, found, chunk_seconds=_CHUNK_SECONDS, lost_in_front=source.lost_in_front, seam=joint
    )
    require(math.isfinite(coverage.expected_seconds), "what is expected is a number of seconds")
    require(len(coverage.begins) == len(found.blocks), "each block has its time")
    require(all(one <= other for one, other in pairwise(coverage.begins)), "no block is heard before the one in front")
    made = rebuild(source.stream.data, found, coverage.begins)
    require(len(made) <= 2 * len(source.stream.data) + 64 * (len(found.blocks) + 1), "what is made is not much longer")
    if found.blocks and not found.damaged and (found.head_bytes or math.inf) <= found.blocks[0].begin:
        require(len(walk(made).blocks) == len(found.blocks), "what is made of whole blocks has these blocks")


def _is_consistent(data: bytes, found: WebmStructure) -> None:
    require(0 <= found.end_bytes <= len(data), "the last element ends within the data")
    require(found.head_bytes is None or 0 <= found.head_bytes <= len(data), "the head ends within the data")
    require(all(0 <= b.begin < b.header < b.end <= len(data) for b in found.blocks), "blocks lie within the data")
    require(all(one.end <= other.begin for one, other in pairwise(found.blocks)), "no two blocks share a byte")
    seconds = [block.seconds for block in found.blocks] + [found.reached_seconds, found.block_seconds]
    require(all(math.isfinite(value) for value in seconds), "times are numbers")


TARGET: Final = Target("webm", samples, structured, check, "bytes", _TOKENS)
