"""Windows: every gap in exactly one core, no more windows than needed, no word lost or given twice."""

from collections import Counter
from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.windows.plan import Chunk, Limits, Window, WindowPart, plan, split_by_chunk
from shared.formats.transcripts import Segment, Suppressed, Word

LIMITS = Limits(window=30, context=10, least_context=2)


def chunks_of(spelled: str, seconds: float = 5.0) -> list[Chunk]:
    """`G` a gap, `t` a chunk with a transcript, `.` a chunk whose audio is missing; numbers from 1."""
    return [Chunk(number, seconds, c == "G") for number, c in enumerate(spelled, start=1) if c != "."]


def cores(windows: list[Window]) -> list[tuple[int, ...]]:
    return [window.gaps for window in windows]


# --- plan, by example


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("", []),
        ("ttt", []),
        ("G", [(1,)]),
        ("tGt", [(2,)]),
        ("GGGGG", [(1, 2, 3, 4, 5)]),
        ("GGGGGG", [(1, 2, 3, 4, 5, 6)]),  # nothing beside them: thirty seconds are full
        ("tGGGGGGt", [(2, 3, 4), (5, 6, 7)]),  # room for context on both sides, shared evenly
        ("GtG", [(1, 3)]),  # what stands between two gaps is heard with them
        ("G.G", [(1,), (3,)]),
        ("GttttttG", [(1,), (8,)]),
        ("GGGGGGG", [(1, 2, 3, 4), (5, 6, 7)]),
    ],
)
def test_gaps_share_as_few_windows_as_possible(spelled: str, expected: list[tuple[int, ...]]) -> None:
    assert cores(plan(chunks_of(spelled), LIMITS)) == expected


def test_a_single_gap_is_heard_with_ten_seconds_on_both_sides() -> None:
    [window] = plan(chunks_of("ttttGtttt"), LIMITS)
    assert [part.number for part in window.parts] == [3, 4, 5, 6, 7]
    assert window.seconds == 25


def test_context_is_shared_evenly_and_what_one_side_lacks_goes_to_the_other() -> None:
    [even] = plan(chunks_of("ttGGGGtt"), LIMITS)
    assert (even.parts[0].number, even.parts[0].seconds, even.parts[-1].seconds) == (2, 5.0, 5.0)
    [uneven] = plan(chunks_of("GGGGtt"), LIMITS)
    assert (uneven.parts[0].number, uneven.parts[-1].number, uneven.seconds) == (1, 6, 30)


def test_context_may_begin_within_a_chunk() -> None:
    [window] = plan(chunks_of("tGGGGGt"), LIMITS)
    assert [(part.number, part.begin, part.end) for part in (window.parts[0], window.parts[-1])] == [
        (1, 2.5, 5.0),
        (7, 0.0, 2.5),
    ]


def test_context_never_crosses_a_missing_chunk() -> None:
    [window] = plan(chunks_of("t.Gt.t"), LIMITS)
    assert [part.number for part in window.parts] == [3, 4]


def test_a_gap_longer_than_a_window_gets_one_for_itself() -> None:
    chunks = [Chunk(1, 5, False), Chunk(2, 100, True), Chunk(3, 5, True)]
    long, short = plan(chunks, LIMITS)
    assert [(part.number, part.seconds) for part in long.parts] == [(2, 100)]
    assert short.gaps == (3,)
    assert short.parts[0].number == 2
    assert short.parts[0].seconds == 10


def test_without_context_a_window_is_the_gap() -> None:
    [window] = plan(chunks_of("tGt"), Limits(window=30, context=0, least_context=0))
    assert [part.number for part in window.parts] == [2]


# --- plan, by property

# Eighths of a second, whose sums and midpoints are exact: what belongs where is then no matter of rounding.
EIGHTHS = st.integers(1, 96).map(lambda eighths: eighths / 8)
SESSIONS = st.lists(st.tuples(st.sampled_from("Gt."), EIGHTHS), max_size=40)


def session(drawn: list[tuple[str, float]]) -> list[Chunk]:
    return [Chunk(number, seconds, kind == "G") for number, (kind, seconds) in enumerate(drawn) if kind != "."]


