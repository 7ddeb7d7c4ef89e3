"""Damage to real chunks is seen: it ends in a failure or is flagged, and never passes for silence."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.media.decode import DecodedAudio, decode, judge
from consumer.media.formats.webm.walk import walk
from shared.errors import PermanentJobError

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"


def chunk(number: int, kind: str = "restart") -> bytes:
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


def outcome(data: bytes, *, chunk_seconds: float = 5.0) -> DecodedAudio | str:
    """The audio, or the reason why there is none."""
    try:
        return decode(data, chunk_seconds=chunk_seconds)
    except PermanentJobError as error:
        return error.reason


def passes_for_whole(result: DecodedAudio | str) -> bool:
    return isinstance(result, DecodedAudio) and result.partial is None


def assert_honest(result: DecodedAudio | str, *, whole_seconds: float) -> None:
    """Damage may end in a failure or be flagged; only what lost nothing worth hearing may pass for whole."""
    if isinstance(result, str):
        assert result in {"audio-damaged", "audio-headerless", "audio-not-audio", "audio-no-audio-stream"}
    elif result.partial is None:
        assert result.seconds >= min(0.95 * whole_seconds, whole_seconds - 0.05)
    else:
        assert 0 < result.partial.decoded_seconds < 0.95 * result.partial.expected_seconds + 0.001
        assert result.seconds >= 0.5 * result.partial.expected_seconds


CUTS_PER_MILLE = (*range(0, 1000, 20), 999)


HEADER_CUTS = (1, 4, 5, 36, 48, 150, 200, 262, 263, 275, 300)


@pytest.mark.parametrize("number", [1, 10])
def test_given_a_chunk_cut_anywhere_then_it_never_passes_for_more_than_was_heard(number: int) -> None:
    data = chunk(number)
    whole = decode(data, chunk_seconds=5).seconds
    cuts = [*HEADER_CUTS, *(len(data) * cut // 1000 for cut in CUTS_PER_MILLE[1:])]

    results = [outcome(data[:at]) for at in cuts]

    for result in results:
        assert_honest(result, whole_seconds=whole)
    assert results[: len(HEADER_CUTS)] == [*["audio-not-audio"] * 1, *["audio-damaged"] * (len(HEADER_CUTS) - 1)]
    assert any(isinstance(result, DecodedAudio) and result.partial for result in results)
    assert passes_for_whole(results[-1])  # this cut goes through the index behind the audio


def test_given_a_timeslice_with_header_cut_within_a_block_then_it_never_passes_for_more_than_was_heard() -> None:
    """Between two blocks nothing in a stream of open size tells a cut from an end, so no cut here falls there."""
    data = chunk(1, "timeslice")

    results = {cut: outcome(data[: len(data) * cut // 1000]) for cut in CUTS_PER_MILLE[1:]}

    for result in results.values():
        assert_honest(result, whole_seconds=4.98)
    assert results[100] == "audio-damaged"
    assert not passes_for_whole(results[900])


def test_given_a_short_last_chunk_that_was_cut_then_its_own_length_is_expected_not_that_of_a_full_one() -> None:
    data = chunk(10)

    audio = decode(data[: len(data) * 7 // 10], chunk_seconds=5)

    assert audio.partial is not None
    assert audio.partial.expected_seconds == pytest.approx(0.96)


@pytest.mark.parametrize("kind", ["restart", "timeslice"])
@pytest.mark.parametrize(("blocks", "verdict"), [(2, "whole"), (20, "partial"), (42, "audio-damaged")])
def test_given_spoilt_blocks_in_the_middle_then_what_is_missing_of_the_time_is_seen(
    kind: str, blocks: int, verdict: str
) -> None:
    """FFmpeg's own demuxer stops at the first of them, and hears 2.4 s whatever their number is."""
    data = chunk(1, kind)
    first, last = (block.begin for block in (walk(data).blocks[40 + number] for number in (0, blocks)))

    result = outcome(data[:first] + b"\xff" * (last - first) + data[last:])

    if isinstance(result, str):
        assert result == verdict
        return
    assert result.seconds == pytest.approx(4.98)
    assert ("partial" if result.partial else "whole") == verdict
    if result.partial:
        assert result.partial.expected_seconds == pytest.approx(4.98)
        assert result.partial.decoded_seconds == pytest.approx(4.98 - blocks * 0.06)


def test_given_a_header_and_nothing_behind_it_then_it_is_damaged_and_not_silence() -> None:
    data = chunk(1, "timeslice")

    assert outcome(data[: data.index(b"\x1f\x43\xb6\x75")]) == "audio-damaged"


@pytest.mark.parametrize(
    ("decoded", "expected", "partial"),
    [(5, 5, False), (4.75, 5, False), (4.74, 5, True), (2.5, 5, True), (0.91, 0.96, False), (0.9, 0.96, True)],
)
def test_given_a_share_of_half_or_more_when_judged_then_what_is_missing_is_flagged(
    decoded: float, expected: float, partial: bool
) -> None:
    verdict = judge(decoded, expected)

    assert (verdict is not None) == partial
    if verdict is not None:
        assert (verdict.decoded_seconds, verdict.expected_seconds) == (decoded, expected)


@pytest.mark.parametrize(("decoded", "expected"), [(2.49, 5), (0, 5), (0, 0)])
def test_given_less_than_half_or_nothing_when_judged_then_it_is_damaged(decoded: float, expected: float) -> None:
    with pytest.raises(PermanentJobError) as failure:
        judge(decoded, expected)
    assert failure.value.reason == "audio-damaged"


@settings(max_examples=80)
@given(st.sampled_from(["restart", "timeslice"]), st.floats(0.01, 1), st.binary(min_size=1, max_size=300))
@example("restart", 0.5, bytes(200))
@example("timeslice", 0.5, b"\xff" * 200)
def test_given_spoilt_bytes_in_the_audio_of_a_real_chunk_then_it_is_honest_about_them(
    kind: str, place: float, spoilt: bytes
) -> None:
    data = chunk(1, kind)
    at = int(place * (len(data) - 1))

    assert_honest(outcome(data[:at] + spoilt + data[at + len(spoilt) :]), whole_seconds=4.98)


def test_given_damage_then_the_decoder_writes_nothing_past_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    data = chunk(1)

    outcome(data[: len(data) // 3])
    outcome(b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 4)

    assert capfd.readouterr() == ("", "")
