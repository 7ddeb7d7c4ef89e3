"""Subtitles can be read by others, hold all that was said, and keep to what fits on a screen."""

from itertools import pairwise
from typing import Any

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.transcripts import SpokenSegment, SpokenWord
from shared.session.subtitles import MAX_CHARACTERS, MAX_LINES, MAX_MS, cues, subtitles


def spoken(*words: tuple[str, float, float]) -> SpokenSegment:
    made = [SpokenWord(f" {word}", start, end, 0.9) for word, start, end in words]
    return SpokenSegment(made[0].start, made[-1].end, " ".join(word for word, _, _ in words), True, made)


def evenly(text: str, start: float = 0.0, step: float = 0.3) -> SpokenSegment:
    return spoken(*((word, start + n * step, start + (n + 1) * step) for n, word in enumerate(text.split())))


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_another_library_reads_what_is_written(kind: Any) -> None:
    segments = [evenly("It was the best of times, it was the worst of times."), evenly("And then?", start=7200)]

    read = pysubs2.SSAFile.from_string(subtitles(cues(segments), kind), format_=kind)

    assert [(each.start, each.end, each.plaintext.replace("\n", " ")) for each in read] == [
        (0, 3600, "It was the best of times, it was the worst of times."),
        (7_200_000, 7_201_000, "And then?"),
    ]


def test_what_looks_like_markup_stays_text() -> None:
    found = cues([evenly("a <b> & --> c")])

    assert "a &lt;b&gt; &amp; --&gt; c" in subtitles(found, "vtt")
    assert [each.plaintext for each in pysubs2.SSAFile.from_string(subtitles(found, "srt"))] == [
        "a \u2039b\u203a & --\u203a c"
    ]


def test_no_speech_is_a_valid_file_without_cues() -> None:
    assert subtitles([], "vtt").startswith("WEBVTT")
    assert subtitles([], "srt") == ""


def test_a_pause_ends_a_cue() -> None:
    assert [cue.lines for cue in cues([spoken(("yes", 0, 0.5), ("no", 2, 2.5))])] == [("yes",), ("no",)]


def test_a_short_cue_stays_until_it_can_be_read_unless_the_next_one_comes() -> None:
    first, second = cues([spoken(("yes", 0, 0.1)), spoken(("no", 0.95, 1.0))])

    assert (first.end_ms, second.end_ms) == (950, 1950)


def test_a_word_longer_than_a_line_is_broken() -> None:
    assert [cue.lines for cue in cues([spoken(("x" * 100, 0, 1))])] == [("x" * 42, "x" * 42), ("x" * 16,)]


def test_segments_without_words_are_spread_over_their_time() -> None:
    text = " ".join(["word"] * 40)

    found = cues([SpokenSegment(0.0, 20.0, text)])

    assert " ".join(line for cue in found for line in cue.lines) == text
    assert len(found) >= 3


times = st.floats(0, 3600)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=60), times, times), max_size=30))
def test_whatever_is_said_cues_keep_their_limits_and_never_overlap(words: list[tuple[str, float, float]]) -> None:
    ordered = sorted((start, end, text) for text, start, end in words)
    segments = [SpokenSegment(s, max(s, e), t, True, [SpokenWord(t, s, max(s, e))]) for s, e, t in ordered]

    found = cues(segments)

    assert all(0 < cue.end_ms - cue.start_ms <= MAX_MS for cue in found)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(found))
    assert all(len(cue.lines) <= MAX_LINES and all(len(line) <= MAX_CHARACTERS for line in cue.lines) for cue in found)
    assert "".join("".join(cue.lines) for cue in found).split() or not "".join(t for t, _, _ in words).split()
    assert len(pysubs2.SSAFile.from_string(subtitles(found, "vtt"), format_="vtt")) == len(found)
