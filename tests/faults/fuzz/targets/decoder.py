"""The decoder: FFmpeg gets bytes of recognised containers only, and bad ones give a reason or real samples."""

import math
from functools import cache
from typing import Final

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from consumer.media.decode import SAMPLE_RATE, decode
from consumer.media.formats.base import StreamContext
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError
from tests.faults.fuzz.target import Target, require
from tests.faults.fuzz.targets import containers, webm

_REASONS: Final = webm.REASONS | {"audio-no-audio-stream", "audio-too-long", "audio-damaged"}
_MAX_SECONDS: Final = 60.0


@cache
def samples() -> list[bytes]:
    """Half a second in every container, WebM included."""
    opus = [containers.encoded("webm", "libopus", {}), containers.encoded("matroska", "libopus", {})]
    return [*opus * 3, *containers.samples(), webm.chunk(2, "timeslice")[:6000]]


def structured() -> SearchStrategy[bytes]:
    """A real beginning, with anything behind it."""
    return st.builds(
        lambda sample, share, rest: sample[: int(len(sample) * share)] + rest,
        st.sampled_from(samples()),
        st.floats(0, 1),
        st.binary(max_size=200),
    )


def check(data: bytes) -> bool:
    """A chunk as it may stand in S3, to be decoded."""
    around = StreamContext(header=inspect(webm.samples()[1]).header)
    try:
        audio = decode(data, chunk_seconds=0.5, surroundings=around, max_seconds=_MAX_SECONDS)
    except PermanentJobError as error:
        require(error.reason in _REASONS, f"{error.reason} is a reason that nobody documented")
        return False
    require(0 < len(audio.samples) <= (_MAX_SECONDS + 1) * SAMPLE_RATE, "there are samples, and not too many")
    require(bool(np.isfinite(audio.samples).all()), "samples are numbers")
    require(bool(np.abs(audio.samples).max() <= 1), "samples lie between -1 and 1")
    require(math.isclose(audio.seconds, len(audio.samples) / SAMPLE_RATE), "the length is that of the samples")
    return True


# A decode costs a hundred times what a parser does.
TARGET: Final = Target("decoder", samples, structured, check, "bytes", share=0.02)
