"""Batch reports: of any version or damaged, each says what it says, and what makes no sense in it is unknown."""

import io
import json
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from rich.console import Console

from producer.operator.reports.model import Reading, ReportUnreadableError, read_facts
from producer.operator.reports.store import ReadReport, ReportName
from producer.operator.reports.view import report_screen, reports_table
from shared.reporting.reports import BatchReport, Gpu, ReportError, SessionOutcome, execution
from tests.faults.fuzz.fixed import AT
from tests.faults.fuzz.strategies import anything, json_bytes
from tests.faults.fuzz.target import Target, require

_NAME: Final = ReportName(AT, "batch-2026-01-02-0304-i-1")
_TOKENS: Final = (
    b'"sessions":',
    b'"errors":["out of space"]',
    b"1e308",
    b"-1",
    b"9" * 400,
    b"NaN",
    b"\\ud800",
    b"null",
    b"{",
    b"]",
)


def samples() -> list[bytes]:
    """This version's, and an older one's with bare sentences for errors."""
    report = BatchReport(
        report_id=_NAME.stem,
        timestamp="2026-01-02T03:04:05.000Z",
        status="partial",
        lock_status="lock is free",
        execution=execution(AT, AT),
        gpu=Gpu(instance_id="i-1", instance_type="g4dn.xlarge", runtime_seconds=61.5, cost_usd=0.01),
        sessions=(
            SessionOutcome(
                session_id="s", user_id="u", chunks_processed=1, chunk_numbers=("001",), status="success", duration=5
            ),
        ),
        errors=(ReportError(session_id="s", chunk="002", reason="audio-gone", detail="it was deleted"),),
    )
    older = {
        "status": "failed",
        "execution": {"startTime": "2025-01-01T00:00:00"},
        "errors": ["out of space"],
        "gpu": {"costUSD": "0.1"},
    }
    return [
        report.to_json(indent=2).encode(),
        report.to_json().encode(),
        json.dumps(older).encode(),
        b'{"skipped": true}',
    ]


def structured() -> SearchStrategy[bytes]:
    """Reports with anything in place of some parts."""
    good = [json.loads(sample) for sample in samples()]
    names = sorted({name for report in good for name in report})
    part = st.dictionaries(
        st.sampled_from(
            sorted(
                {inner for report in good for value in report.values() if isinstance(value, dict) for inner in value}
            )
        ),
        anything(),
    )
    changes = st.dictionaries(st.sampled_from(names), anything() | part | st.lists(anything()), max_size=4)
    return json_bytes(st.builds(lambda report, changed: {**report, **changed}, st.sampled_from(good), changes))


def check(data: bytes) -> bool:
    """What may lie where a report should be."""
    try:
        reading = read_facts(data)
    except ReportUnreadableError as error:
        require(0 < len(str(error)) < 200, "why it cannot be read is a clause")
        return False
    _makes_sense(reading)
    screen = io.TextIOWrapper(io.BytesIO(), "utf-8")
    console = Console(file=screen, width=100)
    console.print(report_screen(_NAME, reading))
    console.print(reports_table([ReadReport(_NAME, reading)]))
    screen.flush()
    json.dumps(reading.document, indent=2)
    return True


def _makes_sense(reading: Reading) -> None:
    facts = reading.facts
    amounts: list[Any] = [
        *(
            facts.execution.duration_seconds,
            facts.gpu.runtime_seconds,
            facts.gpu.cost_usd,
            facts.performance.rtfx,
        ),
        *(
            facts.transcription.chunks_transcribed,
            facts.transcription.audio_seconds,
            *(each.duration for each in facts.sessions),
        ),
    ]
    require(all(each is None or 0 <= each <= 10**15 for each in amounts), "amounts are amounts")
    require(isinstance(facts.outcome, str), "each report has some outcome")


TARGET: Final = Target("report", samples, structured, check, "json", _TOKENS, share=0.1)
