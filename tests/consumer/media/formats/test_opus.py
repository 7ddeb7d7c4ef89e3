import pytest

from consumer.media.formats.opus import is_stereo, packet_seconds


@pytest.mark.parametrize(
    ("packet", "seconds"),
    [
        (b"\xfc" + bytes(9), 0.02),  # CELT of 20 ms, one frame
        (b"\x78" + bytes(9), 0.02),  # hybrid
        (b"\x08" + bytes(9), 0.02),  # SILK
        (b"\x18" + bytes(9), 0.06),
        (b"\xe0" + bytes(9), 0.0025),
        (b"\xfd" + bytes(10), 0.04),  # two frames of one size
        (b"\xfe\x04" + bytes(9), 0.04),  # two frames of their own sizes
        (b"\xff\x83\xfe\x3d" + bytes(9), 0.06),  # three frames, as Chromium packs them
        (b"\xff\x03" + bytes(9), 0.06),
        (b"\xfc", 0.02),  # nothing was said (DTX)
    ],
)
def test_that_a_packet_is_as_long_as_its_first_bytes_say(packet: bytes, seconds: float) -> None:
    assert packet_seconds(packet) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "packet",
    [b"", b"\xfd" + bytes(9), b"\xfe", b"\xff", b"\xff\x00" + bytes(9), b"\xff\x07" + bytes(9), b"\x1b\x03" + bytes(9)],
)
def test_that_what_breaks_the_rules_of_a_packet_has_no_length(packet: bytes) -> None:
    """Two frames of one size in an odd number of bytes, a missing count, none, or more than 120 ms of frames."""
    assert packet_seconds(packet) is None


def test_that_the_first_byte_says_how_many_channels_there_are() -> None:
    assert is_stereo(b"\xff")
    assert not is_stereo(b"\xfb")
