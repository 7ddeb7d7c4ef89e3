"""Coded audio: what goes in comes out of the product's own decoder, sample by sample; nothing else passes for it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import consumer.model.selftest
from consumer.media.decode import decode
from tests.faults.harness.audio import (
    CHUNK_SECONDS,
    SAMPLE_RATE,
    SLOT_SECONDS,
    SLOTS,
    coded_chunk,
    coded_samples,
    is_coded,
    read_slots,
    words_of,
)

_NUMBERS = st.integers(0, 32_767)
_SLOT = int(SLOT_SECONDS * SAMPLE_RATE)


def _as_heard(samples: np.ndarray) -> np.ndarray:
    """int16 samples as the decoder hands them to a model."""
    return samples.astype(np.float32) / 32_768


@settings(max_examples=20)
@given(session=_NUMBERS, chunk=_NUMBERS)
def test_a_chunk_says_its_own_words_behind_the_products_decoder(session: int, chunk: int) -> None:
    audio = decode(coded_chunk(session, chunk), chunk_seconds=CHUNK_SECONDS)
    assert (audio.seconds, audio.partial) == (CHUNK_SECONDS, None)
    slots = read_slots(audio.samples)
    assert tuple(slot.word for slot in slots) == words_of(session, chunk)
    assert [slot.start for slot in slots] == [number * SLOT_SECONDS for number in range(SLOTS)]


def test_a_chunk_is_small() -> None:
    assert len(coded_chunk(3, 17)) < 4096


@settings(max_examples=50)
@given(begin=st.integers(0, 3 * SLOTS * _SLOT), length=st.integers(0, 3 * SLOTS * _SLOT))
def test_a_window_says_exactly_the_slots_that_lie_whole_in_it(begin: int, length: int) -> None:
    # given: three chunks in a row, and a window cut out of them anywhere
    strip = np.concatenate([coded_samples(3, chunk) for chunk in (16, 17, 18)])
    window = strip[begin : begin + length]
    # then
    whole = [n for n in range(3 * SLOTS) if begin <= n * _SLOT and (n + 1) * _SLOT <= begin + len(window)]
    slots = read_slots(_as_heard(window))
    assert [(slot.chunk, slot.number) for slot in slots] == [(16 + n // SLOTS, n % SLOTS) for n in whole]
    assert [slot.start for slot in slots] == [pytest.approx((n * _SLOT - begin) / SAMPLE_RATE) for n in whole]


@pytest.mark.parametrize("place", [5, 1000, _SLOT - 1], ids=["in its code", "behind its code", "at its end"])
def test_a_damaged_slot_says_nothing_and_its_neighbours_are_heard(place: int) -> None:
    samples = coded_samples(3, 17)
    samples[4 * _SLOT + place] += 1
    assert [slot.number for slot in read_slots(_as_heard(samples))] == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_a_slot_that_another_one_cuts_short_says_nothing() -> None:
    spliced = np.concatenate([coded_samples(1, 1)[: _SLOT // 2], coded_samples(2, 2)])
    assert {slot.session for slot in read_slots(_as_heard(spliced))} == {2}


def test_speech_and_silence_are_not_coded() -> None:
    clip = Path(consumer.model.selftest.__file__).with_name("selftest.webm").read_bytes()
    assert not is_coded(decode(clip, chunk_seconds=5).samples)
    assert not is_coded(np.zeros(SAMPLE_RATE, np.float32))
    assert not is_coded(np.zeros(0, np.float32))


@pytest.mark.parametrize(("session", "chunk"), [(-1, 0), (0, -1), (32_768, 0), (0, 32_768)])
def test_a_number_that_no_sample_holds_is_refused(session: int, chunk: int) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        coded_chunk(session, chunk)
