"""The stages of a job as values: the message received, the prepared job, what was heard of it, what became of it."""

from dataclasses import dataclass

from consumer.jobs.publish import Existing
from consumer.media.decode import DecodedAudio
from shared.formats.messages import ChunkJob
from shared.formats.transcripts import ContextWords, Segment, Suppressed
from shared.reporting.reports import ReportError
from shared.reporting.timeline import Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received.

    Attributes:
        receipt: this receive's handle; a later receive of the same message has another one.
        receives: how often the message was received so far, this time included.
        received_at: the clock's monotonic seconds before the call, from which its lease runs.
    """

    queue_url: str
    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    received_at: float


@dataclass(frozen=True, slots=True, eq=False)
class PreparedJob:
    """A job that only the model is missing for. `existing` is the transcript that a forced job replaces."""

    message: Message
    job: ChunkJob
    existing: Existing | None
    audio: DecodedAudio

    @property
    def number(self) -> int:
        return int(self.job.chunk)


@dataclass(frozen=True, slots=True)
class ChunkWords:
    """What was heard in one chunk; times are seconds from its start.

    Attributes:
        beside: the words next to it, where the chunk there is another hearing's.
    """

    segments: tuple[Segment, ...]
    suppressed: tuple[Suppressed, ...]
    beside: ContextWords | None = None


@dataclass(frozen=True, slots=True)
class ChunkTranscription:
    """What was heard in a chunk, and by what; `device` is where the model really ran."""

    heard: ChunkWords
    language: str
    language_probability: float
    model: str
    device: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One finished job. `job` is absent when the message was none; the audio is in seconds."""

    job: ChunkJob | None
    outcome: Outcome
    audio_seconds: float = 0
    error: ReportError | None = None
