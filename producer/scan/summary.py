"""A scan's outcome as JSON, the same from the Lambda and the command line."""

from typing import Any

from producer.scan.scan import ScanResult


def summary(result: ScanResult) -> dict[str, Any]:
    """pending-jobs.json's fields without its sessions, and what was done about gaps and unfinished sessions."""
    head = result.pending.model_dump(by_alias=True, mode="json", exclude={"sessions"})
    outcome, finalised = result.enqueued, result.finalised
    return {
        **head,
        "keysListed": result.tally.keys,
        "tooYoung": result.tally.too_young,
        "lockStatus": result.lock.describe(),
        "skipped": result.skipped,
        "reportId": result.report_id,
        "enqueued": outcome.queued if outcome else 0,
        "alreadyQueued": outcome.already_queued if outcome else 0,
        "notQueued": outcome.failed if outcome else 0,
        "postponed": outcome.postponed if outcome else 0,
        "sessionsToFinalise": result.unfinished,
        "sessionsFinalised": finalised.written if finalised else 0,
        "sessionsNotFinalised": finalised.failed if finalised else 0,
    }
