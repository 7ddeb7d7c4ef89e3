"""Walks the bytes of a WebM stream and tells what is there: blocks, their times, cuts and holes.

It is responsible for structure only: it decodes no audio and judges nothing. It never raises on bad bytes, because
bad bytes are what it is for.

Source: Matroska, RFC 9559 (ids in section 5, blocks in section 10). Masters are entered and never tracked: an
element's children follow its header whether its size is known or, as live recorders write it, unknown.
"""

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from consumer.ebml import Element, positive_float, read_element, read_id, read_size, unsigned

MAGIC: Final = b"\x1a\x45\xdf\xa3"

_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_TRACKS: Final = 0x1654AE6B
_TRACK_ENTRY: Final = 0xAE
_TRACK_NUMBER: Final = 0xD7
_TRACK_TYPE: Final = 0x83
_AUDIO: Final = 2
_CLUSTER: Final = 0x1F43B675
_TIMESTAMP: Final = 0xE7
_SIMPLE_BLOCK: Final = 0xA3
_BLOCK_GROUP: Final = 0xA0
_BLOCK: Final = 0xA1
_TAIL: Final = frozenset({0x1C53BB6B, 0x1254C367})  # Cues, Tags: what a muxer adds behind the last cluster

_MASTERS: Final = frozenset({_SEGMENT, _INFO, _TRACKS, _TRACK_ENTRY, _CLUSTER, _BLOCK_GROUP})
_BLOCKS: Final = frozenset({_SIMPLE_BLOCK, _BLOCK})
# What may stand in a cluster or behind one. In front of the first cluster every element of a fitting size is taken.
_BEHIND_HEAD: Final = frozenset(
    {
        *(_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _CLUSTER, _TIMESTAMP, *_TAIL),
        *(0x9B, 0xFB, 0xFA, 0x75A1, 0x75A2, 0xA4),  # in a group: duration, references, additions, padding, codec state
        *(0xA7, 0xAB, 0x5854),  # in a cluster: Position, PrevSize, SilentTracks
        *(0x114D9B74, 0x1043A770, 0x1941A469, 0xEC, 0xBF),  # SeekHead, Chapters, Attachments, Void, CRC-32
        *(0x1A45DFA3, _SEGMENT, _INFO, _TRACKS),  # the head of a stream that was appended
    }
)
# A live muxer writes ids byte by byte and a recorder slices after any write: one of these alone ends such a slice.
_LONE_ID_BYTES: Final = frozenset({_SIMPLE_BLOCK, _BLOCK_GROUP, _CLUSTER >> 24})
_MAY_BEGIN: Final = re.compile(rb"[\xa3\xa0]|\x1f\x43\xb6\x75")


@dataclass(slots=True)
class WebmStructure:
    """What a walk found. Times are seconds on the stream's own clock; blocks are those of the audio tracks.

    truncated: an element should be longer than what is there. A stream of open size that ends between two blocks
    cannot be told from a whole one.
    damaged: bytes that belong to no element had to be skipped.
    """

    declared_seconds: float | None = None
    blocks: int = 0
    first_block_seconds: float | None = None
    last_block_seconds: float | None = None
    truncated: bool = False
    damaged: bool = False

    @property
    def block_seconds(self) -> float:
        """How long a block is, by the mean distance of two; 0 when there are not two."""
        if self.blocks < 2 or self.first_block_seconds is None or self.last_block_seconds is None:
            return 0.0
        return max(0.0, self.last_block_seconds - self.first_block_seconds) / (self.blocks - 1)


def walk(data: bytes) -> WebmStructure:
    """The structure of `data`, found in one pass that goes on behind damaged bytes."""
    return _Walk(data).run()


def continues_a_stream(data: bytes) -> bool:
    """Whether `data` is a later slice of a WebM stream: blocks, but not the beginning of a stream.

    `MediaRecorder.start(timeslice)` cuts wherever its muxer happens to be, for audio one byte into the next element:
    a slice begins with what follows that id, which is a block's size or the rest of a cluster's id.
    """
    if data.startswith(MAGIC):
        return False
    size = read_size(data, 0)
    if size is not None:
        opening = Element(_SIMPLE_BLOCK, size[1], size[0])
        if _is_block(data, opening, None) and _goes_on(data, opening.end, None, blocks=1):
            return True
    return next_block(data, 0, None, blocks=3) is not None


def next_block(data: bytes, at: int, tracks: frozenset[int] | None, *, blocks: int = 2) -> int | None:
    """Where, from `at` on, a block or cluster begins after which the stream goes on for `blocks` blocks or ends.

    `tracks` are the numbers that a block may carry; None takes those below 16, which is what recorders write. A chain
    is asked for because audio is noise to this parser: in 80 kB of it every short pattern occurs by chance.
    """
    for candidate in _MAY_BEGIN.finditer(data, at):
        if not _ends(data, candidate.start()) and _goes_on(data, candidate.start(), tracks, blocks=blocks):
            return candidate.start()
    return None


def _goes_on(data: bytes, at: int, tracks: frozenset[int] | None, *, blocks: int) -> bool:
    """Whether `blocks` blocks stand at `at` one behind the other, or fewer up to the end of the data."""
    seen = 0
    while seen < blocks:
        if _ends(data, at):
            return True
        element = read_element(data, at)
        if element is None:
            return False
        if element.id == _CLUSTER:
            timestamp = read_element(data, element.payload)
            if timestamp is None or timestamp.id != _TIMESTAMP:
                return False
            at = timestamp.end
            continue
        block = _block_in(data, element)
        if block is None or not _is_block(data, block, tracks):
            return seen > 0 and (element.id in _TAIL or _is_cut_block(data, block, tracks))
        seen += 1
        at = element.end
    return True


