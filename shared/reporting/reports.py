"""Batch reports: one for each run and each skipped scan, as JSON for programs and HTML for people."""

import functools
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import jinja2
from pydantic import Field

from shared.aws.storage import put_if_absent
from shared.clock import human_duration, iso
from shared.formats.layout import REPORTS_PREFIX, report_stem
from shared.formats.wire import WireModel
from shared.reporting.chart import chart
from shared.reporting.timeline import RunTimeline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MINIMUM_BILLED_SECONDS = 60
"""EC2 bills each start of an instance for a minute at least, then by the second (EC2 StartInstances reference)."""

ReportStatus = Literal["success", "partial", "failed", "skipped", "interrupted"]


def cost_usd(runtime_seconds: float, price_usd_per_hour: float) -> float:
    """What an instance's run costs in USD: runtime, at least 60 s, times the hourly price."""
    return round(max(runtime_seconds, MINIMUM_BILLED_SECONDS) / 3600 * price_usd_per_hour, 6)


class Execution(WireModel):
    """When the run was, from its first to its last moment."""

    start_time: str
    end_time: str
    duration_seconds: float
    duration_human: str


class ScanCounts(WireModel):
    """What the scan behind the run found; zeros when the run does not know."""

    sessions_scanned: int = 0
    total_missing_chunks: int = 0
    sessions_with_missing_chunks: int = 0


class Gpu(WireModel):
    """The instance and what its run cost. `was_running`: it ran before work came, so the fleet did not start it."""

    instance_id: str | None = None
    instance_type: str | None = None
    was_running: bool = False
    we_started_it: bool = False
    start_time: str | None = None
    stop_time: str | None = None
    runtime_seconds: float = 0
    runtime_human: str = "0s"
    cost_usd: Annotated[float, Field(alias="costUSD")] = 0


class TranscriptionCounts(WireModel):
    """Jobs by outcome; found = transcribed + failed + skipped. `success_rate` is in per cent."""

    chunks_found: int = 0
    chunks_transcribed: int = 0
    chunks_failed: int = 0
    chunks_skipped: int = 0
    success_rate: float = 100
    total_size_bytes: int = 0
    audio_seconds: float = 0


class Performance(WireModel):
    """Where the time went, in seconds; absent parts were not measured."""

    total_duration_seconds: float = 0
    scan_duration_seconds: float | None = None
    gpu_startup_seconds: float | None = None
    model_load_seconds: float | None = None
    transcribe_duration_seconds: float = 0
    shutdown_seconds: float | None = None
    rtfx: float | None = None
    gpu_busy_fraction: float | None = None


class SessionOutcome(WireModel):
    """One session's part of a run; `duration` is seconds of audio transcribed."""

    session_id: str
    user_id: str
    chunks_processed: int
    chunk_numbers: tuple[str, ...]
    status: Literal["success", "partial", "failed"]
    duration: float


class ReportError(WireModel):
    """A job that failed for good, and why."""

    session_id: str | None = None
    chunk: str | None = None
    reason: str
    detail: str


class BatchReport(WireModel):
    """One run, or one scan that started none."""

    report_id: str
    timestamp: str
    status: ReportStatus
    skipped: bool = False
    reason: str | None = None
    lock_status: str
    execution: Execution
    scan: ScanCounts = ScanCounts()
    gpu: Gpu = Gpu()
    transcription: TranscriptionCounts = TranscriptionCounts()
    performance: Performance = Performance()
    sessions: tuple[SessionOutcome, ...] = ()
    errors: tuple[ReportError, ...] = ()
    next_scheduled_run: str | None = None


def execution(started: datetime, ended: datetime) -> Execution:
    """The span from `started` to `ended`, in the report's form."""
    seconds = max(0.0, (ended - started).total_seconds())
    return Execution(
        start_time=iso(started),
        end_time=iso(ended),
        duration_seconds=round(seconds, 3),
        duration_human=human_duration(seconds),
    )


def render_html(report: BatchReport, timeline: RunTimeline | None = None) -> str:
    """The report as one self-contained page: no script, nothing loaded from elsewhere, everything escaped.

    The timeline is on the page alone: the JSON's format has no place for it.
    """
    shown = chart(timeline, report.performance.gpu_startup_seconds or 0) if timeline else None
    return _page().render(report=report, chart=shown)


@functools.cache
def _page() -> jinja2.Template:
    """Compiled once: that takes several times as long as to fill it in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shared.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = human_duration
    return environment.get_template("report.html.j2")


def write_report(
    s3: "S3Client", bucket: str, report: BatchReport, started: datetime, timeline: RunTimeline | None = None
) -> BatchReport:
    """Put the report's JSON and HTML under a name that no other report has.

    Args:
        report: its `report_id` is replaced by the name that was free.
        started: when the run began; gives the name.
        timeline: what the run did when, for the page; absent for what was no run.

    Returns:
        The report as written. Raises what boto3 raises; the same call made again finds what it has written before.
    """
    copy = 1
    while True:
        stem = report_stem(started, report.gpu.instance_id, copy)
        report = report.model_copy(update={"report_id": stem})
        body = report.to_json(indent=2).encode()
        key = f"{REPORTS_PREFIX}{stem}.json"
        if put_if_absent(s3, bucket, key, body, "application/json"):
            break
        copy += 1
    page = render_html(report, timeline).encode()
    s3.put_object(Bucket=bucket, Key=f"{REPORTS_PREFIX}{stem}.html", Body=page, ContentType="text/html; charset=utf-8")
    return report
