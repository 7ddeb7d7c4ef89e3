import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
from faster_whisper.transcribe import Segment as ModelSegment
from faster_whisper.transcribe import Word as ModelWord
from hypothesis import given
from hypothesis import strategies as st

from consumer.audio import SAMPLE_RATE, DecodedAudio, decode
from consumer.transcriber import Aborted, Transcription, WhisperTranscriber, choose_device, clean_segments
from shared.errors import ConfigurationError
from shared.settings import Settings

SAMPLES = Path(__file__).parents[2] / "samples" / "two_cities"


def settings(**changes: Any) -> Settings:
    names = dict.fromkeys(
        ("bucket", "jobs_queue_url", "priority_queue_url", "dead_letter_queue_url", "table_name"), "unused"
    )
    return Settings(**{**names, "model": "tiny.en", "model_dir": None, "device": "cpu", **changes})


def words_of(*spans: tuple[float, float], probability: float = 0.9) -> list[ModelWord]:
    return [ModelWord(start, end, f" w{place}", probability) for place, (start, end) in enumerate(spans)]


def segment(start: float, end: float, text: str = " w0 w1", words: list[ModelWord] | None = None) -> ModelSegment:
    return ModelSegment(1, 0, start, end, text, [], -0.2, 1.0, 0.1, words, 0.0)


def chunk(number: int) -> DecodedAudio:
    return decode((SAMPLES / "restart" / f"chunk-{number:03d}.webm").read_bytes(), chunk_seconds=5)


def audio_of(samples: np.ndarray) -> DecodedAudio:
    return DecodedAudio(samples.astype(np.float32), len(samples) / SAMPLE_RATE, None)


def normalised(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]+", " ", text.lower()).split())


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    return WhisperTranscriber(settings())


@pytest.fixture(scope="module")
def transcriptions(whisper: WhisperTranscriber) -> list[tuple[DecodedAudio, Transcription]]:
    """Every chunk of the recording, transcribed on its own."""
    chunks = [chunk(number) for number in range(1, 11)]
    return [(audio, whisper.transcribe(audio, should_abort=never)) for audio in chunks]


@pytest.mark.model
def test_given_real_chunks_one_by_one_then_at_most_15_words_in_a_hundred_are_wrong(
    transcriptions: list[tuple[DecodedAudio, Transcription]],
) -> None:
    heard = " ".join(segment.text for _, result in transcriptions for segment in result.segments)
    reference = (SAMPLES / "reference.txt").read_text()

    assert jiwer.wer(normalised(reference), normalised(heard)) <= 0.15


@pytest.mark.model
def test_given_real_chunks_then_words_have_times_within_their_chunk_and_make_up_the_text(
    transcriptions: list[tuple[DecodedAudio, Transcription]],
) -> None:
    for audio, result in transcriptions:
        assert (result.language, result.language_probability) == ("en", 1.0)
        for part in result.segments:
            assert "".join(word.word for word in part.words).strip() == part.text
            assert 0 <= part.start <= part.end <= audio.seconds
            assert all(part.start <= word.start <= word.end <= part.end for word in part.words)


@pytest.mark.model
@pytest.mark.parametrize("loudness", [0.0, 0.002])
def test_given_silence_or_hiss_then_there_are_no_segments(whisper: WhisperTranscriber, loudness: float) -> None:
    hiss = np.random.default_rng(seed=7).normal(0, loudness, 5 * SAMPLE_RATE)

    assert whisper.transcribe(audio_of(hiss), should_abort=never).segments == ()


@pytest.mark.model
def test_given_a_single_packet_of_audio_then_there_are_no_segments(whisper: WhisperTranscriber) -> None:
    assert whisper.transcribe(audio_of(np.zeros(960)), should_abort=never).segments == ()


@pytest.mark.model
def test_given_the_caller_gives_up_before_the_work_then_it_is_aborted(whisper: WhisperTranscriber) -> None:
    with pytest.raises(Aborted):
        whisper.transcribe(chunk(2), should_abort=lambda: True)


@pytest.mark.model
def test_given_the_caller_gives_up_between_two_segments_then_it_is_aborted(whisper: WhisperTranscriber) -> None:
    answers: Iterator[bool] = iter([False, True])

    with pytest.raises(Aborted):
        whisper.transcribe(chunk(2), should_abort=lambda: next(answers))


