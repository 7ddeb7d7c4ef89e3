"""The transcriber with the real tiny.en.

A GPU's failures cannot be had here: CTranslate2's own object is made to raise them.
"""

import functools
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ctranslate2
import jiwer
import numpy as np
import pytest

from consumer.media.decode import SAMPLE_RATE, decode
from consumer.model.transcriber import (
    Aborted,
    Speech,
    TranscriberBrokenError,
    Transcription,
    WindowFailedError,
    WindowTimeoutError,
)
from consumer.model.whisper import WhisperTranscriber, choose_device, choose_parallel
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.setting_groups import ModelSettings

if TYPE_CHECKING:
    from tests.conftest import FakeClock

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"
SECONDS_30 = 30 * SAMPLE_RATE


def settings(**changes: Any) -> ModelSettings:
    usual = {"model": "tiny.en", "model_dir": None, "device": "cpu", "parallel_windows": 1, "cpu_threads": 1}
    return ModelSettings(**{**usual, **changes})


def chunk(number: int) -> np.ndarray:
    return decode((SAMPLES / "restart" / f"chunk-{number:03d}.webm").read_bytes(), chunk_seconds=5).samples


def speech(samples: np.ndarray, **changes: Any) -> Speech:
    return Speech(samples.astype(np.float32), **{"language": "en", **changes})


def normalised(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]+", " ", text.lower()).split())


def text_of(*results: Transcription) -> str:
    return " ".join(part.text for result in results for part in result.segments)


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    return WhisperTranscriber(settings(), SystemClock())


@pytest.fixture(scope="module")
def windows() -> list[np.ndarray]:
    """The recording in two windows."""
    chunks = [chunk(number) for number in range(1, 11)]
    return [np.concatenate(chunks[:6]), np.concatenate(chunks[6:])]


@pytest.fixture(scope="module")
def heard(whisper: WhisperTranscriber, windows: list[np.ndarray]) -> list[Transcription]:
    return whisper.transcribe([speech(window) for window in windows], should_abort=never)


# --- what is said


@pytest.mark.model
def test_given_real_windows_then_no_more_than_5_words_in_a_hundred_are_wrong_and_none_is_suppressed(
    heard: list[Transcription],
) -> None:
    reference = (SAMPLES / "reference.txt").read_text()

    assert jiwer.wer(normalised(reference), normalised(text_of(*heard))) <= 0.05
    assert [result.suppressed for result in heard] == [(), ()]


@pytest.mark.model
def test_given_real_windows_then_words_have_times_within_them_and_make_up_the_text(
    heard: list[Transcription], windows: list[np.ndarray]
) -> None:
    for samples, result in zip(windows, heard, strict=True):
        assert (result.language, result.language_probability) == ("en", 1.0)
        for part in result.segments:
            assert "".join(word.word for word in part.words).strip() == part.text
            assert 0 <= part.start <= part.end <= len(samples) / SAMPLE_RATE
            assert all(part.start <= word.start <= word.end <= part.end for word in part.words)


@pytest.mark.model
def test_given_windows_decoded_together_then_each_gets_its_own_words_about_as_well(
    heard: list[Transcription], windows: list[np.ndarray]
) -> None:
    both = WhisperTranscriber(settings(batch_windows=4), SystemClock())
    silence = speech(np.zeros(SECONDS_30))

    first, quiet, second = both.transcribe([speech(windows[0]), silence, speech(windows[1])], should_abort=never)

    assert quiet.segments == ()
    for together, alone in ((first, heard[0]), (second, heard[1])):
        assert jiwer.wer(normalised(text_of(alone)), normalised(text_of(together))) <= 0.1
    assert abs(second.segments[0].words[3].start - heard[1].segments[0].words[3].start) < 0.5


@pytest.mark.model
def test_given_speech_then_no_log_of_any_level_holds_a_word_of_it(
    whisper: WhisperTranscriber, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)

    (result,) = whisper.transcribe([speech(chunk(2), hotwords="Dickens")], should_abort=never)

    assert "wisdom" in text_of(result)
    assert "wisdom" not in caplog.text
    assert "Dickens" not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
