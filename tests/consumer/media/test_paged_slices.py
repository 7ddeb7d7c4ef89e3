"""Slices as Firefox (Ogg) and Safari (fragmented MP4) make them: cut between pages and between fragments."""

import functools
from io import BytesIO
from itertools import pairwise

import av
import numpy as np
import pytest

from consumer.media.decode import SAMPLE_RATE, DecodedAudio, decode
from consumer.media.formats import ogg_pages as ogg
from consumer.media.formats.base import StreamContext
from consumer.media.formats.mp4 import boxes_of
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError

SECONDS = 12.0
CHUNK_SECONDS = 4


@functools.cache
def stream(kind: str) -> bytes:
    container, codec, options = {
        "ogg": ("ogg", "libopus", {"page_duration": "500000"}),
        "mp4": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}),
    }[kind]
    clock = np.arange(int(SECONDS * 48_000)) / 48_000
    wave = (8_000 * np.sin(2 * np.pi * (200 + 40 * clock) * clock)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate = 48_000
    target = BytesIO()
    with av.open(target, "w", format=container, options=options) as output:
        sound = output.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        resampler = av.AudioResampler(sound.format.name, "mono", 48_000, frame_size=sound.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return target.getvalue()


def borders(kind: str) -> list[int]:
    """Where the pages or fragments with audio begin."""
    data = stream(kind)
    if kind == "ogg":
        return [page.begin for page in ogg.pages(data) if page.granule > 0]
    starts, at = [], 0
    while (at := data.find(b"moof", at + 1)) >= 0:
        starts.append(at - 4)
    return starts


def slices(kind: str) -> list[bytes]:
    """The stream in three parts of four seconds, the first with its header."""
    starts, data = borders(kind), stream(kind)
    third = len(starts) // 3
    cuts = [0, starts[third], starts[2 * third], len(data)]
    return [data[begin:end] for begin, end in pairwise(cuts)]


def outcome(data: bytes, header: bytes | None) -> DecodedAudio | str:
    try:
        return decode(data, chunk_seconds=CHUNK_SECONDS, surroundings=StreamContext(header=header))
    except PermanentJobError as error:
        return error.reason


@pytest.mark.parametrize("kind", ["ogg", "mp4"])
def test_given_slices_of_a_running_stream_then_all_of_each_is_heard(kind: str) -> None:
    whole = decode(stream(kind), chunk_seconds=SECONDS)
    header = inspect(slices(kind)[0]).header

    parts = [
        decode(part, chunk_seconds=CHUNK_SECONDS, surroundings=StreamContext(header=header)) for part in slices(kind)
    ]

    assert [inspect(part).is_slice for part in slices(kind)] == [False, True, True]
    assert [part.partial for part in parts] == [None] * 3
    assert sum(part.seconds for part in parts) == pytest.approx(whole.seconds, abs=0.1)
    last_second = slice(-SAMPLE_RATE, -SAMPLE_RATE // 10)
    assert np.corrcoef(parts[2].samples[last_second], whole.samples[last_second])[0, 1] > 0.99


def test_given_no_first_chunk_of_mp4_then_the_reason_says_that_it_needs_one() -> None:
    assert outcome(slices("mp4")[1], None) == "audio-headerless"
    assert outcome(slices("mp4")[1], b"\x1a\x45\xdf\xa3") == "audio-headerless"


@pytest.mark.parametrize("pages", [1, 2, 100])
def test_given_no_first_chunk_of_ogg_then_a_header_is_made_up_for_opus(pages: int) -> None:
    later = slices("ogg")[1]
    ends = [page.end for page in ogg.pages(later)]
    later = later[: ends[min(pages, len(ends)) - 1]]

    audio = decode(later, chunk_seconds=CHUNK_SECONDS)
    with_header = decode(
        later, chunk_seconds=CHUNK_SECONDS, surroundings=StreamContext(header=inspect(stream("ogg")).header)
    )

    assert (audio.header_synthesised, audio.partial) == (True, None)
    # a real header drops the encoder's lead-in, which a slice in the middle has not
    assert audio.seconds == pytest.approx(with_header.seconds, abs=0.01)
    length = len(with_header.samples)
    assert np.corrcoef(audio.samples[-length:][3_000:], with_header.samples[3_000:])[0, 1] > 0.99


def test_given_no_first_chunk_of_ogg_and_no_opus_then_the_reason_says_that_it_needs_one() -> None:
    target = BytesIO()
    with av.open(target, "w", format="ogg", options={"page_duration": "200000"}) as output:
        sound = output.add_stream("flac", rate=48_000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        noise = np.random.default_rng(1).integers(-9_000, 9_000, (1, 4_608)).astype(np.int16)
        for number in range(10):
            frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            frame.sample_rate = 48_000
            frame.pts = number * 4_608
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    data = target.getvalue()
    later = data[next(page.begin for page in ogg.pages(data) if page.granule > 10_000) :]

    assert inspect(later).is_slice
    assert outcome(later, None) == "audio-headerless"


def test_that_the_checksum_is_the_one_of_pages_that_others_wrote() -> None:
    data = stream("ogg")

    for page in ogg.pages(data):
        stored = int.from_bytes(data[page.begin + 22 : page.begin + 26], "little")
        assert ogg.checksum(data[page.begin : page.begin + 22] + bytes(4) + data[page.begin + 26 : page.end]) == stored


@pytest.mark.parametrize("kind", ["ogg", "mp4"])
@pytest.mark.parametrize(("share", "verdict"), [(0.7, "partial"), (0.3, "audio-damaged")])
def test_given_a_slice_that_lost_its_end_then_it_does_not_pass_for_whole(kind: str, share: float, verdict: str) -> None:
    later = slices(kind)[1]

    result = outcome(later[: int(len(later) * share)], inspect(stream(kind)).header)

    assert (result if isinstance(result, str) else "partial" if result.partial else "whole") == verdict


def test_given_a_short_slice_of_whole_pages_then_it_is_not_flagged_for_its_length() -> None:
    starts = borders("ogg")

    result = outcome(stream("ogg")[starts[8] : starts[10]], inspect(stream("ogg")).header)

    assert isinstance(result, DecodedAudio)
    assert result.seconds == pytest.approx(1, abs=0.02)
    assert result.partial is None


@pytest.mark.parametrize("kind", ["ogg", "mp4"])
def test_that_the_header_is_what_stands_in_front_of_the_audio(kind: str) -> None:
    first, second, _ = slices(kind)

    assert inspect(first).header == first[: borders(kind)[0]]
    assert inspect(second).header is None
    assert inspect(first).tail == b""


def test_that_a_whole_mp4_file_has_no_header_for_slices() -> None:
    whole = stream("mp4")[: borders("mp4")[0]]

    assert boxes_of(whole).first.keys() == {b"ftyp", b"moov"}
    assert inspect(whole + b"\x00\x00\x00\x09mdat\x00").header is None


@pytest.mark.parametrize("kind", ["ogg", "mp4"])
def test_given_a_slice_cut_at_any_byte_then_it_is_a_reason_or_real_samples(kind: str) -> None:
    later, header = slices(kind)[1], inspect(stream(kind)).header

    for at in range(0, len(later), len(later) // 60):
        for part in (later[:at], later[at:]):
            result = outcome(part, header)
            assert isinstance(result, str) or len(result.samples) > 0