@given(SESSIONS, st.randoms())
def test_windows_keep_their_bounds(drawn: list[tuple[str, float]], order: Random) -> None:
    chunks = session(drawn)
    lengths = {chunk.number: chunk.seconds for chunk in chunks}
    windows = plan(order.sample(chunks, len(chunks)), LIMITS)
    # every gap is in exactly one core
    assert Counter(gap for window in windows for gap in window.gaps) == Counter(c.number for c in chunks if c.is_gap)
    for window in windows:
        numbers = [part.number for part in window.parts]
        # real audio, in order, without a hole
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        for part in window.parts:
            assert 0 <= part.begin < part.end <= lengths[part.number]
        # no hole within a chunk either: only the outer ones are cut
        assert all(part.end == lengths[part.number] for part in window.parts[:-1])
        assert all(part.begin == 0 for part in window.parts[1:])
        # gaps are whole
        for part in window.parts:
            if part.number in window.gaps:
                assert part.seconds == pytest.approx(lengths[part.number])
        context = [part for part in window.parts if not window.gaps[0] <= part.number <= window.gaps[-1]]
        assert sum(part.seconds for part in context if part.number < window.gaps[0]) <= 10
        assert sum(part.seconds for part in context if part.number > window.gaps[-1]) <= 10
        assert window.seconds <= 30


@given(SESSIONS)
def test_no_other_choice_of_cores_needs_fewer_windows(drawn: list[tuple[str, float]]) -> None:
    chunks = session(drawn)
    gaps = [chunk.number for chunk in chunks if chunk.is_gap]
    # the fewest, by looking at every possible first core of every rest
    fewest = {len(gaps): 0}
    for first in reversed(range(len(gaps))):
        fewest[first] = min(
            1 + fewest[last + 1]
            for last in range(first, len(gaps))
            if last == first or fits(chunks, gaps[first], gaps[last])
        )
    assert len(plan(chunks, LIMITS)) == fewest[0]


def fits(chunks: list[Chunk], first: int, last: int) -> bool:
    """Whether a core from one gap to another leaves room for two seconds of context where there is audio."""
    lengths = {chunk.number: chunk.seconds for chunk in chunks}
    if any(number not in lengths for number in range(first, last + 1)):
        return False
    left = right = 0.0
    before, behind = first - 1, last + 1
    while before in lengths:
        left, before = left + lengths[before], before - 1
    while behind in lengths:
        right, behind = right + lengths[behind], behind + 1
    core = sum(lengths[number] for number in range(first, last + 1))
    return core + min(2, left) + min(2, right) <= 30


# --- words


def spoken(*words: tuple[str, float, float]) -> Segment:
    made = tuple(Word(word=word, start=start, end=end, probability=0.9) for word, start, end in words)
    return Segment(text="".join(w.word for w in made).strip(), start=made[0].start, end=made[-1].end, words=made)


def texts(window: Window, *segments: Segment) -> dict[int, list[str]]:
    return {number: [s.text for s in heard.segments] for number, heard in split_by_chunk(window, segments).items()}


def test_a_word_belongs_to_the_chunk_that_holds_its_midpoint() -> None:
    [window] = plan(chunks_of("GG"), LIMITS)
    said = spoken((" one", 4.0, 4.5), (" two", 4.6, 5.2), (" three", 4.9, 5.4), (" four", 9.9, 10.4))
    assert texts(window, said) == {1: ["one two"], 2: ["three four"]}


def test_a_word_on_a_border_is_cut_to_its_chunk() -> None:
    [window] = plan(chunks_of("GG"), LIMITS)
    heard = split_by_chunk(window, [spoken((" two", 4.6, 5.2), (" three", 4.9, 5.4))])
    [two], [three] = heard[1].segments, heard[2].segments
    assert (two.start, two.end) == (4.6, 5.0)
    assert (three.start, three.end) == (0.0, 0.4)
    assert (three.words[0].start, three.words[0].end) == (0.0, 0.4)


def test_words_of_context_and_of_transcribed_chunks_are_not_kept() -> None:
    [window] = plan(chunks_of("tGtGt"), LIMITS)
    said = spoken(*((f" w{n}", n * 5 + 2.0, n * 5 + 2.4) for n in range(5)))
    assert texts(window, said) == {2: ["w1"], 4: ["w3"]}


