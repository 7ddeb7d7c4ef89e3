"""Invariants about conduct: holds respected, reports true, logs fit for people and for machines."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from shared.formats.layout import LOCK_KEY, REPORTS_PREFIX, parse_key, session_path
from shared.reporting.reports import BatchReport
from tests.faults.harness.evidence import Evidence, lost_answer, successes
from tests.faults.harness.journal import Entry
from tests.faults.harness.recorder import Hold

# The gate's look at the lock may be two seconds old (consumer.lifecycle.gate), and the look itself takes a moment.
GATE_SECONDS: Final = 2.0
_SLACK_SECONDS: Final = 1.0
# Between the last look at the lock and the call that starts or stops lie two or three others, each with its retries.
_ACT_SECONDS: Final = 6.0
_INSTANCES: Final = ("ec2:StartInstances", "ec2:StopInstances", "ec2:RebootInstances")


def holds_are_respected(evidence: Evidence) -> Iterator[str]:
    """While a live session holds the lock nothing begins, but for what was in hand when it took it.

    Nor is any instance started, stopped or rebooted.
    """
    for hold in evidence.holds:
        for entry in evidence.by_fleet("model:TranscribeBegin"):
            if _is_late(entry, hold, GATE_SECONDS + _SLACK_SECONDS, evidence):
                yield f"{entry.call.actor} began to transcribe {entry.began - hold.begin:.1f} s into a hold"
        for entry in (each for operation in _INSTANCES for each in evidence.by_fleet(operation)):
            if _is_late(entry, hold, _ACT_SECONDS, evidence):
                yield f"{entry.call.actor} made {entry.call.operation} {entry.began - hold.begin:.1f} s into a hold"


def _is_late(entry: Entry, hold: Hold, allowed_seconds: float, evidence: Evidence) -> bool:
    """Whether a call was made in a hold that its maker should have known of."""
    after = hold.begin + allowed_seconds
    return after < entry.began < hold.end and after + _slowness(entry, hold, evidence) < entry.began


def _slowness(entry: Entry, hold: Hold, evidence: Evidence) -> float:
    """How long the longest of the caller's looks at the lock took about then, of those that no fault struck.

    On an idle machine it is nothing. On one that is busy with other things all steps take longer, and these show it.
    """
    looks = (
        look.ended - look.began
        for look in evidence.by_fleet("s3:GetObject")
        if (look.call.actor, look.call.target) == (entry.call.actor, LOCK_KEY) and not look.faults
        if look.ended > hold.begin - GATE_SECONDS and look.began < entry.began
    )
    return max(looks, default=0.0)


def reports_agree(evidence: Evidence) -> Iterator[str]:
    """What reports count is what S3 holds and what was really written, over all runs that wrote one."""
    reports = {}
    for key, body in evidence.objects.items():
        if key.startswith(REPORTS_PREFIX) and key.endswith(".json"):
            try:
                reports[key] = BatchReport.model_validate_json(body)
            except ValidationError:
                yield f"{key}: not a valid report"
    for key, report in reports.items():
        yield from (f"{key}: {wrong}" for wrong in _wrong_sums(report))
        yield from (f"{key}: {wrong}" for wrong in _claims_without_effect(report, evidence))
    yield from _counted_twice(reports, evidence)
    yield from _wrong_totals(reports, evidence)


def _wrong_sums(report: BatchReport) -> Iterator[str]:
    counts = report.transcription
    if counts.chunks_found != counts.chunks_transcribed + counts.chunks_failed + counts.chunks_skipped:
        yield "found is not transcribed + failed + skipped"
    listed = sum(len(session.chunk_numbers) for session in report.sessions)
    if not counts.chunks_transcribed <= listed <= counts.chunks_transcribed + counts.chunks_failed:
        yield f"lists {listed} chunks and counts {counts.chunks_transcribed + counts.chunks_failed}"
    if any(session.chunks_processed != len(session.chunk_numbers) for session in report.sessions):
        yield "a session's count is not that of its chunks"
    if len(report.errors) != counts.chunks_failed:
        yield f"has {len(report.errors)} errors for {counts.chunks_failed} failed chunks"


def _claims_without_effect(report: BatchReport, evidence: Evidence) -> Iterator[str]:
    there = {chunk.transcript_key: (chunk.session, chunk.chunk) for chunk in evidence.chunks}
    done = {place for key, place in there.items() if key in evidence.objects} | evidence.lettered.keys()
    for session in report.sessions:
        path = session_path(session.user_id, session.session_id)
        for chunk in session.chunk_numbers:
            if (path, chunk) not in done:
                yield f"counts {session.session_id}/{chunk}, which is neither transcribed nor a dead letter"


def _counted_twice(reports: Mapping[str, BatchReport], evidence: Evidence) -> Iterator[str]:
    """A chunk counts once, or once for each of its letters, and again if one was put back; forced ones at will."""
    truth = {(chunk.session, chunk.chunk): chunk for chunk in evidence.chunks}
    counted = Counter(
        (session_path(session.user_id, session.session_id), chunk)
        for report in reports.values()
        for session in report.sessions
        for chunk in session.chunk_numbers
    )
    for (path, chunk), times in counted.items():
        about = truth.get((path, chunk))
        most = max(1, len(evidence.lettered.get((path, chunk), ()))) + (about is not None and about.redriven)
        if times > most and not (about is not None and about.forced):
            yield f"{path.rpartition('/')[2]}/{chunk}: counted as worked on {times} times"


@dataclass(slots=True)
class _Account:
    """One actor's: transcripts it published, what its reports count, and what may be missing between them."""

    published: int = 0
    counted: int = 0
    excused: int = 0
    all_told: bool = True


