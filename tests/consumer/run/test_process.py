"""The worker's process: how it ends when it cannot go on."""

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from consumer.model.transcriber import Speech, Transcription
from consumer.run.process import work
from shared.clock import SystemClock
from shared.formats.transcripts import Segment
from tests.consumer.conftest import ScriptedTranscriber

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts the handlers back that the worker's process sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def known(speech: Speech) -> Transcription:
    """What the self-test's clip says."""
    text = "It was the age of wisdom, it was the age of foolishness,"
    segment = Segment(text=text, start=0, end=len(speech.samples) / 16_000, words=())
    return Transcription("en", 1.0, (segment,))


@pytest.mark.usefixtures("signals")
def test_a_worker_that_is_refused_its_queue_says_so_in_an_event_and_asks_for_a_fresh_start(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = cloud.settings_with(jobs_queue_url=f"{cloud.settings.jobs_queue_url}-of-nobody", long_poll_seconds=1)
    with pytest.raises(SystemExit) as ended:
        work(settings, lambda _: ScriptedTranscriber(heard=known), SystemClock())
    assert ended.value.code == 75
    said = capsys.readouterr()
    assert "worker_broken" in said.out + said.err
    assert "Traceback" not in said.out + said.err