def _ends(data: bytes, at: int) -> bool:
    return at == len(data) or (at == len(data) - 1 and data[at] in _LONE_ID_BYTES)


def _block_in(data: bytes, element: Element) -> Element | None:
    if element.id != _BLOCK_GROUP:
        return element if element.id in _BLOCKS else None
    child = read_element(data, element.payload)
    return child if child is not None and child.id == _BLOCK else None


def _is_block(data: bytes, block: Element, tracks: frozenset[int] | None) -> bool:
    """Whether the bytes can be a block: the header fits its size, the size the data, the track is one of ours."""
    return block.size is not None and block.end <= len(data) and _has_block_header(data, block, tracks)


def _is_cut_block(data: bytes, block: Element | None, tracks: frozenset[int] | None) -> bool:
    return block is not None and block.end > len(data) and _has_block_header(data, block, tracks)


def _has_block_header(data: bytes, block: Element, tracks: frozenset[int] | None) -> bool:
    track = read_size(data, block.payload)
    # Audio tracks have small numbers, and a number in more bytes than it needs is allowed but never seen.
    if track is None or track[0] is None or track[1] != block.payload + 1 or track[1] + 3 > block.end:
        return False
    return track[0] in tracks if tracks else 0 < track[0] < 16


@dataclass(slots=True)
class _Walk:
    """The state of one pass: the cluster's clock, whether the head is over, and the track that is being described."""

    data: bytes
    found: WebmStructure = field(init=False)
    in_head: bool = True
    scale_ns: int = 1_000_000
    duration_ticks: float | None = None
    cluster_ticks: int = 0
    track: int | None = None
    tracks: set[int] = field(default_factory=set)
    audio_tracks: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.found = WebmStructure()

    def run(self) -> WebmStructure:
        at = 0
        while at < len(self.data):
            element = read_element(self.data, at)
            if element is None or not self._fits(element):
                at = self._skip_damage(at, element)
                continue
            self._take(element)
            at = element.payload if element.id in _MASTERS else element.end
        if self.duration_ticks is not None:
            self.found.declared_seconds = self.duration_ticks * self.scale_ns / 1e9
        return self.found

    def _fits(self, element: Element) -> bool:
        """Whether this can be an element here. A master that is cut is entered all the same."""
        if element.id in _MASTERS:
            self.found.truncated |= element.end > len(self.data)
            return True
        if element.size is None or element.end > len(self.data):
            return False
        if element.id in _BLOCKS:
            return _is_block(self.data, element, frozenset(self.tracks))
        # Unknown ids are allowed and skipped (RFC 8794, section 17.1), provided that the stream goes on behind them.
        return self.in_head or element.id in _BEHIND_HEAD or self._known_at(element.end)

    def _known_at(self, at: int) -> bool:
        follower = read_id(self.data, at)
        return at == len(self.data) or (follower is not None and follower[0] in _BEHIND_HEAD)

    def _skip_damage(self, at: int, element: Element | None) -> int:
        """Where the stream goes on. When it does not, the element at `at` is cut, or the rest is rubbish."""
        further = next_block(self.data, at + 1, frozenset(self.tracks))
        if further is not None:
            self.found.damaged = True
            return further
        if not (self.found.blocks and _ends(self.data, at)):
            cut = element is None or element.end > len(self.data)
            self.found.truncated |= cut
            self.found.damaged |= not cut
            if element is not None and element.id in _BLOCKS and cut and self._has_time(element):
                self._take_block(element)  # the stream did reach this time, though its audio is gone
        return len(self.data)

    def _has_time(self, block: Element) -> bool:
        whole = block.payload + 4 <= len(self.data)
        return whole and _has_block_header(self.data, block, frozenset(self.tracks))

    def _take(self, element: Element) -> None:
        if element.id in _BLOCKS:
            self._take_block(element)
        elif element.id == _DURATION and self.in_head:
            self.duration_ticks = positive_float(self.data, element)
        elif element.id in {_SEGMENT, _CLUSTER}:
            self.in_head = element.id == _SEGMENT
        elif element.id == _TIMESTAMP:
            self.cluster_ticks = unsigned(self.data, element)
        elif self.in_head:
            self._take_description(element)

    def _take_description(self, element: Element) -> None:
        if element.id == _TIMESTAMP_SCALE:
            self.scale_ns = unsigned(self.data, element) or self.scale_ns
        elif element.id == _TRACK_ENTRY:
            self.track = None
        elif element.id == _TRACK_NUMBER:
            self.track = unsigned(self.data, element)
            self.tracks.add(self.track)
        elif element.id == _TRACK_TYPE and self.track is not None and unsigned(self.data, element) == _AUDIO:
            self.audio_tracks.add(self.track)

    def _take_block(self, block: Element) -> None:
        """A block begins with its track, then its time as a signed 16-bit offset to the cluster's (RFC 9559, 10.1)."""
        track = read_size(self.data, block.payload)
        if track is None or (self.audio_tracks and track[0] not in self.audio_tracks):
            return
        (offset,) = struct.unpack_from(">h", self.data, track[1])
        seconds = (self.cluster_ticks + offset) * self.scale_ns / 1e9
        self.found.blocks += 1
        if self.found.first_block_seconds is None:
            self.found.first_block_seconds = seconds
        self.found.last_block_seconds = seconds