def test_given_hints_then_the_model_spells_by_them(whisper: WhisperTranscriber) -> None:
    plain, hinted = whisper.transcribe(
        [speech(chunk(2)), speech(chunk(2), initial_prompt="IT WAS THE BEST OF TIMES, IT WAS THE WORST OF TIMES,")],
        should_abort=never,
    )

    assert "IT WAS THE" in text_of(hinted)
    assert "IT WAS THE" not in text_of(plain)


@pytest.mark.model
def test_given_hints_without_end_then_the_speech_is_still_heard(whisper: WhisperTranscriber) -> None:
    endless = ", ".join(f"Mr. {first}{last}" for first in "ABCDEFGHKLMNPRST" for last in ("arton", "orry", "anette"))

    (result,) = whisper.transcribe([speech(chunk(2), hotwords=endless, initial_prompt=endless)], should_abort=never)

    assert "wisdom" in text_of(result)


# --- silence


def clicks(every: int) -> np.ndarray:
    samples = np.zeros(SECONDS_30)
    samples[::every] = 0.9
    return samples


def beep(hertz: float, milliseconds: int) -> np.ndarray:
    samples = np.zeros(SECONDS_30)
    length = SAMPLE_RATE * milliseconds // 1000
    samples[80_000 : 80_000 + length] = 0.5 * np.sin(2 * np.pi * hertz * np.arange(length) / SAMPLE_RATE)
    return samples


def hum() -> np.ndarray:
    turns = 2 * np.pi * np.arange(SECONDS_30) / SAMPLE_RATE
    return 0.2 * np.sin(50 * turns) + 0.1 * np.sin(150 * turns)


NO_SPEECH: dict[str, Callable[[], np.ndarray]] = {
    "digital silence": lambda: np.zeros(SECONDS_30),
    "faint hiss": lambda: np.random.default_rng(seed=7).normal(0, 0.002, SECONDS_30),
    "white noise": lambda: np.random.default_rng(seed=7).normal(0, 0.1, SECONDS_30),
    "mains hum": hum,
    "a click each second": lambda: clicks(SAMPLE_RATE),
    "rattling": lambda: clicks(SAMPLE_RATE // 20),
    "50 ms of a tone": lambda: beep(440, 50),
    "50 ms of speech": lambda: chunk(2)[20_000:20_800],
    "one packet": lambda: np.zeros(960),
    "one sample": lambda: np.zeros(1),
    "nothing": lambda: np.zeros(0),
}


@pytest.mark.model
@pytest.mark.parametrize("sound", NO_SPEECH)
def test_given_no_speech_then_there_are_no_segments(whisper: WhisperTranscriber, sound: str) -> None:
    (result,) = whisper.transcribe([speech(NO_SPEECH[sound]())], should_abort=never)

    assert (result.segments, result.suppressed) == ((), ())


@pytest.mark.model
def test_given_silence_then_it_takes_a_small_part_of_the_time_of_speech(
    whisper: WhisperTranscriber, windows: list[np.ndarray]
) -> None:
    def cpu_seconds(samples: np.ndarray) -> float:
        began = time.process_time()  # of this process alone: the machine's other work does not count
        whisper.transcribe([speech(samples)], should_abort=never)
        return time.process_time() - began

    assert cpu_seconds(np.zeros(SECONDS_30)) < 0.2 * cpu_seconds(windows[0])


# --- limits, and what the model does wrong


class Scripted:
    """CTranslate2's model, but for what `generate` answers: it does what a test says, with a beam size and temperature.

    Encoding and alignment are the real ones.
    """

    def __init__(self, real: Any, answer: Callable[[int, float], Any]) -> None:
        self._real = real
        self._answer = answer
        self.calls: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def generate(self, features: Any, prompts: Any, **options: Any) -> Any:
        call = (options["beam_size"], options.get("sampling_temperature", 0.0))
        self.calls.append(call)
        answer = self._answer(*call)
        return self._real.generate(features, prompts, **options) if answer is None else [answer]


Answer = Callable[[int, float], Any]
Script = Callable[..., tuple[WhisperTranscriber, Scripted]]


@pytest.fixture(scope="module")
def loaded() -> Callable[..., Any]:
    """CTranslate2's models, each loaded once: nothing that one has heard changes it."""
    return functools.cache(ctranslate2.models.Whisper)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, clock: "FakeClock", loaded: Callable[..., Any]) -> Script:
    def make(answer: Answer, **changes: Any) -> tuple[WhisperTranscriber, Scripted]:
        made: list[Scripted] = []

        def load(*arguments: Any, **options: Any) -> Scripted:
            made.append(Scripted(loaded(*arguments, **options), answer))
            return made[0]

        monkeypatch.setattr(ctranslate2.models, "Whisper", load)
        return WhisperTranscriber(settings(window_limit_seconds=60, **changes), clock), made[0]

    return make


