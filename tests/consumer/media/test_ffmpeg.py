import functools
import struct
import subprocess
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
from faster_whisper.audio import decode_audio

from consumer.media.ffmpeg import SAMPLE_RATE, Decoded, decode_stream
from shared.errors import PermanentJobError

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities" / "restart"
SECONDS = 4.0
FORMATS: Mapping[str, tuple[str, str, int, str]] = MappingProxyType(
    {
        "webm": ("webm", "libopus", 48_000, "stereo"),
        "ogg": ("ogg", "libopus", 48_000, "mono"),
        "mp3": ("mp3", "libmp3lame", 44_100, "stereo"),
        "flac": ("flac", "flac", 44_100, "mono"),
        "m4a": ("ipod", "aac", 44_100, "mono"),
        "adts": ("adts", "aac", 16_000, "mono"),
        "wav-8k": ("wav", "pcm_s16le", 8_000, "stereo"),
        "wav-24bit": ("wav", "pcm_s24le", 48_000, "mono"),
        "avi": ("avi", "libmp3lame", 48_000, "stereo"),
    }
)


@functools.cache
def sweep(name: str, rate: int | None = None) -> bytes:
    """A rising tone of four seconds as a file of the format."""
    container, codec, usual_rate, layout = FORMATS[name]
    rate = rate or usual_rate
    target = BytesIO()
    clock = np.arange(int(SECONDS * rate)) / rate
    wave = (8_000 * np.sin(2 * np.pi * (200 + 100 * clock) * clock)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate = rate
    with av.open(target, "w", format=container) as output:
        sound = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(sound, av.AudioStream)
        resampler = av.AudioResampler(sound.format.name, layout, rate, frame_size=sound.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return target.getvalue()


def decoded(data: bytes, *, max_seconds: float = 60) -> Decoded:
    return decode_stream(data, keep_time=False, max_seconds=max_seconds)


def silent_wav(seconds: int) -> bytes:
    """8-bit silence at 8 kHz."""
    size = seconds * 8_000
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 8_000, 8_000, 1, 8, b"data", size)
    return head + b"\x80" * size


@pytest.mark.parametrize("name", FORMATS)
def test_that_a_good_file_gives_the_very_samples_that_faster_whisper_would_decode(name: str) -> None:
    result = decoded(sweep(name))

    assert np.array_equal(result.samples, decode_audio(BytesIO(sweep(name))))
    assert (result.silence_seconds, result.corrupt) == (0, False)


@pytest.mark.parametrize("number", [1, 5, 10])
def test_that_a_browsers_recording_gives_the_very_samples_that_faster_whisper_would_decode(number: int) -> None:
    data = (SAMPLES / f"chunk-{number:03d}.webm").read_bytes()

    assert np.array_equal(decoded(data).samples, decode_audio(BytesIO(data)))


@pytest.mark.parametrize("name", ["ogg", "mp3", "flac", "m4a", "adts"])
def test_given_200_spoilt_bytes_in_the_middle_then_what_stands_behind_them_is_heard(name: str) -> None:
    data = sweep(name)
    good = decoded(data)
    middle = len(data) // 2

    result = decoded(data[:middle] + b"\x55" * 200 + data[middle + 200 :])

    # a page of Ogg holds a second, the other formats lose no more than the packets that were hit
    assert result.heard_seconds >= SECONDS - (1.1 if name == "ogg" else 0.35)
    last_second = slice(-SAMPLE_RATE, None)
    strength = [np.sqrt(np.mean(audio.samples[last_second] ** 2)) for audio in (good, result)]
    assert strength[1] == pytest.approx(strength[0], rel=0.1)


def test_given_packets_that_cannot_be_decoded_then_silence_keeps_their_place_and_is_not_counted_as_heard() -> None:
    data = bytearray(sweep("flac"))
    good = decoded(bytes(data))
    middle = len(data) // 2
    data[middle : middle + 2_000] = bytes(2_000)

    result = decoded(bytes(data))

    assert result.heard_seconds < good.heard_seconds - 0.05
    assert result.heard_seconds + result.silence_seconds == pytest.approx(len(result.samples) / SAMPLE_RATE)


def test_given_a_stream_that_changes_its_rate_midway_then_both_parts_are_heard() -> None:
    result = decoded(sweep("adts") + sweep("adts", rate=44_100))

    assert result.heard_seconds == pytest.approx(2 * SECONDS, abs=0.3)


def test_given_more_audio_than_allowed_then_it_is_refused_and_not_cut() -> None:
    with pytest.raises(PermanentJobError, match="more than 600 s of audio") as failure:
        decoded(silent_wav(700), max_seconds=600)
    assert failure.value.reason == "audio-too-long"
    assert decoded(silent_wav(590), max_seconds=600).heard_seconds == pytest.approx(590)


@pytest.mark.parametrize("data", [b"", b"\x1a\x45\xdf\xa3", b"OggS" + bytes(40), b"fLaC"])
def test_given_what_cannot_be_opened_then_nothing_is_heard_and_nothing_is_known(data: bytes) -> None:
    result = decoded(data)

    assert (len(result.samples), result.has_audio) == (0, None)


PEAK = """
import resource, struct, sys
from pathlib import Path
from consumer.media.decode import decode
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def wav(size):
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", size)
    return head + b"\\x80" * size
"""
THREE_HOURS = """
decode(wav(80_000), chunk_seconds=5)
data = wav(3 * 3600 * 8000)
before = peak()
audio = decode(data, chunk_seconds=5)
print(audio.seconds, audio.partial, audio.samples.nbytes / 2**20, peak() - before)
"""
AGAIN_AND_AGAIN = """
data = Path(sys.argv[1]).read_bytes()
for number in range(220):
    decode(data, chunk_seconds=5)
    if number == 20:
        before = peak()
print(peak() - before)
"""


def measured(script: str, *arguments: str) -> list[str]:
    """What the script prints in a process of its own, whose peak of memory is nobody else's."""
    command = [sys.executable, "-c", PEAK + script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.split()


def test_given_a_file_of_three_hours_then_it_takes_little_more_memory_than_its_samples() -> None:
    seconds, partial, samples_mb, taken_mb = measured(THREE_HOURS)

    assert (float(seconds), partial) == (10_800, "None")
    assert float(taken_mb) < 1.25 * float(samples_mb)


def test_that_decoding_again_and_again_takes_no_more_memory_without_collecting_garbage_each_time() -> None:
    (grown_mb,) = measured(AGAIN_AND_AGAIN, str(SAMPLES / "chunk-005.webm"))

    assert float(grown_mb) < 8  # the samples alone of 200 decodes are 64 MB
