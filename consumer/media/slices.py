"""Makes a stream that can be decoded out of one slice of a longer one and what the chunks around it tell.

It is responsible for what a slice lacks: a header, the front of its first element, a clock. It must not fetch the
chunks around it, nor judge what is lost.

`MediaRecorder.start(timeslice)` writes one stream and hands out whatever it has written when the time is up. Only the
first chunk has the header. Chromium slices WebM one byte into an element, Firefox Ogg between two pages, Safari
fragmented MP4 between two fragments.
"""

from dataclasses import dataclass
from typing import Final

from consumer.media import made_up_headers
from consumer.media.containers import Container, describe_stranger, mp4_boxes, recognise
from consumer.media.formats import ogg_pages as ogg
from consumer.media.formats.webm.coverage import Seam
from consumer.media.formats.webm.rebuild import cluster_head, open_head
from consumer.media.formats.webm.resync import ANY_TRACK, beginning, continues_a_stream, goes_on
from consumer.media.formats.webm.walk import WebmStructure, walk
from shared.errors import PermanentJobError

# The front of the next chunk says when it begins: two packets of 60 ms at the highest rate that recorders use.
_HEAD_BYTES: Final = 4096
_TAIL_BYTES: Final = 1 << 16
_HEADER_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What the chunks around one tell about it. Each of them may be unknown.

    header: `stream_header` of the chunk with which the stream began.
    before: `tail_of` the chunk before, or its last bytes; empty when it is absent.
    after: the chunk behind, of which 4 KiB are enough; empty when it is absent.
    """

    header: bytes | None = None
    before: bytes = b""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that begins with a header.

    lost_in_front: bytes of a slice that had to be left out because they belong to no whole element.
    """

    data: bytes
    container: Container
    sliced: bool = False
    lost_in_front: int = 0
    header_synthesised: bool = False


def is_slice(data: bytes) -> bool:
    """Whether `data` goes on with a stream that began in an earlier chunk, so that it takes that one's header."""
    match recognise(data):
        case Container.OGG:
            return not ogg.begins_a_stream(data)
        case Container.MP4:
            kinds = mp4_boxes(data)
            return b"moof" in kinds and b"moov" not in kinds
        case None:
            return continues_a_stream(data)
        case _:
            return False


def stream_header(first_chunk: bytes) -> bytes | None:
    """What stands in front of the audio of a stream's first chunk: all that its later slices lack.

    Returns:
        At most 64 KiB; None when the chunk has no such header, as when it is a slice itself or a format of its own.
    """
    match recognise(first_chunk):
        case Container.WEBM:
            header = _webm_header(first_chunk)
        case Container.OGG:
            header = ogg.header(first_chunk)
        case Container.MP4:
            boxes = mp4_boxes(first_chunk)
            # A file whose audio comes before a fragment, or without one, is no stream: its head lists its samples.
            fragment = boxes.get(b"moof", len(first_chunk))
            is_stream = b"moov" in boxes and boxes.get(b"mdat", fragment) >= fragment
            header = first_chunk[:fragment] if is_stream else b""
        case _:
            return None
    return header if 0 < len(header) <= _HEADER_BYTES else None


def tail_of(chunk: bytes) -> bytes:
    """The element that a chunk breaks off within, as far as it is there: for Chromium's slices a single byte."""
    match recognise(chunk):
        case Container.WEBM:
            tail = chunk[walk(chunk).end_bytes :]
        case None:
            opened, lost = _opened(chunk, StreamContext(), cluster_head(0), ANY_TRACK)
            tail = opened[walk(opened).end_bytes :] if lost < len(chunk) else b""
        case _:
            return b""
    return tail if len(tail) <= _TAIL_BYTES else b""


def source_of(data: bytes, surroundings: StreamContext) -> Source:
    """`data` as something that begins with a header.

    Raises:
        PermanentJobError: `audio-empty`, `audio-not-audio`, or `audio-headerless` (a slice without the header of its
            stream, and not one of the Opus packets for which a header can be made up).
    """
    if not data:
        raise PermanentJobError("audio-empty", "the object holds no bytes")
    container = recognise(data)
    if is_slice(data):
        return _webm_source(data, surroundings) if container is None else _paged_source(data, container, surroundings)
    if container is None:
        raise PermanentJobError("audio-not-audio", f"{describe_stranger(data)} instead of audio")
    return Source(data, container)


def seam(source: Source, found: WebmStructure, after: bytes) -> Seam:
    """How a walked WebM source joins the first bytes of the chunk behind it."""
    after = after[:_HEAD_BYTES]
    if not found.blocks or recognise(after) is not None or not continues_a_stream(after):
        return Seam()
    if goes_on(source.data[found.end_bytes :] + after, 0, found.tracks, blocks=2):
        return Seam(whole=True)
    clock = cluster_head(round(found.cluster_seconds * 1e9 / found.scale_ns))
    opened, _ = _opened(after, StreamContext(), source.data[: found.head_bytes] + clock, found.tracks)
    behind = walk(opened)
    # Without a cluster of its own a slice does not know the stream's time, only that of the blocks in one cluster.
    same_clock = behind.clusters == 1 or found.clusters > source.sliced
    if not behind.blocks or not same_clock or behind.blocks[0].seconds <= found.blocks[-1].seconds:
        return Seam()
    return Seam(next_begins_at=behind.blocks[0].seconds)


def _webm_source(data: bytes, surroundings: StreamContext) -> Source:
    header = surroundings.header or b""
    if recognise(header) is Container.WEBM:
        header, synthesised = open_head(header), False
    else:
        opened, _ = _opened(data, surroundings, cluster_head(0), ANY_TRACK)
        made_up = made_up_headers.opus_in_webm(opened, walk(opened).blocks)
        if made_up is None:
            raise _headerless("WebM")
        header, synthesised = made_up, True
    opened, lost = _opened(data, surroundings, header + cluster_head(0), walk(header).tracks)
    return Source(opened, Container.WEBM, sliced=True, lost_in_front=lost, header_synthesised=synthesised)


def _opened(data: bytes, surroundings: StreamContext, head: bytes, tracks: frozenset[int]) -> tuple[bytes, int]:
    """A WebM slice behind `head` from its first whole element on, and how many of its bytes that leaves out."""
    front, at = beginning(data, surroundings.before, tracks)
    return head + front + data[at:], at


def _paged_source(data: bytes, container: Container, surroundings: StreamContext) -> Source:
    """Ogg and MP4 are cut between pages and fragments, so the header in front is all that they need."""
    header = surroundings.header or b""
    if recognise(header) is container:
        return Source(header + data, container, sliced=True)
    made_up = made_up_headers.opus_in_ogg(ogg.pages(data)) if container is Container.OGG else None
    if made_up is None:
        raise _headerless(container.value)
    return Source(made_up + data, container, sliced=True, header_synthesised=True)


def _headerless(name: str) -> PermanentJobError:
    return PermanentJobError(
        "audio-headerless",
        f"a slice of a longer {name} stream, which cannot be decoded without the first chunk of its session",
    )


def _webm_header(chunk: bytes) -> bytes:
    found = walk(chunk)
    if found.audio_track is None:
        return b""
    return chunk[: found.end_bytes if found.head_bytes is None else found.head_bytes]
