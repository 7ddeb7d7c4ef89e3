import functools
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.media.decode import SAMPLE_RATE, DecodedAudio, decode
from consumer.media.formats.base import StreamContext
from consumer.media.formats.webm.rebuild import cluster_head
from consumer.media.formats.webm.slices import seam
from consumer.media.formats.webm.walk import walk
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"
PACKET_SECONDS = 0.06
# An Opus decoder that starts midway needs this long before it agrees with one that heard what went before.
WARM_UP = round(0.2 * SAMPLE_RATE)


def chunk(number: int, kind: str = "timeslice") -> bytes:
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


@functools.cache
def real_header() -> bytes:
    header = inspect(chunk(1)).header
    assert header is not None
    return header


@functools.cache
def whole_recording() -> np.ndarray:
    """What all slices of the recording say when they are put together again."""
    return decode(b"".join(chunk(number) for number in range(1, 11)), chunk_seconds=5).samples


@functools.cache
def live_stream(codec: str = "libopus", *, layout: str = "mono", seconds: float = 2.0) -> bytes:
    """A sweep as a live stream, with clusters of half a second and packets of 60 ms where the codec can."""
    target = BytesIO()
    container = "webm" if codec == "libopus" else "matroska"
    with av.open(target, "w", format=container, options={"live": "1", "cluster_time_limit": "500"}) as output:
        sound = output.add_stream(codec, rate=48_000, layout=layout, bit_rate=16_000 if layout == "mono" else 96_000)
        assert isinstance(sound, av.AudioStream)
        if codec == "libopus":
            sound.options = {"frame_duration": "60"}
        clock = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        wave = 8_000 * np.sin(2 * np.pi * (200 + 150 * clock) * clock)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(sound.format.name, layout, 48_000, frame_size=sound.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return target.getvalue()


def cut(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def agrees(audio: DecodedAudio, whole: np.ndarray) -> bool:
    """Whether the audio is what `whole` ends with, apart from the decoder's warm-up."""
    length = len(audio.samples) - WARM_UP
    if length <= 0:
        return True
    heard, true = audio.samples[-length:], whole[-length:]
    return bool(np.sqrt(np.mean((heard - true) ** 2)) < 0.1 * np.sqrt(np.mean(true**2)) + 0.001)


def outcome(data: bytes, surroundings: StreamContext, *, chunk_seconds: float = 5.0) -> DecodedAudio | str:
    try:
        return decode(data, chunk_seconds=chunk_seconds, surroundings=surroundings)
    except PermanentJobError as error:
        return error.reason


@pytest.mark.parametrize("first_is_there", [True, False])
@pytest.mark.parametrize("before_is_there", [True, False])
@pytest.mark.parametrize("number", range(2, 11))
def test_given_a_slice_of_a_real_recording_then_every_packet_is_heard_whatever_is_there_of_its_neighbours(
    number: int, before_is_there: bool, first_is_there: bool
) -> None:
    header = real_header() if first_is_there else None
    before = inspect(chunk(number - 1)).tail if before_is_there else b""

    audio = decode(chunk(number), chunk_seconds=5, surroundings=StreamContext(header=header, before=before))

    # 83 packets in the first slice, 84 in each later one
    begin = round(((number - 1) * 84 - 1) * PACKET_SECONDS * SAMPLE_RATE)
    assert audio.seconds == pytest.approx(0.66 if number == 10 else 5.04)
    assert audio.partial is None
    assert audio.header_synthesised is not first_is_there
    assert agrees(audio, whole_recording()[: begin + len(audio.samples)])


def test_given_the_first_slice_with_a_stray_id_byte_at_its_end_then_all_of_it_is_heard() -> None:
    first = chunk(1)
    assert first.endswith(b"\xa3")

    audio = decode(first, chunk_seconds=5, surroundings=StreamContext(after=chunk(2)))

    assert audio.seconds == pytest.approx(4.98)
    assert audio.partial is None


BEFORE = ["measured", "last bytes", "none"]


@pytest.mark.parametrize("header_is_there", [True, False])
@pytest.mark.parametrize("before", BEFORE)
def test_given_a_stream_cut_at_any_byte_then_no_more_than_two_packets_are_lost_and_nothing_wrong_is_heard(
    before: str, header_is_there: bool
) -> None:
    stream = live_stream()
    whole = decode(stream, chunk_seconds=2)
    header = inspect(stream).header if header_is_there else None
    second_cluster = stream.index(b"\x1f\x43\xb6\x75", len(stream) // 3)
    # Two blocks, a cluster's head, two blocks. Each variant takes every third byte: together they cut at all of them.
    first_cut = second_cluster - 300 + BEFORE.index(before)

    wrong = []
    for at in range(first_cut, second_cluster + 300, len(BEFORE)):
        first, second = cut(stream, at)
        tail = {"measured": inspect(first).tail, "last bytes": first[-8:], "none": b""}[before]
        head = decode(first, chunk_seconds=2, surroundings=StreamContext(after=second))
        rest = outcome(second, StreamContext(header=header, before=tail), chunk_seconds=2)
        if (
            isinstance(rest, str)
            or head.partial
            or rest.partial
            or head.seconds + rest.seconds < whole.seconds - 2 * PACKET_SECONDS - 0.01
            or head.seconds + rest.seconds > whole.seconds + 0.01
            or not agrees(rest, whole.samples)
        ):
            wrong.append((at - second_cluster, rest if isinstance(rest, str) else (head.seconds, rest.seconds)))

    assert wrong == []


def test_given_the_element_that_the_chunk_before_broke_off_within_then_no_packet_is_lost() -> None:
    stream = live_stream()
    whole = decode(stream, chunk_seconds=2).seconds
    block = walk(stream).blocks[15]

    for at in range(block.begin, block.end):
        first, second = cut(stream, at)
        around = StreamContext(header=inspect(stream).header, before=inspect(first).tail)
        halves = decode(first, chunk_seconds=2, surroundings=StreamContext(after=second)).seconds
        halves += decode(second, chunk_seconds=2, surroundings=around).seconds
        assert halves == pytest.approx(whole, abs=0.01)


@settings(max_examples=60)
@given(st.integers(0, 70_000), st.binary(max_size=300), st.booleans(), st.binary(max_size=40), st.binary(max_size=200))
def test_given_spoilt_bytes_and_neighbours_of_any_kind_then_it_is_a_reason_or_real_samples(
    place: int, spoilt: bytes, header_is_there: bool, before: bytes, after: bytes
) -> None:
    data = chunk(4)
    data = data[:place] + spoilt + data[place + len(spoilt) :]
    around = StreamContext(header=real_header() if header_is_there else before + after, before=before, after=after)

    result = outcome(data, around)

    assert isinstance(result, str) or len(result.samples) > 0


def test_given_a_slice_of_one_packet_then_it_is_heard() -> None:
    data = chunk(4)
    second = walk(real_header() + b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + b"\xa3" + data).blocks[1]
    one = data[: second.begin - len(real_header()) - 13]

    with_header = decode(one + b"\xa3", chunk_seconds=5, surroundings=StreamContext(header=real_header()))
    without = decode(one + b"\xa3", chunk_seconds=5)

    assert with_header.seconds == without.seconds == pytest.approx(PACKET_SECONDS)
    assert (with_header.partial, without.partial) == (None, None)


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2)])
def test_given_no_first_chunk_then_the_made_up_header_has_the_channels_of_the_packets(
    layout: str, channels: int
) -> None:
    stream = live_stream(layout=layout)
    at = walk(stream).blocks[10].begin + 1

    audio = decode(stream[at:], chunk_seconds=2)

    whole = decode(stream, chunk_seconds=2)
    assert audio.header_synthesised
    assert agrees(audio, whole.samples)
    assert walk(stream).durations(stream)[10] == pytest.approx(PACKET_SECONDS)
    assert bool(stream[walk(stream).blocks[10].header + 4] & 4) == (channels == 2)


