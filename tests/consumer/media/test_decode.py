import functools
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.media.decode import SAMPLE_RATE, DecodedAudio, decode
from shared.errors import PermanentJobError

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"
SECONDS = 3.0
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
# name: container, codec, sample rate, layout, options of the muxer
FORMATS: Mapping[str, tuple[str, str, int, str, Mapping[str, str]]] = {
    "webm": ("webm", "libopus", 48_000, "mono", NO_OPTIONS),
    "live-webm": ("webm", "libopus", 48_000, "mono", {"live": "1"}),
    "ogg": ("ogg", "libopus", 48_000, "stereo", NO_OPTIONS),
    "mp3": ("mp3", "libmp3lame", 16_000, "mono", NO_OPTIONS),
    "mp3-44k": ("mp3", "libmp3lame", 44_100, "stereo", {"id3v2_version": "0", "write_xing": "0"}),
    "flac": ("flac", "flac", 44_100, "stereo", NO_OPTIONS),
    "m4a": ("ipod", "aac", 44_100, "mono", NO_OPTIONS),
    "fragmented-mp4": (
        "mp4",
        "aac",
        44_100,
        "mono",
        {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"},
    ),
    "mov": ("mov", "aac", 44_100, "mono", NO_OPTIONS),
    "adts": ("adts", "aac", 44_100, "mono", NO_OPTIONS),
    "wav": ("wav", "pcm_s16le", 16_000, "mono", NO_OPTIONS),
    "wav-8k-stereo": ("wav", "pcm_s16le", 8_000, "stereo", NO_OPTIONS),
    "wav-24bit": ("wav", "pcm_s24le", 48_000, "stereo", NO_OPTIONS),
    "avi": ("avi", "libmp3lame", 44_100, "mono", NO_OPTIONS),
}


@functools.cache
def recording(name: str, *, video: bool = False, audio: bool = True, seconds: float = SECONDS) -> bytes:
    """A tone of three seconds as a file of the format; with a picture when `video`."""
    container, codec, rate, layout, options = FORMATS[name]
    target = BytesIO()
    with av.open(target, "w", format=container, options=dict(options)) as output:
        # Both streams are announced before the first packet, because that writes the header.
        picture = output.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p") if video else None
        sound = output.add_stream(codec, rate=rate, layout=layout) if audio else None
        if picture is not None:
            for number in range(int(SECONDS * 10)):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
                frame.pts = number
                output.mux(picture.encode(frame))
            output.mux(picture.encode(None))
        if isinstance(sound, av.AudioStream):
            resampler = av.AudioResampler(sound.format.name, layout, rate, frame_size=sound.frame_size or 1024)
            for part in [*resampler.resample(tone(seconds)), *resampler.resample(None)]:
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return target.getvalue()


@functools.cache
def film(*, audio: bool) -> bytes:
    """A WebM file with a picture that goes on for a second longer than its sound, if it has any."""
    target = BytesIO()
    with av.open(target, "w", format="webm") as output:
        picture = output.add_stream("libvpx", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound = output.add_stream("libopus", rate=48_000, layout="mono") if audio else None
        for number in range(int(SECONDS * 10) + 10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            frame.pts = number
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        if sound is not None:
            resampler = av.AudioResampler(sound.format.name, "mono", 48_000, frame_size=sound.frame_size)
            for part in [*resampler.resample(tone()), *resampler.resample(None)]:
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return target.getvalue()


def tone(seconds: float = SECONDS) -> av.AudioFrame:
    wave = 8_000 * np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 2 * np.pi * 330 / SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = 0
    return frame


def chunk(number: int, kind: str = "restart") -> bytes:
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


def outcome(data: bytes, *, chunk_seconds: float = 5.0) -> DecodedAudio | str:
    """The audio, or the reason why there is none."""
    try:
        return decode(data, chunk_seconds=chunk_seconds)
    except PermanentJobError as error:
        return error.reason


def passes_for_whole(result: DecodedAudio | str) -> bool:
    return isinstance(result, DecodedAudio) and result.partial is None


def assert_honest(result: DecodedAudio | str, *, whole_seconds: float) -> None:
    """Damage may end in a failure or be flagged; only what lost nothing worth hearing may pass for whole."""
    if isinstance(result, str):
        assert result in {"audio-damaged", "audio-headerless", "audio-not-audio", "audio-no-audio-stream"}
    elif result.partial is None:
        assert result.seconds >= min(0.95 * whole_seconds, whole_seconds - 0.05)
    else:
        assert 0 < result.partial.decoded_seconds < 0.95 * result.partial.expected_seconds + 0.001
        assert result.seconds >= 0.5 * result.partial.expected_seconds


@pytest.mark.parametrize("name", FORMATS)
def test_given_a_whole_file_of_any_format_when_decoded_then_it_is_clean_mono_at_16_khz(name: str) -> None:
    audio = decode(recording(name), chunk_seconds=5)

    assert audio.partial is None
    assert audio.seconds == pytest.approx(SECONDS, abs=0.06)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (round(audio.seconds * SAMPLE_RATE),)
    assert 0.1 < np.abs(audio.samples).max() <= 1


@pytest.mark.parametrize("name", ["avi", "mov"])
def test_given_sound_with_a_picture_when_decoded_then_the_sound_is_clean(name: str) -> None:
    assert decode(recording(name, video=True), chunk_seconds=5).partial is None


@pytest.mark.parametrize("name", ["avi", "mov"])
def test_given_a_picture_without_sound_then_the_reason_is_that_there_is_no_audio_stream(name: str) -> None:
    assert outcome(recording(name, video=True, audio=False)) == "audio-no-audio-stream"


def test_given_webm_with_a_picture_and_no_sound_then_the_reason_is_that_there_is_no_audio_stream() -> None:
    data = film(audio=False)

    assert data.startswith(b"\x1a\x45\xdf\xa3")
    assert outcome(data) == "audio-no-audio-stream"


def test_given_webm_with_a_longer_picture_then_the_sound_is_whole() -> None:
    audio = decode(film(audio=True), chunk_seconds=5)

    assert audio.seconds == pytest.approx(SECONDS, abs=0.06)
    assert audio.partial is None


@pytest.mark.parametrize("name", ["webm", "ogg", "mp3", "adts", "m4a"])
def test_given_a_file_of_a_single_packet_then_it_is_heard_and_whole(name: str) -> None:
    audio = decode(recording(name, seconds=0.02), chunk_seconds=5)

    assert 0.01 <= audio.seconds <= 0.15
    assert audio.partial is None


@pytest.mark.parametrize("number", range(1, 11))
def test_given_a_chunk_as_a_browser_recorded_it_then_all_of_it_is_heard(number: int) -> None:
    audio = decode(chunk(number), chunk_seconds=5)

    assert audio.partial is None
    assert audio.seconds == pytest.approx(0.96 if number == 10 else 4.98)


def test_given_the_first_timeslice_of_a_recorder_then_all_of_it_is_heard() -> None:
    assert passes_for_whole(outcome(chunk(1, "timeslice")))


def test_given_no_bytes_then_the_reason_is_empty() -> None:
    assert outcome(b"") == "audio-empty"


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (b"\n<!DOCTYPE html><html><body>secret</body></html>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"message": "secret"}', "a JSON document"),
        (b"#EXTM3U\n#EXTINF:5,\nchunk.webm\n", "a playlist"),
        (b"PK\x03\x04" + bytes(60), "a compressed archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "an image"),
        ("secret words, spoken by nobody, naïvely, and more of them".encode(), "plain text"),
        (bytes(5000), "data of no known format"),
    ],
)
def test_given_something_else_than_audio_then_the_detail_names_it_and_quotes_nothing(
    data: bytes, looks_like: str
) -> None:
    with pytest.raises(PermanentJobError) as failure:
        decode(data, chunk_seconds=5)
    assert failure.value.reason == "audio-not-audio"
    assert failure.value.detail == f"{looks_like} instead of audio"


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)])
def test_given_a_playlist_that_names_a_file_of_this_machine_then_the_file_is_not_heard(
    tag: bytes, tmp_path: Path
) -> None:
    (tmp_path / "private.wav").write_bytes(recording("wav"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:3,\nfile:{tmp_path}/private.wav\n#EXT-X-ENDLIST\n"

    assert outcome(tag + playlist.encode()) == "audio-not-audio"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.15, 0.31, 0.45, 0.62, 0.78, 0.9])