def _wrong_totals(reports: Mapping[str, BatchReport], evidence: Evidence) -> Iterator[str]:
    """Per actor: no more counted than published, and no less where every run could tell of what it did.

    A process that was killed, broke or could not write its report tells of nothing, so its transcripts are counted by
    nobody. A job whose message could not be deleted, or whose publication was not answered, comes back and is counted
    as skipped.
    """
    for actor, account in _accounts(reports, evidence).items():
        if account.counted > account.published:
            yield f"{actor} reports {account.counted} transcribed and has published {account.published}"
        elif account.all_told and account.published - account.counted > account.excused:
            missing = account.published - account.counted - account.excused
            yield f"{actor} has published {account.published} and reports {account.counted}: {missing} untold"


def _accounts(reports: Mapping[str, BatchReport], evidence: Evidence) -> Mapping[str, _Account]:
    accounts: dict[str, _Account] = {}
    for put in evidence.by_fleet("s3:PutObject"):
        if not put.effective:
            continue
        account = accounts.setdefault(put.call.actor, _Account())
        key = parse_key(put.call.target)
        if key is not None and key.transcript_chunk is not None:
            account.published += successes(put)
            account.excused += lost_answer(put)
        elif put.call.target in reports:
            account.counted += reports[put.call.target].transcription.chunks_transcribed
    for actor, account in accounts.items():
        names = Counter(event.get("event") for event in evidence.events(actor))
        account.excused += names["job_will_be_retried"]
        broken = any(end.actor == actor and end.status != 0 for end in evidence.exits)
        account.all_told = not broken and not names["report_not_written"]
    return accounts


def logs_are_events(evidence: Evidence) -> Iterator[str]:
    """Every line of a log is a JSON object, and a traceback stands only in an error event.

    A last line without an end that is no event was cut off in the middle: the disk was full.
    """
    for actor, text in evidence.logs.items():
        for line in text.splitlines(keepends=True):
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if not isinstance(event, dict):
                if line.endswith("\n"):
                    yield f"{actor} wrote a line that is no event: {line[:120].rstrip()!r}"
            elif "Traceback (most recent call last)" in line and event.get("level") not in {"error", "critical"}:
                yield f"{actor} logged a traceback as {event.get('level')}: {event.get('event')}"
