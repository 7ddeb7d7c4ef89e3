"""The other containers: recognised by their bytes, and their framing followed without an end that is not there."""

from functools import cache
from io import BytesIO
from itertools import pairwise
from typing import Final

import av
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from consumer.media.decode import source_of
from consumer.media.formats import FORMATS, ogg_pages, opus, recognise
from consumer.media.formats.adts import adts_frame_bytes
from consumer.media.formats.base import StreamContext
from consumer.media.formats.mp3 import mp3_frame_bytes
from consumer.media.formats.mp4 import boxes_of
from consumer.media.formats.ogg import OggChunk, opus_header
from consumer.media.formats.unknown import describe_stranger
from consumer.media.formats.webm.chunk import WebmChunk
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError
from tests.faults.fuzz.target import Target, require
from tests.faults.fuzz.targets.webm import REASONS

_RATE: Final = 48_000
_ENCODINGS: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    *(
        ("ogg", "libopus", {"page_duration": "100000"}),
        ("flac", "flac", {}),
        ("wav", "pcm_s16le", {}),
    ),
    *(("mp3", "libmp3lame", {}), ("adts", "aac", {}), ("mp4", "aac", {}), ("avi", "pcm_s16le", {})),
    ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "100000"}),
)
_TOKENS: Final = (
    *(
        b"OggS",
        b"OpusHead",
        b"OpusTags",
        b"ftyp",
        b"moov",
        b"moof",
        b"mdat",
        b"RIFF",
        b"WAVE",
        b"AVI ",
        b"fLaC",
        b"ID3\x04\0\0",
    ),
    *(
        b"\x7f\x7f\x7f\x7f",
        b"\xff\xfb\x90\x00",
        b"\xff\xf1\x50\x80",
        b"\0\0\0\x01",
        b"\0\0\0\0",
        b"\xff" * 8,
        b"<html",
        b"{",
        b"\xef\xbb\xbf",
    ),
)


@cache
def samples() -> list[bytes]:
    """Half a second of a tone in every container, and slices of those that recorders slice."""
    whole = [encoded(*encoding) for encoding in _ENCODINGS]
    at = whole[-1].find(b"moof") - 4
    pages = [page.begin for page in ogg_pages.pages(whole[0])]
    return [*whole, whole[-1][at:], whole[0][pages[-2] :], b"ID3\x04\0\0\0\0\0\x05tag.." + whole[4]]


def encoded(container: str, codec: str, options: dict[str, str], seconds: float = 0.5) -> bytes:
    """A tone as a file."""
    clock = np.arange(int(seconds * _RATE)) / _RATE
    wave = (8_000 * np.sin(2 * np.pi * 300 * clock)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate = _RATE
    target = BytesIO()
    with av.open(target, "w", format=container, options=options) as output:
        sound = output.add_stream(codec, rate=_RATE, layout="mono")
        if not isinstance(sound, av.AudioStream):
            raise TypeError(f"{codec} is no codec for audio")
        resampler = av.AudioResampler(sound.format.name, "mono", _RATE, frame_size=sound.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return target.getvalue()


def structured() -> SearchStrategy[bytes]:
    """Pages, boxes and frames with any numbers in their headers."""
    page = st.builds(
        lambda flags, granule, serial, lacing, body: b"".join(
            (b"OggS\0", bytes([flags]), granule, serial, bytes(8), bytes([len(lacing)]), lacing, body)
        ),
        st.integers(0, 7),
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=4),
        st.binary(max_size=300),
    )
    box = st.builds(
        lambda size, kind, body: size.to_bytes(4, "big") + kind + body,
        st.integers(0, 40) | st.sampled_from([0, 1, 2**32 - 1]),
        st.sampled_from([b"ftyp", b"moov", b"moof", b"mdat", b"free"]) | st.binary(min_size=4, max_size=4),
        st.binary(max_size=32),
    )
    frame = st.builds(
        lambda header, body: b"\xff" + header + body, st.binary(min_size=3, max_size=8), st.binary(max_size=40)
    )
    return (
        st.lists(page, max_size=6).map(b"".join)
        | st.lists(box, max_size=6).map(b"".join)
        | st.lists(frame, max_size=6).map(b"".join)
    )


def check(data: bytes) -> bool:
    """A chunk as it may stand in S3."""
    require(describe_stranger(data).isascii(), "what a stranger looks like quotes nothing of it")
    _framing_is_followed(data)
    chunk = inspect(data)
    header = chunk.header
    require(header is None or (0 < len(header) <= 65_536), "a header is short")
    require(len(chunk.tail) <= 65_536, "a tail is short")
    around = StreamContext(header=header or inspect(samples()[0]).header, before=data, after=data)
    try:
        source = source_of(chunk, around)
    except PermanentJobError as error:
        require(error.reason in REASONS, f"{error.reason} is a reason that nobody documented")
        return False
    require(source.sliced == chunk.is_slice, "what goes on with a stream is a slice")
    untouched = source.stream.data.endswith(data) or (chunk.is_slice and isinstance(chunk, WebmChunk))
    require(untouched, "pages and boxes stay as they are")
    return recognise(source.stream.data) is type(source.stream)


def _framing_is_followed(data: bytes) -> None:
    for each in FORMATS:
        chunk = each(data)
        chunk.is_cut()
        chunk.is_cut(continues=True)
        size = chunk.declared_bytes
        require(size is None or size >= 8, "a file has at least its header")
    require(all(0 <= at <= len(data) - 8 for at in boxes_of(data).first.values()), "boxes lie within the data")
    pages = list(ogg_pages.pages(data))
    require(all(one.end == other.begin for one, other in pairwise(pages)), "pages stand one behind the other")
    require(all(page.end <= len(data) for page in pages), "pages lie within the data")
    require(len(ogg_pages.header(data)) <= len(data), "a header is part of the data")
    made_up = opus_header(pages)
    require(made_up is None or recognise(made_up) is OggChunk, "a header that is made up is one")
    for packet in (data[:1], data[:40], *(packet for page in pages for packet in page.packets)):
        seconds = opus.packet_seconds(packet)
        require(seconds is None or 0 < seconds <= 0.12, "no Opus packet is longer than 120 ms")
    for frame_bytes in (adts_frame_bytes, mp3_frame_bytes):
        length = frame_bytes(data, 0)
        require(length is None or length > 0, "a frame takes room")


TARGET: Final = Target("containers", samples, structured, check, "bytes", _TOKENS, share=0.3)