@pytest.mark.model
def test_given_speech_then_no_log_of_any_level_holds_a_word_of_it(
    whisper: WhisperTranscriber, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)

    result = whisper.transcribe(chunk(2), should_abort=never)

    assert "wisdom" in result.segments[0].text
    assert "wisdom" not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
def test_given_a_model_then_it_tells_its_name_and_where_it_really_runs(whisper: WhisperTranscriber) -> None:
    assert (whisper.model_name, whisper.device) == ("tiny.en", "cpu")


@pytest.mark.model
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"language": "de"}, "SCRIBEFLEET_LANGUAGE=de is no language of the model tiny.en, which knows en."),
        ({"compute_type": "nonsense"}, "SCRIBEFLEET_COMPUTE_TYPE=nonsense does not work on cpu"),
        ({"compute_type": "float16"}, "SCRIBEFLEET_COMPUTE_TYPE=float16 does not work on cpu"),
    ],
)
def test_given_a_setting_that_does_not_fit_the_model_then_one_line_names_it(change: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        WhisperTranscriber(settings(**change))
    assert str(failure.value).startswith(line)
    assert "\n" not in str(failure.value)


def test_given_a_model_file_that_is_none_then_one_line_names_its_directory(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(ConfigurationError, match=f"The model in {tmp_path} cannot be loaded on cpu"):
        WhisperTranscriber(settings(model_dir=tmp_path))


@pytest.mark.parametrize(
    ("wanted", "gpus", "device"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda"), ("cpu", 1, "cpu"), ("cuda", 2, "cuda"), ("cpu", 0, "cpu")],
)
def test_given_what_the_machine_has_then_the_device_is_the_one_wanted(wanted: Any, gpus: int, device: str) -> None:
    assert choose_device(wanted, gpus) == device


def test_given_no_gpu_when_one_is_asked_for_by_name_then_it_is_an_error_and_not_the_cpu() -> None:
    with pytest.raises(ConfigurationError, match="SCRIBEFLEET_DEVICE=cuda"):
        choose_device("cuda", 0)


def test_given_times_behind_the_end_or_running_backwards_then_they_are_put_in_order_and_within() -> None:
    heard = [segment(0.5, 2, words=words_of((0.5, 1.2), (0.9, 0.7))), segment(0.2, 9, words=words_of((0.1, 9.0)))]

    first, second = clean_segments(heard, 3.0)

    assert [(word.start, word.end) for word in first.words] == [(0.5, 1.2), (0.9, 0.9)]
    assert (first.start, first.end) == (0.5, 1.2)
    assert (second.start, second.end) == (0.9, 3.0)


def test_given_probabilities_out_of_bounds_then_they_are_clamped() -> None:
    heard = [segment(0, 1, words=words_of((0, 1), probability=1.0000001) + words_of((1, 2), probability=-0.1))]

    assert [word.probability for word in clean_segments(heard, 3.0)[0].words] == [1.0, 0.0]


def test_given_segments_without_text_or_words_then_the_empty_are_left_out_and_the_others_keep_their_times() -> None:
    found = clean_segments([segment(0, 1, text="  "), segment(1.23456, 2, text=" Yes. ")], 3.0)

    assert [(part.text, part.start, part.end) for part in found] == [("Yes.", 1.235, 2.0)]


times = st.floats(-5, 40)
spans = st.tuples(times, times)


@given(st.lists(st.tuples(spans, st.lists(spans, max_size=4)), max_size=5), st.floats(0.01, 30))
def test_given_any_times_then_words_and_segments_are_in_order_and_within_the_audio(
    drawn: list[tuple[tuple[float, float], list[tuple[float, float]]]], seconds: float
) -> None:
    heard = [segment(*span, words=words_of(*words)) for span, words in drawn]

    found = clean_segments(heard, seconds)

    starts = [word.start for part in found for word in part.words]
    assert starts == sorted(starts)
    assert [part.start for part in found] == sorted(part.start for part in found)
    for part in found:
        assert 0 <= part.start <= part.end <= seconds
        assert all(part.start <= word.start <= word.end <= part.end for word in part.words)
