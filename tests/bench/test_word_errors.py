"""How a single gap's words are scored: between the words of the whole recording, by the midpoints of its words."""

from typing import Any

import numpy as np
import pytest

from bench.direct import Word, text_of
from bench.fleet import Event, Memory, WorkerRun
from bench.recorders import Chunk
from bench.speech import Recording
from bench.word_errors import Recorded, spliced, worker_row
from bench.words import Score

CHUNKS = [Chunk(b"", 0.0, 5.0), Chunk(b"", 5.0, 10.0), Chunk(b"", 10.0, 14.0)]
WORDS = [
    Word(0.5, 1.0, " It"),
    Word(4.0, 5.8, " was"),  # its midpoint is in the first chunk
    Word(4.8, 6.0, " the"),  # and this one's in the second
    Word(9.4, 10.6, " best"),  # on the border itself: the later chunk's
    Word(13.8, 14.4, " of"),  # in the last chunk, though it ends behind it
]


@pytest.mark.parametrize(
    ("gap", "expected"), [(0, "GAP the best of"), (1, "It was GAP best of"), (2, "It was the GAP")]
)
def test_a_gaps_text_takes_the_place_of_the_words_in_its_chunk(gap: int, expected: str) -> None:
    assert " ".join(spliced(WORDS, CHUNKS, gap, "GAP").split()) == expected


def test_every_word_is_in_exactly_one_chunk() -> None:
    outside = Word(14.2, 15.0, " times")  # the model may place a word behind the end
    words = [*WORDS, outside]

    without = [spliced(words, CHUNKS, gap, "").split() for gap in range(len(CHUNKS))]

    missing = [set(text_of(words).split()) - set(rest) for rest in without]
    assert missing == [{"It", "was"}, {"the"}, {"best", "of", "times"}]


REPORT: dict[str, Any] = {"transcription": {"audioSeconds": 60.0}, "performance": {"transcribeDurationSeconds": 2.5}}
RUN = WorkerRun(
    [Event("ready", 0.0, {}), Event("window_transcribed", 3.0, {}), Event("chunk_transcribed", 4.0, {})],
    REPORT,
    Memory(),
)


def session(name: str, *, read_aloud: bool = True) -> Recorded:
    return Recorded(Recording(name, np.zeros(1, dtype=np.int16), "", read_aloud), "restart", [])


def test_the_bound_is_one_word_in_a_hundred_above_the_whole_recordings() -> None:
    words, speed, calls = worker_row("w", RUN, [session("a")], {"a": Score(3, 200)}, {"a": Score(1, 200)})

    assert (words.value, str(words.bound), words.ok) == (1.5, "at most 1.5", True)
    assert (speed.value, calls.value) == (15.0, 1)


def test_an_easy_comparison_for_the_free_speech_does_not_hide_errors_in_what_is_read() -> None:
    sessions = [session("read"), session("free", read_aloud=False)]
    scores = {"read": Score(5, 100), "free": Score(10, 100)}
    whole = {"read": Score(1, 100), "free": Score(30, 100)}

    together, read, *_ = worker_row("w", RUN, sessions, scores, whole)

    assert (together.value, together.ok) == (7.5, True)
    assert (read.name, read.value, str(read.bound), read.ok) == ("words: w, read aloud", 5.0, "at most 2", False)