def test_given_a_file_of_any_format_that_lost_its_end_then_it_does_not_pass_for_whole(name: str, share: float) -> None:
    data = recording(name)

    result = outcome(data[: int(len(data) * share)], chunk_seconds=SECONDS)

    assert not passes_for_whole(result)
    assert_honest(result, whole_seconds=SECONDS)


def test_given_ogg_cut_between_two_pages_when_none_is_marked_as_last_then_it_does_not_pass_for_whole() -> None:
    data = recording("ogg")
    last_second = data.rindex(b"OggS", 0, data.rindex(b"OggS"))

    assert not passes_for_whole(outcome(data[:last_second], chunk_seconds=SECONDS))


def test_given_mp4_cut_in_front_of_its_audio_stream_then_it_is_damaged_and_not_without_audio() -> None:
    data = recording("fragmented-mp4")

    assert outcome(data[: data.index(b"trak")]) == "audio-damaged"


MAGICS = (b"", b"\x1a\x45\xdf\xa3", b"OggS\x00", b"RIFF\xff\xff\x00\x00WAVEfmt ", b"\x00\x00\x00\x18ftypisom", b"fLaC")
MORE_MAGICS = (
    b"ID3\x04\x00\x00\x00\x00\x00\x05",
    b"\xff\xfb\x90\x00",
    b"\xff\xf1\x50\x80",
    b"RIFF\x00\x00\x00\x00AVI ",
)


@settings(max_examples=80)
@given(st.sampled_from(MAGICS + MORE_MAGICS), st.binary(max_size=3000))
def test_given_garbage_behind_any_magic_number_then_it_is_a_reason_or_real_samples(magic: bytes, rest: bytes) -> None:
    result = outcome(magic + rest)

    assert isinstance(result, str) or len(result.samples) > 0


@settings(max_examples=80)
@given(st.sampled_from(sorted(FORMATS)), st.floats(0, 1), st.binary(min_size=1, max_size=300))
@example("webm", 0.5, bytes(200))
def test_given_spoilt_bytes_anywhere_in_a_file_then_it_is_a_reason_or_real_samples(
    name: str, place: float, spoilt: bytes
) -> None:
    data = recording(name)
    at = int(place * (len(data) - 1))

    result = outcome(data[:at] + spoilt + data[at + len(spoilt) :])

    assert isinstance(result, str) or len(result.samples) > 0
