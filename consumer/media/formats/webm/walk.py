"""Walks the bytes of a WebM stream and tells what is there: blocks, their times, cuts and holes.

It is responsible for structure only: it decodes no audio and judges nothing. It never raises on bad bytes, because
bad bytes are what it is for.

Source: Matroska, RFC 9559 (blocks in section 10). Masters are entered and never tracked: an element's children follow
its header whether its size is known or, as live recorders write it, unknown.
"""

import math
import struct
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median_low
from typing import Final

from consumer.media.formats import opus
from consumer.media.formats.webm.ebml import Element, positive_float, read_element, read_id, read_size, unsigned
from consumer.media.formats.webm.matroska import (
    AUDIO,
    BEHIND_HEAD,
    BLOCK,
    BLOCK_GROUP,
    BLOCK_HEADER_BYTES,
    BLOCKS,
    CLUSTER,
    CODEC_ID,
    DURATION,
    MASTERS,
    SEGMENT,
    TIMESTAMP,
    TIMESTAMP_SCALE,
    TRACK_ENTRY,
    TRACK_NUMBER,
    TRACK_TYPE,
    has_block_header,
    is_block,
    is_laced,
)
from consumer.media.formats.webm.resync import ends, goes_on, next_block

# A group's elements beside its block are of ten kinds (RFC 9559, section 5.1.3.5).
_MAX_IN_GROUP: Final = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block of the audio track. `begin`, `header` and `end` are offsets into the data that was walked.

    begin, end: the SimpleBlock element, or the group that holds the block.
    header: where the block's track number stands; its time follows.
    seconds: the block's time on the stream's own clock.
    lost_bytes: how many bytes that belong to no element stand right in front.
    """

    begin: int
    header: int
    end: int
    seconds: float
    lost_bytes: int

    def payload(self, data: bytes) -> bytes:
        """The packet in a SimpleBlock."""
        return data[self.header + BLOCK_HEADER_BYTES : self.end]


@dataclass(slots=True)
class WebmStructure:
    """What a walk found. Times are seconds on the stream's own clock; blocks are those of the first audio track.

    head_bytes: where the first cluster begins; None when there is none.
    clusters: how many there are.
    truncated: an element should be longer than what is there. A stream of open size that ends between two blocks
    cannot be told from a whole one.
    damaged: bytes that belong to no element had to be skipped.
    end_bytes: where the last whole element ends.
    cut_seconds: the time of a block that is cut off at the end of the data.
    reached_seconds: the latest time of any block of any track.
    """

    scale_ns: int = 1_000_000
    declared_seconds: float | None = None
    codec: bytes = b""
    tracks: frozenset[int] = frozenset()
    audio_track: int | None = None
    head_bytes: int | None = None
    clusters: int = 0
    cluster_seconds: float = 0.0
    blocks: list[Block] = field(default_factory=list)
    truncated: bool = False
    damaged: bool = False
    end_bytes: int = 0
    cut_seconds: float | None = None
    reached_seconds: float = 0.0

    @property
    def block_seconds(self) -> float:
        """How long a block usually is, by the distance of two; 0 when there are not two."""
        steps = [step for before, after in pairwise(self.blocks) if (step := after.seconds - before.seconds) > 0]
        return median_low(steps) if steps else 0.0

    def durations(self, data: bytes) -> list[float]:
        """How long each block is: by its packet for Opus, else by the time of the next one."""
        usual = self.block_seconds
        steps = [after.seconds - before.seconds for before, after in pairwise(self.blocks)]
        if self.codec == b"A_OPUS":
            return [self._opus_seconds(data, block) or usual for block in self.blocks]
        # A step that is much longer than usual is a hole or the recorder's pause, and no longer block.
        return [step if 0 < step < 4 * usual else usual for step in steps] + [usual] * bool(self.blocks)

    def _opus_seconds(self, data: bytes, block: Block) -> float | None:
        in_group = data[block.begin] == BLOCK_GROUP
        return None if in_group or is_laced(data, block.header) else opus.packet_seconds(block.payload(data))


def walk(data: bytes) -> WebmStructure:
    """The structure of `data`, found in one pass that goes on behind damaged bytes."""
    return _Walk(data).run()


@dataclass(slots=True)
class _Walk:
    """The state of one pass: the cluster's clock, whether the head is over, and the track that is being described.

    group: where the group that was entered last begins and ends, as long as no block was found in it.
    bare: where the last block that was taken begins and ends without its group.
    """

    data: bytes
    found: WebmStructure = field(default_factory=WebmStructure)
    in_head: bool = True
    duration_ticks: float | None = None
    cluster_ticks: int = 0
    track: int | None = None
    codecs: dict[int, bytes] = field(default_factory=dict)
    group: tuple[int, int] = (0, 0)
    bare: tuple[int, int] = (0, 0)
    lost_bytes: int = 0

    def run(self) -> WebmStructure:
        at = 0
        self.found.end_bytes = len(self.data)
        while at < len(self.data):
            element = read_element(self.data, at)
            if element is None or not self._fits(element):
                at = self._skip_damage(at, element)
                continue
            self._take(element, at)
            at = element.payload if element.id in MASTERS else element.end
        if self.duration_ticks is not None and math.isfinite(declared := self._seconds(self.duration_ticks)):
            self.found.declared_seconds = declared
        self.found.codec = self.codecs.get(self.found.audio_track or 0, b"")
        return self.found

    def _fits(self, element: Element) -> bool:
        """Whether this can be an element here. A master that is cut is entered all the same."""
        if element.id in MASTERS:
            self.found.truncated |= element.end > len(self.data)
            return True
        if element.size is None or element.end > len(self.data):
            return False
        if element.id in BLOCKS:
            return is_block(self.data, element, self.found.tracks)
        return self.in_head or self._belongs(element)

    def _belongs(self, element: Element) -> bool:
        """Whether this can be an element behind the head, other than a block.

        Spoilt bytes look like some element soon, and skipping what they call its content loses what is there. So one
        must be followed by a known one; unknown ones, which are allowed (RFC 8794, section 17.1), by whole blocks.
        """
        if element.id == TIMESTAMP:
            return element.end - element.payload <= 8
        if element.id in BEHIND_HEAD:
            return ends(self.data, element.end) or self._known_at(element.end)
        return goes_on(self.data, element.end, self.found.tracks, blocks=2)

    def _known_at(self, at: int) -> bool:
        follower = read_id(self.data, at)
        return follower is not None and follower[0] in BEHIND_HEAD

    def _skip_damage(self, at: int, element: Element | None) -> int:
        """Where the stream goes on. When it does not, the element at `at` is cut, or the rest is rubbish."""
        further = next_block(self.data, at + 1, self.found.tracks)
        if further is not None:
            self.found.damaged = True
            self.lost_bytes += further - at
            return further
        self.found.end_bytes = at
        if not (self.found.blocks and ends(self.data, at)):
            cut = element is None or element.end > len(self.data)
            self.found.truncated |= cut
            self.found.damaged |= not cut
            if element is not None and element.id in BLOCKS and cut and self._has_time(element):
                # the stream did reach this time, though its audio is gone
                self.found.cut_seconds = self._block_seconds(element)
        return len(self.data)

    def _has_time(self, block: Element) -> bool:
        whole = block.payload + BLOCK_HEADER_BYTES <= len(self.data)
        return whole and has_block_header(self.data, block, self.found.tracks)

    def _take(self, element: Element, at: int) -> None:
        if element.id in BLOCKS:
            self._take_block(element, at)
        elif element.id == BLOCK_GROUP:
            self.group = (at, element.end)
        elif element.id == DURATION and self.in_head:
            self.duration_ticks = positive_float(self.data, element)
        elif element.id in {SEGMENT, CLUSTER}:
            self._enter(element, at)
        elif element.id == TIMESTAMP:
            self.cluster_ticks = unsigned(self.data, element)
            self.found.cluster_seconds = self._seconds(self.cluster_ticks)
        elif self.in_head:
            self._take_description(element)

    def _enter(self, element: Element, at: int) -> None:
        self.in_head = element.id == SEGMENT
        if element.id == CLUSTER:
            self.found.clusters += 1
            if self.found.head_bytes is None:
                self.found.head_bytes = at

    def _take_description(self, element: Element) -> None:
        if element.id == TIMESTAMP_SCALE:
            self.found.scale_ns = unsigned(self.data, element) or self.found.scale_ns
        elif element.id == TRACK_ENTRY:
            self.track = None
        elif element.id == TRACK_NUMBER:
            self.track = unsigned(self.data, element)
            self.found.tracks |= {self.track}
        elif self.track is None:
            return
        elif element.id == TRACK_TYPE and unsigned(self.data, element) == AUDIO and self.found.audio_track is None:
            # FFmpeg's first audio stream is this one too
            self.found.audio_track = self.track
        elif element.id == CODEC_ID:
            self.codecs[self.track] = self.data[element.payload : element.end].rstrip(b"\0")

    def _take_block(self, block: Element, at: int) -> None:
        seconds = self._block_seconds(block)
        self.found.reached_seconds = max(self.found.reached_seconds, seconds)
        track = read_size(self.data, block.payload)
        if track is None or (self.found.audio_track is not None and track[0] != self.found.audio_track):
            return
        begin, end = self._span(block, at)
        self._unwrap_last(begin)
        self.bare = (at, block.end)
        self.found.blocks.append(Block(begin, block.payload, end, seconds, self.lost_bytes))
        self.lost_bytes = 0

    def _span(self, block: Element, at: int) -> tuple[int, int]:
        """From where to where a block is taken: with its group, if that holds all of it and nothing but elements."""
        group, self.group = self.group, (0, 0)
        if block.id == BLOCK and group[0] < at < group[1] <= len(self.data) and self._fill(block.end, group[1]):
            return group
        return at, block.end

    def _fill(self, at: int, end: int) -> bool:
        """Whether whole elements stand from `at` to `end`: a spoilt size hardly ever ends where one of them does."""
        for _ in range(_MAX_IN_GROUP):
            element = read_element(self.data, at) if at < end else None
            if element is None:
                break
            at = element.end
        return at == end

    def _unwrap_last(self, begin: int) -> None:
        """Take the last block without its group when that reaches into what is found behind it: its size is spoilt."""
        last = self.found.blocks[-1] if self.found.blocks else None
        if last is not None and last.end > begin:
            self.found.blocks[-1] = replace(last, begin=self.bare[0], end=self.bare[1])
            self.found.damaged = True

    def _block_seconds(self, block: Element) -> float:
        """A block begins with its track, then its time as a signed 16-bit offset to the cluster's (RFC 9559, 10.1)."""
        (offset,) = struct.unpack_from(">h", self.data, block.payload + 1)
        return self._seconds(self.cluster_ticks + offset)

    def _seconds(self, ticks: float) -> float:
        return ticks * self.found.scale_ns / 1e9