# Of tiny.en's vocabulary: <|0.00|>, <|2.00|>, " you" and " Thank", end of text left out.
BEGIN, TWO_SECONDS, YOU, THANK = 50363, 50463, 345, 6952


def answer_of(*tokens: int, log_probability: float = -0.2, no_speech: float = 0.1) -> SimpleNamespace:
    return SimpleNamespace(sequences_ids=[list(tokens)], scores=[log_probability], no_speech_prob=no_speech)


LOOP = answer_of(BEGIN, *[YOU] * 200, TWO_SECONDS)
FINE = answer_of(BEGIN, THANK, YOU, TWO_SECONDS)
SILENCE = answer_of(BEGIN, THANK, YOU, TWO_SECONDS, TWO_SECONDS, log_probability=-2.0, no_speech=0.9)


@pytest.mark.model
def test_given_a_loop_at_one_temperature_then_the_next_one_is_tried(script: Script) -> None:
    whisper, model = script(lambda _, temperature: LOOP if temperature < 0.4 else FINE)

    (result,) = whisper.transcribe([speech(chunk(2))], should_abort=never)

    assert text_of(result) == "Thank you"
    assert model.calls == [(5, 0.0), (1, 0.2), (1, 0.4)]


@pytest.mark.model
def test_given_a_loop_at_all_temperatures_then_one_saying_is_kept_and_the_rest_suppressed(script: Script) -> None:
    whisper, model = script(lambda *_: LOOP)

    (result,) = whisper.transcribe([speech(chunk(2))], should_abort=never)

    assert text_of(result) == "you"
    assert [(part.reason, part.text) for part in result.suppressed] == [("loop", " ".join(["you"] * 199))]
    assert [temperature for _, temperature in model.calls] == [0.0, 0.2, 0.4, 0.6]


@pytest.mark.model
def test_given_what_the_library_would_skip_as_silence_then_it_is_suppressed_once_with_its_numbers(
    script: Script,
) -> None:
    whisper, model = script(lambda *_: SILENCE)

    (result,) = whisper.transcribe([speech(chunk(2))], should_abort=never)

    assert result.segments == ()
    (suppressed,) = result.suppressed
    assert (suppressed.text, suppressed.reason, suppressed.no_speech_probability) == ("Thank you", "no-speech", 0.9)
    # -2.0 is the mean over 5 tokens; faster-whisper counts the end of text as one more
    assert suppressed.average_log_probability == pytest.approx(-10 / 6, abs=1e-4)
    assert 0 <= suppressed.start <= suppressed.end <= 5
    assert len(model.calls) == 1, "one decode for all of it, not one more behind each timestamp"


@pytest.mark.model
def test_given_the_time_is_used_up_then_no_higher_temperature_is_tried_and_what_there_is_counts(
    script: Script, clock: "FakeClock"
) -> None:
    def slow_loop(*_: object) -> SimpleNamespace:
        clock.advance(61)
        return LOOP

    whisper, model = script(slow_loop)

    (result,) = whisper.transcribe([speech(chunk(2))], should_abort=never)

    assert [temperature for _, temperature in model.calls] == [0.0]
    assert text_of(result) == "you"