def test_a_suppressed_segment_is_told_to_every_chunk_that_it_touches() -> None:
    [window] = plan(chunks_of("tGGGt"), LIMITS)
    noise = Suppressed(
        text="Thank you.", start=7.0, end=12.0, reason="no-speech", no_speech_probability=0.9,
        average_log_probability=-1.5, compression_ratio=0.8,
    )  # fmt: skip
    heard = split_by_chunk(window, [], [noise])
    assert {n: [(s.start, s.end) for s in h.suppressed] for n, h in heard.items()} == {
        2: [(2.0, 5.0)],
        3: [(0.0, 2.0)],
        4: [],
    }


@st.composite
def heard_sessions(draw: st.DrawFn) -> tuple[list[Chunk], list[tuple[str, float, float]]]:
    """A session and the words said in it, with times from its start that grow, as `Transcription` promises."""
    present = session(draw(SESSIONS))
    chunks = [Chunk(number, chunk.seconds, chunk.is_gap) for number, chunk in enumerate(present)]
    eighths = int(8 * sum(chunk.seconds for chunk in chunks))
    steps = draw(st.lists(st.integers(1, 8), max_size=60))  # no word is longer than a second
    times = [at / 8 for at in accumulate(steps) if at <= eighths]
    return chunks, [(f" w{n}", start, stop) for n, (start, stop) in enumerate(pairwise(times))]


@given(heard_sessions())
def test_no_word_is_lost_or_given_twice(drawn: tuple[list[Chunk], list[tuple[str, float, float]]]) -> None:
    # given: a model that hears every word in every window, at the same time
    chunks, words = drawn
    starts = {}
    at = 0.0
    for chunk in chunks:
        starts[chunk.number] = at
        at += chunk.seconds
    given_out: Counter[str] = Counter()
    for window in plan(chunks, LIMITS):
        begin = starts[window.parts[0].number] + window.parts[0].begin
        inside = [(w, max(s - begin, 0), min(e - begin, window.seconds)) for w, s, e in words]
        inside = [(w, s, e) for w, s, e in inside if e > 0 and s < window.seconds and s <= e]
        # when: they are shared out
        heard = split_by_chunk(window, [spoken(*inside)] if inside else [])
        assert set(heard) == set(window.gaps)
        for number, each in heard.items():
            seconds = chunks[number].seconds
            for segment in each.segments:
                assert 0 <= segment.start <= segment.end <= seconds
                assert segment.text == "".join(word.word for word in segment.words).strip()
                begins = [word.start for word in segment.words]
                assert begins == sorted(begins)
                assert all(0 <= word.start <= word.end <= seconds for word in segment.words)
                given_out.update(word.word for word in segment.words)
    # then: each word whose midpoint is in a gap was given out once, and no other
    expected = Counter[str]()
    for word, start, end in words:
        middle = (start + end) / 2
        holder = next((c for c in chunks if starts[c.number] <= middle < starts[c.number] + c.seconds), chunks[-1])
        if holder.is_gap:
            expected[word] = 1
    assert given_out == expected


def test_what_was_heard_next_to_a_gap_is_noted_where_another_hearing_goes_on() -> None:
    window = Window((WindowPart(1, 0, 5), WindowPart(2, 0, 5), WindowPart(3, 0, 5), WindowPart(4, 0, 5)), gaps=(2, 3))
    words = tuple(Word(word=f" w{n}", start=float(n), end=n + 0.5, probability=0.9) for n in range(20))
    segment = Segment(text="".join(word.word for word in words).strip(), start=0, end=19.5, words=words)

    heard = split_by_chunk(window, [segment])

    two, three = heard[2].context_words, heard[3].context_words
    assert two is not None
    assert three is not None
    assert [(word.word, word.start, word.end) for word in two.before] == [
        (" w2", -3.0, -2.5),
        (" w3", -2.0, -1.5),
        (" w4", -1.0, -0.5),
    ]
    assert (two.after, three.before) == ((), ())
    assert [(word.word, word.start) for word in three.after] == [(" w15", 5.0), (" w16", 6.0), (" w17", 7.0)]
