"""AAC in ADTS frames (ISO/IEC 13818-7, section 6.2)."""

from consumer.media.formats.base import InspectedChunk
from consumer.media.formats.mpeg_frames import begins_with_frames, frames_are_cut


class AdtsChunk(InspectedChunk):
    """A row of ADTS frames."""

    format = "AAC"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By two frames in a row."""
        return begins_with_frames(data, adts_frame_bytes)

    def is_cut(self, *, continues: bool = False) -> bool:
        """Whether the last frame is longer than what is there."""
        return frames_are_cut(self.data, adts_frame_bytes)


def adts_frame_bytes(data: bytes, at: int) -> int | None:
    """Length in bytes of the ADTS frame at `at`, header included; None when there is none."""
    if len(data) < at + 7 or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    sampling_frequency_index = data[at + 2] >> 2 & 15
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= 7 and sampling_frequency_index < 13 else None