@pytest.mark.model
def test_given_audio_left_when_the_time_is_up_then_it_is_tried_once_more_at_lower_cost(
    script: Script, clock: "FakeClock", windows: list[np.ndarray]
) -> None:
    def slow_with_beams(beams: int, _: float) -> None:
        clock.advance(61 if beams > 1 else 1)

    whisper, model = script(slow_with_beams)

    (result,) = whisper.transcribe([speech(windows[0])], should_abort=never)

    assert model.calls[:2] == [(5, 0.0), (1, 0.0)]
    assert set(model.calls[1:]) == {(1, 0.0)}
    assert "going direct to heaven" in text_of(result)


@pytest.mark.model
def test_given_a_window_that_is_too_slow_at_lower_cost_too_then_it_is_an_error_that_may_pass(
    script: Script, clock: "FakeClock", windows: list[np.ndarray]
) -> None:
    whisper, model = script(lambda *_: clock.advance(61))

    with pytest.raises(WindowTimeoutError, match=r"29\.9 s of audio took the model longer than 60 s, twice"):
        whisper.transcribe([speech(windows[0])], should_abort=never)
    assert model.calls == [(5, 0.0), (1, 0.0)]


@pytest.mark.model
def test_given_the_caller_gives_up_before_the_work_then_the_model_is_not_asked(script: Script) -> None:
    whisper, model = script(lambda *_: None)

    with pytest.raises(Aborted):
        whisper.transcribe([speech(chunk(2))], should_abort=lambda: True)
    assert model.calls == []


@pytest.mark.model
def test_given_the_caller_gives_up_meanwhile_then_no_further_temperature_is_tried(script: Script) -> None:
    whisper, model = script(lambda *_: LOOP)

    with pytest.raises(Aborted):
        whisper.transcribe([speech(chunk(2))], should_abort=lambda: len(model.calls) == 2)
    assert len(model.calls) == 2


@pytest.mark.model
def test_given_the_caller_gives_up_between_two_windows_then_the_second_is_not_begun(script: Script) -> None:
    whisper, model = script(lambda *_: FINE)

    with pytest.raises(Aborted):
        whisper.transcribe([speech(chunk(2)), speech(chunk(3))], should_abort=lambda: bool(model.calls))
    assert len(model.calls) == 1


@pytest.mark.model
def test_given_two_threads_then_giving_up_one_window_leaves_the_other_alone(script: Script) -> None:
    # given: both windows are in the model at the same time
    met = threading.Event()
    meeting = threading.Barrier(2, action=met.set)

    def answer(*_: object) -> SimpleNamespace:
        if not met.is_set():
            meeting.wait(timeout=60)
        return LOOP

    whisper, _ = script(answer, parallel_windows=2)

    # when: the caller of one gives up
    with ThreadPoolExecutor(2) as threads:
        given_up = threads.submit(whisper.transcribe, [speech(chunk(2))], should_abort=met.is_set)
        wanted = threads.submit(whisper.transcribe, [speech(chunk(3))], should_abort=never)

    # then
    assert isinstance(given_up.exception(), Aborted)
    assert text_of(*wanted.result()) == "you"


MEMORY = "CUDA failed with error out of memory"


def failing(*texts: str | None) -> Answer:
    """Raises each of `texts` in turn; `None` lets the real model answer, and so do all calls behind them."""
    script: Iterator[str | None] = iter(texts)

    def answer(*_: object) -> None:
        text = next(script, None)
        if text is not None:
            raise RuntimeError(text)

    return answer


@pytest.mark.model
def test_given_no_memory_once_then_it_is_tried_again_with_one_beam(script: Script) -> None:
    whisper, model = script(failing(MEMORY))

    (result,) = whisper.transcribe([speech(chunk(2))], should_abort=never)

    assert "wisdom" in text_of(result)
    assert model.calls[:2] == [(5, 0.0), (1, 0.0)]


