"""The stages of a job as values: received message, prepared job, transcription, record of its end."""

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
        receipt_handle: of this receive; a later receive of the same message has another one.
        receive_count: how often the message was received so far, this time included.
        received_at: the clock's monotonic seconds before the receive; its lease starts then.
    """

    queue_url: str
    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    received_at: float


@dataclass(frozen=True, slots=True, eq=False)
class PreparedJob:
    """A job that is ready for the model. `existing` is the transcript that a forced job replaces."""

    message: Message
    job: ChunkJob
    existing: Existing | None
    audio: DecodedAudio

    @property
    def number(self) -> int:
        return int(self.job.chunk)


@dataclass(frozen=True, slots=True)
class ChunkWords:
    """The words of one chunk; times are seconds from its start.

    Attributes:
        context_words: those around it, on sides where the neighbouring chunk was not part of the same window.
    """

    segments: tuple[Segment, ...]
    suppressed: tuple[Suppressed, ...]
    context_words: ContextWords | None = None


@dataclass(frozen=True, slots=True)
class ChunkTranscription:
    """The model's transcription of a chunk; `device` is where the model really ran."""

    heard: ChunkWords
    language: str
    language_probability: float
    model: str
    device: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One finished job; `job` is `None` when its message could not be parsed."""

    job: ChunkJob | None
    outcome: Outcome
    audio_seconds: float = 0
    error: ReportError | None = None
