"""Recognises audio containers by their first bytes, and tells from their framing when the end is missing.

It is responsible for bytes only: names and content types lie too often to be asked (Safari records MP4 under a .webm
name). Only what is recognised here may be given to FFmpeg, whose playlist formats (HLS, concat) open whatever files
and addresses a text names.

Sources: RIFF (Multimedia Programming Interface and Data Specifications 1.0), ISO base media file format (ISO/IEC
14496-12, section 4.2), FLAC (RFC 9639), MPEG audio (ISO/IEC 11172-3, section 2.4.1), ADTS (ISO/IEC 13818-7, section
6.2), ID3v2 (id3.org/id3v2.4.0-structure).
"""

from collections.abc import Callable
from enum import Enum

from consumer.media.formats import ogg_pages as ogg
from consumer.media.formats.webm import matroska


class Container(Enum):
    """The containers of architecture.md section 3, by what their bytes are. WAV and AVI are both RIFF."""

    WEBM = "WebM"
    OGG = "Ogg"
    MP4 = "MP4"
    RIFF = "RIFF"
    FLAC = "FLAC"
    MP3 = "MP3"
    ADTS = "AAC"


# The length of the frame at an offset, None when there is none.
FrameBytes = Callable[[bytes, int], int | None]

_MP4_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_LOOKS = (
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "an HTML page"),
    ((b"<?xml", b"<error", b"<svg"), "an XML document"),
    ((b"{", b"["), "a JSON document"),
    ((b"#extm3u",), "a playlist"),
    ((b"%pdf",), "a PDF document"),
    ((b"pk\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"bzh", b"\xfd7zxz"), "a compressed archive"),
    ((b"\x89png", b"\xff\xd8\xff", b"gif8"), "an image"),
)


def recognise(data: bytes) -> Container | None:
    """The container that `data` begins like; None when it is none that the fleet reads."""
    return next((container for container, begins in _BEGINNINGS if begins(data)), None)


def describe_stranger(data: bytes) -> str:
    """What data that is no audio looks like, for people; quotes nothing of it."""
    begin = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, name in _LOOKS:
        if begin.startswith(beginnings):
            return name
    text = data[:4096].decode("utf-8", errors="replace")
    legible = sum(character.isprintable() or character.isspace() for character in text) - text.count("\ufffd")
    return "plain text" if legible > 0.95 * len(text) else "data of no known format"


def is_cut_short(data: bytes, container: Container, *, sliced: bool = False) -> bool:
    """Whether the framing of `data` says that its end is missing.

    `sliced` means that the stream goes on in another chunk, so that it need not end here. FLAC has no such framing,
    RIFF `declared_bytes`; WebM is walked by `webm`.
    """
    match container:
        case Container.OGG:
            return ogg.is_cut(data, sliced=sliced)
        case Container.MP4:
            return _mp4_is_cut(data)
        case Container.ADTS:
            return _frames_are_cut(data[_id3_bytes(data) :], adts_frame_bytes)
        case Container.MP3:
            return _frames_are_cut(data[_id3_bytes(data) :], mp3_frame_bytes)
        case _:
            return False


def declared_bytes(data: bytes, container: Container) -> int | None:
    """How many bytes the file says it has, if it says so. A size of 0 or all ones is a live writer's placeholder."""
    if container is not Container.RIFF or data[:4] != b"RIFF":
        return None
    size = int.from_bytes(data[4:8], "little")
    return None if size in {0, 0xFFFFFFFF} else 8 + size


def adts_frame_bytes(data: bytes, at: int) -> int | None:
    """Length in bytes of the ADTS frame at `at`, header included; None when there is none."""
    if len(data) < at + 7 or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    sampling_frequency_index = data[at + 2] >> 2 & 15
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= 7 and sampling_frequency_index < 13 else None


_KBIT_MPEG1_LAYER3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_MPEG2_LAYER3 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ_MPEG1 = (44_100, 48_000, 32_000)


def mp3_frame_bytes(data: bytes, at: int) -> int | None:
    """Length in bytes of the MPEG layer III frame at `at`, header included; None when there is none."""
    if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return None
    version = data[at + 1] >> 3 & 3  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5, 1: reserved
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or bitrate in {0, 15} or rate == 3:
        return None
    hertz = _HERTZ_MPEG1[rate] // {3: 1, 2: 2, 0: 4}[version]
    kbit = (_KBIT_MPEG1_LAYER3 if version == 3 else _KBIT_MPEG2_LAYER3)[bitrate]
    return (144 if version == 3 else 72) * kbit * 1000 // hertz + padding


def _id3_bytes(data: bytes) -> int:
    """Length of a leading ID3v2 tag: its size has seven bits a byte, and leaves out the header of ten bytes."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(data[6:10]))


def _two_frames(body: bytes, frame_bytes: FrameBytes) -> bool:
    """Whether two frames follow each other, or one is all there is: a lone header occurs by chance in any data."""
    first = frame_bytes(body, 0)
    if first is None:
        return False
    return first >= len(body) or frame_bytes(body, first) is not None


def _frames_are_cut(body: bytes, frame_bytes: FrameBytes) -> bool:
    """Whether the last frame of an unbroken row is longer than what is there. Damage and tags just end the row."""
    at = 0
    while at < len(body):
        length = frame_bytes(body, at)
        if length is None:
            return False
        at += length
    return at > len(body)


def mp4_boxes(data: bytes) -> dict[bytes, int]:
    """The kinds of the top-level boxes and where the first of each begins."""
    found: dict[bytes, int] = {}
    at = 0
    while at + 8 <= len(data):
        found.setdefault(data[at + 4 : at + 8], at)
        at = _mp4_box_end(data, at)
    return found


def _mp4_is_cut(data: bytes) -> bool:
    """Whether a top-level box ends behind the data."""
    at = 0
    while at < len(data):
        at = _mp4_box_end(data, at)
    return at > len(data)


def _mp4_box_end(data: bytes, at: int) -> int:
    """Where the box at `at` ends. Size 1 means that 64 bits follow, 0 that it takes the rest."""
    size = int.from_bytes(data[at : at + 4], "big")
    if size == 1:
        size = int.from_bytes(data[at + 8 : at + 16], "big")
    return len(data) if size == 0 else at + max(size, 8)


_BEGINNINGS: tuple[tuple[Container, Callable[[bytes], bool]], ...] = (
    (Container.WEBM, lambda data: data.startswith(matroska.MAGIC)),
    (Container.OGG, lambda data: data.startswith(ogg.MAGIC)),
    (Container.RIFF, lambda data: data[:4] in {b"RIFF", b"RF64"} and data[8:12] in {b"WAVE", b"AVI "}),
    (Container.MP4, lambda data: data[4:8] in _MP4_BOXES),
    # FFmpeg looks behind an ID3 tag, so this must look there too.
    (Container.FLAC, lambda data: data.startswith(b"fLaC", _id3_bytes(data))),
    (Container.ADTS, lambda data: _two_frames(data[_id3_bytes(data) :], adts_frame_bytes)),
    (Container.MP3, lambda data: _two_frames(data[_id3_bytes(data) :], mp3_frame_bytes)),
)