def test_given_no_first_chunk_and_no_opus_then_the_reason_says_that_it_needs_the_first_chunk() -> None:
    stream = live_stream("aac")
    blocks = walk(stream).blocks
    later = stream[blocks[len(blocks) // 2].begin + 1 :]

    with pytest.raises(PermanentJobError, match="first chunk of its session") as failure:
        decode(later, chunk_seconds=2)
    heard = decode(later, chunk_seconds=2, surroundings=StreamContext(header=inspect(stream).header))

    assert failure.value.reason == "audio-headerless"
    assert (heard.partial, heard.header_synthesised) == (None, False)
    assert heard.seconds > 0.8


@functools.cache
def film() -> bytes:
    """Four seconds of sound and of a picture that takes most of the bytes."""
    target = BytesIO()
    noise = np.random.default_rng(1)
    with av.open(target, "w", format="webm", options={"live": "1", "cluster_time_limit": "1000"}) as output:
        picture = output.add_stream("libvpx", rate=10, width=160, height=120, pix_fmt="yuv420p")
        sound = output.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(sound.format.name, "mono", 48_000, frame_size=960)
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (120, 160, 3), np.uint8))
            frame.pts = number
            output.mux(picture.encode(frame))
            clock = np.arange(4_800 * number, 4_800 * (number + 1)) / 48_000
            wave = (8_000 * np.sin(2 * np.pi * (200 + 50 * clock) * clock)).astype(np.int16)
            tone = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            tone.sample_rate = 48_000
            for part in resampler.resample(tone):
                output.mux(sound.encode(part))
        output.mux(picture.encode(None))
        output.mux(sound.encode(None))
    return target.getvalue()


