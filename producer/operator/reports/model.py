"""A batch report as far as it is understood: of this version, of an older one, or damaged.

Reading never fails for what a report says, only for what is no JSON object. A part that is missing or makes no sense
is unknown, and does not take its neighbours with it. The format is `shared.reporting.reports.BatchReport`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import pydantic_core
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from shared.errors import ScribefleetError
from shared.formats.wire import WireModel
from shared.reporting.reports import BatchReport


class ReportUnreadableError(ScribefleetError):
    """What lies where a report should be is not one of any version."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:  # the first and the last day there are, in a zone far from UTC
        raise ValueError("no moment in UTC") from None


def _objects(value: object) -> object:
    """The members of a list that can be read at all; an older report's errors are bare sentences."""
    if not isinstance(value, list):
        return ()
    said = [{"detail": member} if isinstance(member, str) else member for member in value]
    return [member for member in said if isinstance(member, dict)]


# Negative, beyond all measure and no number at all are equally wrong for what these count.
_MOST = 10**15
_Amount = Annotated[float, Field(ge=0, le=_MOST)]
_Count = Annotated[int, Field(ge=0, le=_MOST)]
_Moment = Annotated[datetime, AfterValidator(_in_utc)]


class _Facts(WireModel):
    """A part of a report in which what makes no sense becomes what it is by default."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _else_unknown(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].get_default()


class ExecutionFacts(_Facts):
    """When the run was."""

    start_time: _Moment | None = None
    end_time: _Moment | None = None
    duration_seconds: _Amount | None = None


class GpuFacts(_Facts):
    """The instance and its cost."""

    instance_id: str | None = None
    instance_type: str | None = None
    runtime_seconds: _Amount | None = None
    cost_usd: Annotated[_Amount | None, Field(alias="costUSD")] = None


class TranscriptionFacts(_Facts):
    """Jobs by outcome."""

    chunks_found: _Count | None = None
    chunks_transcribed: _Count | None = None
    chunks_failed: _Count | None = None
    chunks_skipped: _Count | None = None
    audio_seconds: _Amount | None = None


class PerformanceFacts(_Facts):
    """How fast it was."""

    model_load_seconds: _Amount | None = None
    rtfx: _Amount | None = None
    gpu_busy_fraction: _Amount | None = None


class SessionFacts(_Facts):
    """One session's part of the run; `duration` is seconds of audio."""

    session_id: str = "?"
    user_id: str = "?"
    chunks_processed: _Count | None = None
    status: str | None = None
    duration: _Amount | None = None


class ErrorFacts(_Facts):
    """One job that failed."""

    session_id: str | None = None
    chunk: str | None = None
    reason: str | None = None
    detail: str | None = None


class ReportFacts(_Facts):
    """What a report says; `None` where it does not say it."""

    timestamp: _Moment | None = None
    status: str | None = None
    skipped: bool = False
    reason: str | None = None
    lock_status: str | None = None
    execution: ExecutionFacts = ExecutionFacts()
    gpu: GpuFacts = GpuFacts()
    transcription: TranscriptionFacts = TranscriptionFacts()
    performance: PerformanceFacts = PerformanceFacts()
    sessions: Annotated[tuple[SessionFacts, ...], BeforeValidator(_objects)] = ()
    errors: Annotated[tuple[ErrorFacts, ...], BeforeValidator(_objects)] = ()

    @property
    def outcome(self) -> str:
        """Its status; of a report without one what its other parts say."""
        return self.status or ("skipped" if self.skipped else "unknown")


@dataclass(frozen=True, slots=True)
class Reading:
    """A report as it was read.

    Attributes:
        document: all that the report holds, whether it was understood or not.
        unknown: names of the parts that are not as this version writes them, such as `gpu.costUSD`.
    """

    facts: ReportFacts
    document: dict[str, Any]
    unknown: tuple[str, ...]


def read_facts(body: bytes) -> Reading:
    """What a report's JSON says.

    Raises:
        ReportUnreadableError: it is not a JSON object.
    """
    try:
        # Unlike json's, it has a bound on how deep lists and objects may be nested, and takes no halves of characters,
        # which no terminal could show.
        document = pydantic_core.from_json(body)
    except ValueError:
        raise ReportUnreadableError("it is not JSON") from None
    if not isinstance(document, dict):
        raise ReportUnreadableError("it is JSON, but no report")
    return Reading(ReportFacts.model_validate(document), document, _unknown(document))


def _unknown(document: dict[str, Any]) -> tuple[str, ...]:
    try:
        BatchReport.model_validate(document)
    except ValidationError as error:
        return tuple(dict.fromkeys(".".join(map(str, problem["loc"])) for problem in error.errors()))
    return ()
