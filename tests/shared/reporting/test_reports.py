"""Batch reports: the names of the contract in JSON, and one file that is never overwritten for each run."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.reporting.reports import (
    BatchReport,
    Gpu,
    ReportError,
    SessionOutcome,
    cost_usd,
    execution,
    write_report,
)

if TYPE_CHECKING:
    from tests.conftest import Cloud

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Architecture, section 4, "Batch report", as the contract spells it: `{` opens the section of the name before it.
CONTRACT = """
reportId, timestamp, status, skipped, reason, lockStatus,
execution: {startTime, endTime, durationSeconds, durationHuman},
scan: {sessionsScanned, totalMissingChunks, sessionsWithMissingChunks},
gpu: {instanceId, instanceType, wasRunning, weStartedIt, startTime, stopTime, runtimeSeconds, runtimeHuman, costUSD},
transcription: {chunksFound, chunksTranscribed, chunksFailed, chunksSkipped, successRate, totalSizeBytes, audioSeconds},
performance: {totalDurationSeconds, scanDurationSeconds, gpuStartupSeconds, modelLoadSeconds,
    transcribeDurationSeconds, shutdownSeconds, rtfx, gpuBusyFraction},
sessions: {sessionId, userId, chunksProcessed, chunkNumbers, status, duration}, errors, nextScheduledRun
"""


def contract() -> dict[str, set[str]]:
    """Names by section; the report's own stand under the empty name."""
    nested = dict(re.findall(r"(\w+): \{([^}]*)\}", CONTRACT))
    own = re.sub(r": \{[^}]*\}", "", CONTRACT)
    return {section: set(re.findall(r"\w+", names)) for section, names in {"": own, **nested}.items()}


def report(**changes: Any) -> BatchReport:
    fields: dict[str, Any] = {
        "report_id": "batch",
        "timestamp": "2026-01-02T03:10:00.000Z",
        "status": "partial",
        "lock_status": "lock is free",
        "execution": execution(STARTED, STARTED + timedelta(seconds=185)),
        "gpu": Gpu(instance_id="i-0abc"),
        "sessions": (
            SessionOutcome(
                session_id="s",
                user_id="u",
                chunks_processed=2,
                chunk_numbers=("1", "001"),
                status="partial",
                duration=5,
            ),
        ),
        "errors": (ReportError(session_id="s", chunk="001", reason="audio-empty", detail="no bytes"),),
    }
    return BatchReport(**{**fields, **changes})


def test_every_section_of_the_json_has_exactly_the_names_of_the_contract() -> None:
    found = json.loads(report().to_json())
    sections = {name: value for name, value in found.items() if isinstance(value, dict)}
    (session,) = found["sessions"]

    names = {section: set(value) for section, value in {**sections, "sessions": session, "": found}.items()}

    assert names == contract()


def test_a_report_is_read_back_as_it_was_written() -> None:
    assert BatchReport.model_validate_json(report().to_json(indent=2)) == report()


def test_chunk_numbers_keep_their_spelling_and_errors_say_where_and_why() -> None:
    found = json.loads(report().to_json())

    assert found["sessions"][0]["chunkNumbers"] == ["1", "001"]
    assert found["errors"] == [{"sessionId": "s", "chunk": "001", "reason": "audio-empty", "detail": "no bytes"}]


def test_an_execution_is_its_span_in_the_forms_of_the_contract() -> None:
    assert json.loads(execution(STARTED, STARTED + timedelta(seconds=185.25)).to_json()) == {
        "startTime": "2026-01-02T03:04:05.000Z",
        "endTime": "2026-01-02T03:07:10.250Z",
        "durationSeconds": 185.25,
        "durationHuman": "3m 05s",
    }


def test_a_clock_that_was_set_back_in_the_middle_gives_no_negative_time() -> None:
    assert execution(STARTED, STARTED - timedelta(seconds=5)).duration_seconds == 0


@pytest.mark.parametrize(
    ("runtime_seconds", "usd"), [(0, 0.01), (1, 0.01), (60, 0.01), (61, 0.010167), (3600, 0.6), (5400, 0.9)]
)
def test_a_run_costs_its_time_at_the_hourly_price_and_a_minute_at_least(runtime_seconds: float, usd: float) -> None:
    assert cost_usd(runtime_seconds, price_usd_per_hour=0.6) == usd


# --- writing


def names(cloud: "Cloud") -> list[str]:
    return [item["Key"] for item in cloud.s3.list_objects_v2(Bucket="recordings", Prefix="batch-").get("Contents", [])]


def test_a_report_is_written_as_json_and_html_under_its_start_and_instance(cloud: "Cloud") -> None:
    written = write_report(cloud.s3, "recordings", report(), STARTED)

    stem = "batch-reports/batch-2026-01-02-0304-i-0abc"
    assert names(cloud) == [f"{stem}.html", f"{stem}.json"]
    assert written.report_id == "batch-2026-01-02-0304-i-0abc"
    as_json = cloud.s3.get_object(Bucket="recordings", Key=f"{stem}.json")
    as_html = cloud.s3.get_object(Bucket="recordings", Key=f"{stem}.html")
    assert BatchReport.model_validate_json(as_json["Body"].read()) == written
    assert written.report_id in as_html["Body"].read().decode()
    assert (as_json["ContentType"], as_html["ContentType"]) == ("application/json", "text/html; charset=utf-8")


def test_a_report_without_an_instance_is_named_by_its_start_alone(cloud: "Cloud") -> None:
    written = write_report(cloud.s3, "recordings", report(gpu=Gpu(), status="skipped", skipped=True), STARTED)

    assert written.report_id == "batch-2026-01-02-0304"


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_report_whose_first_answer_was_lost_has_no_twin(cloud: "Cloud", which: str) -> None:
    # given: the client tries a call again that S3 had carried out, for the first report of the minute or the second
    if which == "second":
        write_report(cloud.s3, "recordings", report(reason="before"), STARTED)
    lost: list[str] = []

    def carry_out_and_lose_the_answer(model: Any, params: dict[str, Any], **_: Any) -> None:
        if not lost and params["url_path"].endswith(".json") and which_is_free(params["url_path"]):
            lost.append(params["url_path"])
            cloud.s3.put_object(Bucket="recordings", Key=params["url_path"].lstrip("/"), Body=params["body"])

    def which_is_free(path: str) -> bool:
        return path.lstrip("/") not in names(cloud)

    cloud.s3.meta.events.register("before-call.s3.PutObject", carry_out_and_lose_the_answer)

    written = write_report(cloud.s3, "recordings", report(), STARTED)

    stem = "batch-2026-01-02-0304-i-0abc" + ("-2" if which == "second" else "")
    assert written.report_id == stem
    assert len(lost) == 1
    assert len(names(cloud)) == (4 if which == "second" else 2)


def test_reports_of_one_instance_within_a_minute_stand_side_by_side(cloud: "Cloud") -> None:
    ids = [write_report(cloud.s3, "recordings", report(reason=str(n)), STARTED).report_id for n in range(3)]

    stem = "batch-2026-01-02-0304-i-0abc"
    assert ids == [stem, f"{stem}-2", f"{stem}-3"]
    bodies = [
        cloud.s3.get_object(Bucket="recordings", Key=f"batch-reports/{report_id}.json")["Body"].read()
        for report_id in ids
    ]
    assert [json.loads(body)["reason"] for body in bodies] == ["0", "1", "2"]
    assert len(names(cloud)) == 6