@pytest.mark.parametrize("share", [0.2, 0.41, 0.5, 0.77])
def test_given_slices_of_a_film_then_the_sound_of_both_is_whole(share: float) -> None:
    stream = film()
    whole = decode(stream, chunk_seconds=4)
    first, second = cut(stream, int(share * len(stream)))

    begun = decode(first, chunk_seconds=2, surroundings=StreamContext(after=second))
    around = StreamContext(header=inspect(first).header, before=inspect(first).tail)
    rest = decode(second, chunk_seconds=2, surroundings=around)

    assert (begun.partial, rest.partial) == (None, None)
    assert begun.seconds + rest.seconds == pytest.approx(whole.seconds, abs=0.03)
    assert agrees(rest, whole.samples)
    assert outcome(second, StreamContext()) == "audio-headerless"  # which of its tracks is the sound?


def test_given_a_session_whose_first_chunk_is_of_another_format_then_its_header_is_not_used() -> None:
    other = StreamContext(header=b"OggS" + bytes(100))

    assert decode(chunk(4), chunk_seconds=5, surroundings=other).header_synthesised


def test_given_a_cluster_that_lost_its_header_then_its_blocks_are_heard_behind_those_before() -> None:
    stream = live_stream()
    whole = decode(stream, chunk_seconds=2)
    cluster = stream.index(b"\x1f\x43\xb6\x75", len(stream) // 2)

    audio = decode(stream[:cluster] + bytes(30) + stream[cluster + 30 :], chunk_seconds=2)

    assert audio.partial is None
    assert audio.seconds == pytest.approx(whole.seconds, abs=2 * PACKET_SECONDS)


def test_that_the_header_of_a_stream_is_what_stands_in_front_of_its_first_cluster() -> None:
    assert real_header() == chunk(1)[: chunk(1).index(b"\x1f\x43\xb6\x75")]
    assert inspect(real_header()).header == real_header()  # a first slice may end before its first cluster


@pytest.mark.parametrize("data", [b"", chunk(2), b"RIFF\x00\x00\x00\x00WAVEfmt ", b"\x1a\x45\xdf\xa3", bytes(500)])
def test_that_what_begins_no_stream_of_slices_has_no_header(data: bytes) -> None:
    assert inspect(data).header is None


def test_given_a_cluster_whose_clock_stands_at_its_very_end_then_it_still_can_be_joined() -> None:
    """The clock is kept in seconds, and rounding its last tick gives one more than eight bytes can hold."""
    data, behind = live_stream(), chunk(2)
    at = data.index(b"\x1f\x43\xb6\x75")
    late = data[:at] + cluster_head(2**64 - 1) + data[data.index(b"\xa3", at) :]

    assert not seam(late, walk(late), behind, sliced=False).whole


def test_that_the_tail_of_a_chunk_is_what_follows_its_last_whole_element() -> None:
    assert [inspect(chunk(number)).tail for number in range(1, 11)] == [b"\xa3"] * 9 + [b""]
    assert [inspect(chunk(number, "restart")).tail for number in (1, 10)] == [b"", b""]
    last = walk(chunk(3)).blocks[-1]
    assert inspect(chunk(3)[: last.end - 100]).tail == chunk(3)[last.begin : last.end - 100]
    assert inspect(b"").tail == b""


@pytest.mark.parametrize("first", [b"{", b"[", b"<", b"\xff\xfb"])
def test_given_a_slice_that_begins_like_something_else_then_it_is_a_slice_nevertheless(first: bytes) -> None:
    """A recorder's cut can fall before any byte."""
    data = chunk(4)

    assert inspect(first + data[len(first) + 300 :]).is_slice
