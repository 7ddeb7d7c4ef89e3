"""The scripted transcriber: exact words, time taken, and failures as the real model would fail."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from consumer.model.selftest import self_test
from consumer.model.transcriber import Aborted, Speech, TranscriberBrokenError, WindowFailedError
from shared.setting_groups import ModelSettings
from tests.faults.harness.audio import Slot, coded_samples, words_of
from tests.faults.harness.hearing import HarnessAnnouncer, Order, Phase, ScriptedTranscriber
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.rules import Fail, Rule
from tests.faults.harness.rules import Order as Ordered

if TYPE_CHECKING:
    from tests.conftest import FakeClock


@dataclass
class Script:
    """Orders what is written, then `ok`; keeps what it was told."""

    orders: list[Order] = field(default_factory=list)
    told: list[tuple[Phase, int]] = field(default_factory=list)

    def announce(self, phase: Phase, slots: Sequence[Slot]) -> Order:
        self.told.append((phase, len(slots)))
        return self.orders.pop(0) if phase == "begin" and self.orders else "ok"


def _transcriber(clock: "FakeClock", script: Script, seconds: float = 0.5) -> ScriptedTranscriber:
    return ScriptedTranscriber(ModelSettings(model="scripted"), clock, script, seconds_per_window=seconds)


def _window(*chunks: int) -> Speech:
    samples = np.concatenate([coded_samples(3, chunk) for chunk in chunks])
    return Speech(samples.astype(np.float32) / 32_768, "en")


def _never() -> bool:
    return False


def test_a_window_of_two_chunks_is_heard_word_by_word_in_the_time_given(clock: "FakeClock") -> None:
    script, began = Script(), clock.monotonic()
    (heard,) = _transcriber(clock, script).transcribe([_window(7, 8)], should_abort=_never)
    words = [word for segment in heard.segments for word in segment.words]
    assert [word.word for word in words] == [f" {word}" for word in words_of(3, 7) + words_of(3, 8)]
    assert [(word.start + word.end) / 2 for word in words] == pytest.approx([n / 2 + 0.25 for n in range(20)])
    assert clock.monotonic() - began == pytest.approx(0.5)
    assert script.told == [("begin", 20), ("end", 20)]


def test_it_passes_the_products_self_test_without_telling_the_harness(clock: "FakeClock") -> None:
    script = Script()
    assert self_test(_transcriber(clock, script), clock).share_heard == 1.0
    assert script.told == []


def test_out_of_memory_once_is_made_good_by_the_second_try(clock: "FakeClock") -> None:
    script = Script(["memory"])
    (heard,) = _transcriber(clock, script).transcribe([_window(7)], should_abort=_never)
    assert heard.segments[0].text == " ".join(words_of(3, 7))
    assert [phase for phase, _ in script.told] == ["begin", "begin", "end"]


def test_out_of_memory_twice_breaks_the_process(clock: "FakeClock") -> None:
    with pytest.raises(TranscriberBrokenError, match="out of memory also at lower cost"):
        _transcriber(clock, Script(["memory", "memory"])).transcribe([_window(7)], should_abort=_never)


def test_a_broken_gpu_breaks_the_process(clock: "FakeClock") -> None:
    with pytest.raises(TranscriberBrokenError, match="illegal memory access"):
        _transcriber(clock, Script(["broken"])).transcribe([_window(7)], should_abort=_never)


def test_a_window_that_the_model_fails_on_is_that_windows_failure_alone(clock: "FakeClock") -> None:
    transcriber = _transcriber(clock, Script(["window"]))
    with pytest.raises(WindowFailedError):
        transcriber.transcribe([_window(7)], should_abort=_never)
    assert transcriber.transcribe([_window(7)], should_abort=_never)[0].segments


def test_it_gives_up_as_soon_as_nobody_wants_it_any_more(clock: "FakeClock") -> None:
    script, began = Script(), clock.monotonic()
    with pytest.raises(Aborted):
        _transcriber(clock, script, seconds=60).transcribe(
            [_window(7)], should_abort=lambda: clock.monotonic() > began + 1
        )
    assert clock.monotonic() - began < 1.1
    assert [phase for phase, _ in script.told] == ["begin"]


def test_the_harness_is_told_over_the_workers_port_and_its_order_comes_back() -> None:
    slots = [Slot(3, 7, 9, 0.0), Slot(3, 8, 0, 0.5)]
    with FaultProxy("http://127.0.0.1:9") as proxy:  # nothing of this goes on to a cloud
        announcer = HarnessAnnouncer(proxy.endpoint("worker-1"))
        proxy.add(Rule("model:TranscribeBegin", Ordered("memory"), nth=2))
        proxy.add(Rule("model:TranscribeBegin", Fail(500, "InternalError"), nth=3))
        assert [announcer.announce("begin", slots) for _ in range(3)] == ["ok", "memory", "ok"]
        assert announcer.announce("end", slots) == "ok"
        proxy.wait_for("model:TranscribeEnd", actor="worker-1", target=r"3/7,8$", timeout=5)
    assert announcer.announce("begin", slots) == "ok"  # with nobody there