@pytest.mark.model
def test_given_no_memory_for_windows_together_then_each_is_decoded_alone(
    script: Script, windows: list[np.ndarray]
) -> None:
    whisper, _ = script(failing(MEMORY), batch_windows=2)

    first, second = whisper.transcribe([speech(window) for window in windows], should_abort=never)

    assert text_of(first).startswith("It was the best of times")
    assert text_of(second).startswith("period was so far like the present period")


@pytest.mark.model
def test_given_no_memory_twice_then_the_process_has_to_end(script: Script) -> None:
    whisper, _ = script(failing(MEMORY, MEMORY))

    with pytest.raises(TranscriberBrokenError, match="out of memory"):
        whisper.transcribe([speech(chunk(2))], should_abort=never)


@pytest.mark.model
def test_given_any_other_error_of_the_gpu_then_it_is_not_tried_again(script: Script) -> None:
    whisper, model = script(failing("cuDNN failed with status CUDNN_STATUS_EXECUTION_FAILED"))

    with pytest.raises(TranscriberBrokenError, match="CUDNN_STATUS_EXECUTION_FAILED"):
        whisper.transcribe([speech(chunk(2))], should_abort=never)
    assert len(model.calls) == 1


@pytest.mark.model
def test_given_an_error_of_the_model_about_this_audio_then_it_fails_alone_and_the_next_is_heard(script: Script) -> None:
    whisper, _ = script(failing("Invalid input features shape"))

    with pytest.raises(WindowFailedError, match="Invalid input features shape"):
        whisper.transcribe([speech(chunk(2))], should_abort=never)
    assert "wisdom" in text_of(*whisper.transcribe([speech(chunk(2))], should_abort=never))


# --- loading


@pytest.mark.model
def test_given_a_model_then_it_tells_its_name_its_languages_and_where_it_really_runs(
    whisper: WhisperTranscriber,
) -> None:
    assert (whisper.model_name, whisper.device, whisper.parallel) == ("tiny.en", "cpu", 1)
    assert whisper.languages == {"en"}


@pytest.mark.model
@pytest.mark.parametrize("compute_type", ["nonsense", "float16"])
def test_given_a_compute_type_that_does_not_work_here_then_one_line_names_it(compute_type: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        WhisperTranscriber(settings(compute_type=compute_type), SystemClock())
    assert str(failure.value).startswith(f"SCRIBEFLEET_COMPUTE_TYPE={compute_type} does not work on cpu")
    assert "\n" not in str(failure.value)


def test_given_a_model_file_that_is_none_then_one_line_names_its_directory(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(ConfigurationError, match=f"The model in {tmp_path} cannot be loaded on cpu"):
        WhisperTranscriber(settings(model_dir=tmp_path), SystemClock())


@pytest.mark.parametrize(
    ("wanted", "gpus", "device"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda"), ("cpu", 1, "cpu"), ("cuda", 2, "cuda"), ("cpu", 0, "cpu")],
)
def test_given_what_the_machine_has_then_the_device_is_the_one_wanted(wanted: Any, gpus: int, device: str) -> None:
    assert choose_device(wanted, gpus) == device


def test_given_no_gpu_when_one_is_asked_for_by_name_then_it_is_an_error_and_not_the_cpu() -> None:
    with pytest.raises(ConfigurationError, match="SCRIBEFLEET_DEVICE=cuda"):
        choose_device("cuda", 0)


@pytest.mark.parametrize(
    ("wanted", "device", "cores", "windows_at_once"), [(0, "cuda", 16, 1), (0, "cpu", 4, 4), (3, "cpu", 2, 3)]
)
def test_given_a_device_then_as_many_windows_at_once_as_it_gains_from(
    wanted: int, device: Any, cores: int, windows_at_once: int
) -> None:
    assert choose_parallel(wanted, device, cores) == windows_at_once
