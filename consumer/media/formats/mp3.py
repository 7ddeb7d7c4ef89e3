"""MPEG audio, layer III (ISO/IEC 11172-3, section 2.4.1)."""

from typing import Final

from consumer.media.formats.base import InspectedChunk
from consumer.media.formats.mpeg_frames import begins_with_frames, frames_are_cut

_KBIT_MPEG1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_MPEG2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ_MPEG1: Final = (44_100, 48_000, 32_000)


class Mp3Chunk(InspectedChunk):
    """A row of layer III frames."""

    format = "MP3"
    decoder_delay_seconds = 0.11  # 1105 samples and a frame, at 16 kHz

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By two frames in a row."""
        return begins_with_frames(data, mp3_frame_bytes)

    def is_cut(self, *, continues: bool = False) -> bool:
        """Whether the last frame is longer than what is there."""
        return frames_are_cut(self.data, mp3_frame_bytes)


def mp3_frame_bytes(data: bytes, at: int) -> int | None:
    """Length in bytes of the MPEG layer III frame at `at`, header included; None when there is none."""
    if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return None
    version = data[at + 1] >> 3 & 3  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5, 1: reserved
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or bitrate in {0, 15} or rate == 3:
        return None
    hertz = _HERTZ_MPEG1[rate] // {3: 1, 2: 2, 0: 4}[version]
    kbit = (_KBIT_MPEG1 if version == 3 else _KBIT_MPEG2)[bitrate]
    return (144 if version == 3 else 72) * kbit * 1000 // hertz + padding
