"""Makes the windows that the model is given: jobs, their neighbours' audio and the session's hints put together."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from consumer.jobs.stages import Message
from consumer.media.decode import SAMPLE_RATE, DecodedAudio
from consumer.model.transcriber import Speech
from consumer.sessions.audio import SessionAudio
from consumer.sessions.hints import SessionHints
from consumer.windows.plan import Chunk, Window, WindowPart
from consumer.windows.selection import QueuedJob, WindowSelector


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One window, ready for the model. `model` is absent for the fleet's own."""

    window: Window
    jobs: tuple[QueuedJob, ...]
    speech: Speech
    model: str | None

    @property
    def messages(self) -> list[Message]:
        return [each.prepared.message for each in self.jobs]

    def described(self) -> dict[str, object]:
        """How logs name it."""
        return {
            "session": self.jobs[0].prepared.job.session_id,
            "chunks": [each.prepared.job.chunk for each in self.jobs],
            "audio_seconds": round(self.window.seconds, 2),
        }

    def goes_with(self, other: "Task") -> bool:
        """Whether the model can decode both at the same time."""
        mine, theirs = self.speech, other.speech
        return (self.model, mine.language, mine.hotwords, mine.initial_prompt) == (
            other.model,
            theirs.language,
            theirs.hotwords,
            theirs.initial_prompt,
        )


class TaskMaker:
    """Fetches what a window needs besides its jobs. Used by one thread.

    Args:
        language: the fleet's, for jobs without one of their own (ISO 639).
        executor: fetches several things at the same time.
    """

    def __init__(
        self, chooser: WindowSelector, audio: SessionAudio, hints: SessionHints, language: str, executor: Executor
    ) -> None:
        self._chooser = chooser
        self._audio = audio
        self._hints = hints
        self._language = language
        self._executor = executor

    def make(self, jobs: Sequence[QueuedJob]) -> Task:
        """The first window of `jobs`, which are of one session; it need not hold them all."""
        job = jobs[0].prepared.job
        hints = self._executor.submit(self._hints.of, job)
        gaps = {each.prepared.number: each.prepared.audio for each in jobs}
        audio = self._audio.beside(job, self._chooser.neighbours(jobs), self._executor) | gaps
        window = self._chooser.window(
            Chunk(number, each.seconds, is_gap=number in gaps) for number, each in audio.items()
        )
        found = hints.result()
        return Task(
            window=window,
            jobs=tuple(sorted((each for each in jobs if each.prepared.number in window.gaps), key=_number)),
            speech=Speech(
                _samples(window.parts, audio), job.language or self._language, found.hotwords, found.initial_prompt
            ),
            model=job.model,
        )


def _number(job: QueuedJob) -> int:
    return job.prepared.number


def _samples(parts: Sequence[WindowPart], audio: dict[int, DecodedAudio]) -> np.ndarray:
    return np.concatenate(
        [audio[part.number].samples[round(part.begin * SAMPLE_RATE) : round(part.end * SAMPLE_RATE)] for part in parts]
    )
