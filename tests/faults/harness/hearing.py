"""The scripted transcriber: hears coded audio exactly, takes time for it, and fails when the harness says so.

Everything else of a worker is the product's. It tells the harness of each window's begin and end over the worker's own
port, so that faults can strike there; the answer to a begin is what it does then.
"""

import http.client
import os
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, Literal, Protocol
from urllib.parse import urlencode, urlsplit

import structlog

from consumer.model.decoding import OutOfMemoryError, model_errors
from consumer.model.transcriber import Aborted, Speech, TranscriberBrokenError, Transcription
from shared.clock import Clock
from shared.formats.transcripts import Segment, Word
from shared.setting_groups import ModelSettings
from tests.faults.harness.audio import SLOT_SECONDS, Slot, is_coded, read_slots

log = structlog.get_logger()

Phase = Literal["begin", "end"]
Order = Literal["ok", "hang", "crash", "memory", "broken", "window"]
"""What the harness can have the model do: hear; never come back; take the process down; run out of memory; break for
good, as a GPU does; or fail on this window alone."""

ORDERS: Final[tuple[Order, ...]] = ("ok", "hang", "crash", "memory", "broken", "window")
_POLL_INTERVAL_SECONDS: Final = 0.02
# The product's own self-test, which a worker's start begins with, is a real recording. Whether a real model hears it is
# tested elsewhere; here the right answer is said to whatever is not coded.
_SELF_TEST: Final = "It was the age of wisdom, it was the age of foolishness,"


class Announcer(Protocol):
    """Who is told of windows."""

    def announce(self, phase: Phase, slots: Sequence[Slot]) -> Order:
        """A window with these slots begins or ends; returns what the model is to do."""


class HarnessAnnouncer:
    """Tells the harness by plain HTTP.

    Args:
        endpoint: the address of the worker's port at the proxy.
    """

    def __init__(self, endpoint: str) -> None:
        self._host = urlsplit(endpoint).netloc

    def announce(self, phase: Phase, slots: Sequence[Slot]) -> Order:
        """See `Announcer`. It waits for as long as the harness holds its answer back; without one all is well."""
        about = {
            "phase": phase,
            "session": ",".join(map(str, sorted({slot.session for slot in slots}))),
            "chunks": ",".join(map(str, sorted({slot.chunk for slot in slots}))),
        }
        connection = http.client.HTTPConnection(self._host)
        try:
            connection.request("GET", f"/_harness/transcribe?{urlencode(about)}")
            answer = connection.getresponse()
            return _order(answer.read()) if answer.status == 200 else "ok"
        except (OSError, http.client.HTTPException):
            return "ok"  # a fault struck the announcement itself; the model is not the cloud
        finally:
            connection.close()


def _order(body: bytes) -> Order:
    said = body.decode().strip() or "ok"
    if said not in ORDERS:
        raise ValueError(f"the harness orders {said!r}, which no model can do")
    return said


class ScriptedTranscriber:
    """A `consumer.model.transcriber.Transcriber` for coded audio.

    Args:
        seconds_per_window: how long it takes for a window.
    """

    device = "cpu"

    def __init__(
        self, settings: ModelSettings, clock: Clock, announcer: Announcer, *, seconds_per_window: float
    ) -> None:
        self.model_name = settings.model
        self.parallel = settings.parallel_windows or 1
        self._clock = clock
        self._announcer = announcer
        self._seconds = seconds_per_window

    @property
    def languages(self) -> frozenset[str]:
        return frozenset({"en", "de"})

    def transcribe(self, speeches: Sequence[Speech], *, should_abort: Callable[[], bool]) -> list[Transcription]:
        """See `Transcriber`."""
        return [self._heard(speech, should_abort) for speech in speeches]

    def _heard(self, speech: Speech, should_abort: Callable[[], bool]) -> Transcription:
        if not is_coded(speech.samples):
            return Transcription(speech.language, 1.0, (_known_segment(len(speech.samples) / 16_000),))
        slots = read_slots(speech.samples)
        try:
            self._decode(slots, should_abort)
        except OutOfMemoryError as reason:
            # As the real transcriber does: once more at lower cost, then the process is given up.
            log.warning("window_retried_at_lower_cost", reason=type(reason).__name__)
            try:
                self._decode(slots, should_abort)
            except OutOfMemoryError as error:
                raise TranscriberBrokenError(f"out of memory also at lower cost: {error}") from error
        return Transcription(speech.language, 1.0, _segments(slots))

    def _decode(self, slots: Sequence[Slot], should_abort: Callable[[], bool]) -> None:
        """Take the time that hearing takes, or fail as the real model would."""
        if should_abort():
            raise Aborted("not wanted any more")
        order = self._announcer.announce("begin", slots)
        with model_errors():
            _obey(order)
        until = self._clock.monotonic() + self._seconds
        while (left := until - self._clock.monotonic()) > 0:
            if should_abort():
                raise Aborted("not wanted any more")
            self._clock.sleep(min(left, _POLL_INTERVAL_SECONDS))
        self._announcer.announce("end", slots)


def _obey(order: Order) -> None:
    """Raises what CTranslate2 raises, in its words."""
    match order:
        case "hang":
            threading.Event().wait()  # as a CUDA call that never returns: it asks nobody whether it may go on
        case "crash":
            os.abort()
        case "memory":
            raise RuntimeError("CUDA failed with error out of memory")
        case "broken":
            raise RuntimeError("CUDA failed with error an illegal memory access was encountered")
        case "window":
            raise RuntimeError("parallel_for: the audio is odd")
        case "ok":
            return


def _segments(slots: Sequence[Slot]) -> tuple[Segment, ...]:
    """A segment for each stretch of one chunk, a word for each slot, said in the slot's middle."""
    return tuple(
        _segment([_word(slot) for slot in stretch])
        for _, stretch in groupby(slots, lambda slot: (slot.session, slot.chunk))
    )


def _segment(words: Sequence[Word]) -> Segment:
    text = "".join(word.word for word in words).strip()
    return Segment(text=text, start=words[0].start, end=words[-1].end, words=tuple(words))


def _word(slot: Slot) -> Word:
    middle = slot.start + SLOT_SECONDS / 2
    return Word(word=f" {slot.word}", start=round(middle - 0.1, 3), end=round(middle + 0.1, 3), probability=1.0)


def _known_segment(seconds: float) -> Segment:
    said = _SELF_TEST.split()
    step = seconds / len(said)
    return _segment(
        [
            Word(word=f" {word}", start=round(place * step, 3), end=round((place + 1) * step, 3), probability=1.0)
            for place, word in enumerate(said)
        ]
    )
