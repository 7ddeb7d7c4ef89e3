"""The report's page, read by an HTML parser as a browser would: what it says, and that no input can change it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from shared.reporting.reports import (
    BatchReport,
    Gpu,
    Performance,
    ReportError,
    ScanCounts,
    SessionOutcome,
    TranscriptionCounts,
    execution,
    render_html,
)
from tests.shared.reporting.sample_report_pages import sample_report, sample_timeline

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VOID = {"meta", "link"}
LOADS = {"src", "srcset", "href", "action", "data", "poster", "background"}
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


@dataclass
class Page(HTMLParser):
    """A parsed page: its visible words, its tags, and whether every tag was closed in order."""

    html: str
    words: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open_tags:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def bar(self) -> dict[str, float]:
        """The horizontal bar: share of each part."""
        styles = [(attrs["class"] or "", attrs.get("style") or "") for tag, attrs in self.tags if tag == "i"]
        return {name: float(style.removeprefix("flex-grow: ")) for name, style in styles if style}


def page(**changes: Any) -> Page:
    fields: dict[str, Any] = {
        "report_id": "batch-2026-01-02-0304-i-0abc",
        "timestamp": "2026-01-02T03:10:00.000Z",
        "status": "success",
        "lock_status": "lock is free",
        "execution": execution(STARTED, STARTED + timedelta(seconds=200)),
        "gpu": Gpu(instance_id="i-0abc", instance_type="g4dn.xlarge", we_started_it=True, runtime_seconds=200),
        "transcription": TranscriptionCounts(chunks_found=1234, chunks_transcribed=1234, audio_seconds=6170),
    }
    return Page(render_html(BatchReport(**{**fields, **changes})))


FAILED_JOB = ReportError(session_id="s", chunk="007", reason="audio-empty", detail="The object has no bytes.")
STATES: dict[str, dict[str, Any]] = {
    "success": {},
    "partial": {
        "transcription": TranscriptionCounts(chunks_found=3, chunks_transcribed=2, chunks_failed=1),
        "errors": (FAILED_JOB,),
    },
    "failed": {"transcription": TranscriptionCounts(chunks_found=2, chunks_failed=2), "errors": (FAILED_JOB,)},
    "skipped": {"gpu": Gpu(), "transcription": TranscriptionCounts(), "skipped": True, "reason": "the lock is held"},
    "interrupted": {"reason": "SIGTERM"},
}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("success", "Success 1,234 chunks that had no transcript have one now."),
        ("partial", "Partial 2 chunks transcribed, 1 failed. The failed jobs are in the dead-letter queue"),
        ("failed", "Failed None of the 2 chunks could be transcribed."),
        ("skipped", "Skipped No GPU was started: the lock is held."),
        ("interrupted", "Interrupted The run was stopped before its work was done (SIGTERM)."),
    ],
)
def test_each_status_is_said_in_a_plain_sentence(status: str, sentence: str) -> None:
    assert sentence in page(status=status, **STATES[status]).text


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (TranscriptionCounts(), "No work was waiting."),
        (TranscriptionCounts(chunks_found=4, chunks_skipped=4), "the transcripts were there already."),
        (TranscriptionCounts(chunks_found=1, chunks_transcribed=1), "1 chunk that had no transcript has one now."),
    ],
)
def test_a_success_says_what_it_consisted_of(counts: TranscriptionCounts, sentence: str) -> None:
    assert sentence in page(transcription=counts).text


def test_a_run_that_failed_before_its_first_job_says_why() -> None:
    text = page(status="failed", reason="no model", transcription=TranscriptionCounts()).text

    assert "Failed The run failed: no model." in text


@pytest.mark.parametrize("status", STATES)
def test_the_page_is_one_file_without_scripts_that_loads_nothing(status: str) -> None:
    shown = page(status=status, **STATES[status])

    assert "script" not in {tag for tag, _ in shown.tags}
    loaded = [value for _, attrs in shown.tags for name, value in attrs.items() if name in LOADS]
    assert loaded == ["data:,"]
    assert "@import" not in shown.html
    assert "url(" not in shown.html
    policy = [attrs["content"] for _, attrs in shown.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_key_figures_are_there() -> None:
    counts = TranscriptionCounts(
        chunks_found=47, chunks_transcribed=41, chunks_failed=2, chunks_skipped=4, audio_seconds=205
    )
    gpu = Gpu(instance_id="i-0abc", runtime_seconds=395, cost_usd=0.0577)

    text = page(status="partial", transcription=counts, gpu=gpu).text

    for figure in (
        "47 chunks found",
        "41 transcribed",
        "2 failed",
        "4 skipped",
        "3m 25s of audio",
        "6m 35s GPU runtime",
        "$0.0577 GPU cost",
    ):
        assert figure in text


def test_a_skipped_scan_shows_what_it_found_in_place_of_jobs() -> None:
    scan = ScanCounts(sessions_scanned=5000, total_missing_chunks=12, sessions_with_missing_chunks=2)

    text = page(status="skipped", scan=scan, **STATES["skipped"]).text

    assert "5,000 sessions scanned" in text
    assert "12 chunks missing" in text
    assert "chunks found" not in text


def test_the_bar_shares_out_the_whole_time_and_calls_the_rest_idle() -> None:
    shown = page(
        performance=Performance(
            total_duration_seconds=200,
            gpu_startup_seconds=40,
            model_load_seconds=10,
            transcribe_duration_seconds=100,
        )
    )

    assert shown.bar() == {"start": 0.2, "load": 0.05, "work": 0.5, "idle": 0.25}
    assert "idle and waiting 50s, 25 %" in shown.text


def test_parts_that_add_up_to_more_than_the_total_still_fill_the_bar_exactly() -> None:
    shown = page(
        performance=Performance(total_duration_seconds=50, gpu_startup_seconds=50, transcribe_duration_seconds=50)
    )

    assert shown.bar() == {"start": 0.5, "work": 0.5}


def test_a_report_without_an_instance_has_no_bar() -> None:
    shown = page(status="skipped", performance=Performance(total_duration_seconds=4), **STATES["skipped"])

    assert shown.bar() == {}
    assert "Where the time went" not in shown.text


def test_the_bar_says_what_each_part_cost() -> None:
    gpu = Gpu(instance_id="i-0abc", runtime_seconds=200, cost_usd=4)

    text = page(gpu=gpu, performance=Performance(total_duration_seconds=200, transcribe_duration_seconds=150)).text

    assert "Where time and money went · 3m 20s, $4.00" in text
    assert "transcribing 2m 30s, 75 %, $3.00" in text
    assert "idle and waiting 50s, 25 %, $1.00" in text


def test_the_timeline_shows_the_phases_and_the_jobs_over_time() -> None:
    shown = Page(render_html(sample_report("success"), sample_timeline()))

    assert "Timeline · from 2026-01-02 03:03:25 UTC" in shown.text
    marks = [attrs["class"] for tag, attrs in shown.tags if tag == "rect"]
    assert [mark for mark in marks if mark in {"start", "load", "work", "idle", "hold", "stop"}] == [
        *("start", "load", "work", "idle", "hold", "work", "idle", "stop")
    ]
    assert {"completed", "skipped", "failed"} <= set(marks)
    for name in ("boot", "model load", "working", "idle", "held by a live session", "shutdown", "jobs failed"):
        assert name in shown.text


def test_a_report_without_a_timeline_shows_none() -> None:
    assert "Timeline" not in page().text


def test_sessions_and_errors_are_listed_with_their_reasons() -> None:
    session = SessionOutcome(
        session_id="standup",
        user_id="ada",
        chunks_processed=2,
        chunk_numbers=("1", "001"),
        status="partial",
        duration=65,
    )

    text = page(status="partial", sessions=(session,), errors=(FAILED_JOB,)).text

    assert "standup ada partial 2 1m 05s 1, 001" in text
    assert "audio-empty s 007 The object has no bytes." in text


def test_a_long_list_of_chunks_is_folded_and_still_complete() -> None:
    numbers = tuple(f"{number:03d}" for number in range(1, 301))
    session = SessionOutcome(
        session_id="s", user_id="u", chunks_processed=300, chunk_numbers=numbers, status="success", duration=1500
    )

    shown = page(sessions=(session,))

    assert "001 … 300" in shown.text
    assert ", ".join(numbers) in shown.text
    assert "details" in {tag for tag, _ in shown.tags}


def test_lock_instance_and_times_are_among_the_details() -> None:
    text = page(lock_status="live session x since 03:00", next_scheduled_run="2026-01-03T03:00:00.000Z").text

    for detail in (
        "Lock live session x since 03:00",
        "Instance i-0abc (g4dn.xlarge)",
        "Started by the fleet",
        "Started 2026-01-02 03:04:05 UTC",
        "Ended 2026-01-02 03:07:25 UTC (3m 20s)",
        "Next scheduled run 2026-01-03 03:00:00 UTC",
    ):
        assert detail in text


def test_hostile_ids_are_shown_as_text_and_add_no_tag() -> None:
    def shown(outside: str) -> Page:
        session = SessionOutcome(
            session_id=outside,
            user_id=outside,
            chunks_processed=1,
            chunk_numbers=("001",),
            status="failed",
            duration=0,
        )
        error = ReportError(session_id=outside, chunk=outside, reason=outside, detail=outside)
        return page(
            status="failed",
            reason=outside,
            report_id=outside,
            lock_status=outside,
            gpu=Gpu(instance_id=outside, instance_type=outside),
            sessions=(session,),
            errors=(error,),
        )

    hostile = shown(HOSTILE)

    assert hostile.tags == shown("plain").tags
    assert hostile.text.count(HOSTILE) == shown("plain").text.count("plain")
