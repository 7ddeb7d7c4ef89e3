"""Tells people outside the fleet what became of runs, sessions and jobs: one SNS topic, filtered by attributes.

It words and sends; who has something to tell decides when. A message names sessions by their ids and holds no other
personal data: no user id (so no key and no session path either), no error's detail, nothing that was said.
Format: Amazon SNS Developer Guide, "Publish" (`MessageStructure: json`) and "Message filtering".
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from shared.aws import clients
from shared.clock import Clock, SystemClock, human_duration, iso
from shared.errors import AWS_ERRORS, cause_of
from shared.formats.layout import REPORTS_PREFIX
from shared.reporting.reports import BatchReport, ReportError
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = structlog.get_logger()

Event = Literal["run-finished", "run-failed", "session-completed", "dead-letter"]

SCHEMA: Final = 1
# SNS takes a subject of fewer than 100 characters and 256 KiB in all; a phone shows a line or two.
_MAX_SUBJECT = 99
_MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell.

    Attributes:
        status: how it went, in the words of the event: a report's status, `completed` or `partial` of a session,
            `failed` of jobs.
        text: one or two sentences for people.
        facts: the event's own part of the JSON body, JSON-able, named in camelCase.
    """

    event: Event
    status: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_ended(report: BatchReport, *, crashed: bool = False) -> Notification:
    """A run and its report. `crashed`: the worker broke, rather than being asked to stop."""
    counts, failed = report.transcription, crashed or report.status == "failed"
    text = (
        f"The run {'failed' if failed else 'ended'} ({report.status}): of {counts.chunks_found:,} jobs "
        f"{counts.chunks_transcribed:,} transcribed, "
        f"{counts.chunks_failed:,} failed, {counts.chunks_skipped:,} skipped in {report.gpu.runtime_human} "
        f"for ${report.gpu.cost_usd:.4f}."
    )
    if report.reason:
        text += f" Reason: {report.reason}."
    facts = {
        "reportKey": f"{REPORTS_PREFIX}{report.report_id}.json" if report.report_id else None,
        "reason": report.reason,
        "instanceId": report.gpu.instance_id,
        "chunksTranscribed": counts.chunks_transcribed,
        "chunksFailed": counts.chunks_failed,
        "chunksSkipped": counts.chunks_skipped,
        "sessions": len(report.sessions),
        "audioSeconds": counts.audio_seconds,
        "runtimeSeconds": report.gpu.runtime_seconds,
        "costUSD": report.gpu.cost_usd,
    }
    return Notification("run-failed" if failed else "run-finished", report.status, text, facts)


def session_completed(
    session_id: str,
    status: Literal["completed", "partial"],
    *,
    chunk_count: int,
    missing_chunks: Sequence[str],
    duration_seconds: float,
    word_count: int,
) -> Notification:
    """A session transcript was written. `missing_chunks` have no transcript; `duration_seconds` are of audio."""
    length = human_duration(duration_seconds)
    text = f"Session {printable(session_id)} is {status}: {length} of audio, {word_count:,} words"
    text += f"; {len(missing_chunks):,} of {chunk_count:,} chunks are missing." if missing_chunks else "."
    facts = {
        "sessionId": session_id,
        "chunkCount": chunk_count,
        "missingCount": len(missing_chunks),
        "missingChunks": list(missing_chunks[:_MAX_NAMED]),
        "durationSeconds": round(duration_seconds, 3),
        "wordCount": word_count,
    }
    return Notification("session-completed", status, text, facts)


def dead_letters(letters: Sequence[ReportError]) -> Notification:
    """Jobs that went to the dead-letter queue: one message for many, or a broken session would ring all day."""
    reasons = Counter(letter.reason for letter in letters)
    sessions = Counter(letter.session_id for letter in letters if letter.session_id)
    jobs = "1 job" if len(letters) == 1 else f"{len(letters):,} jobs"
    why = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(5))
    where = f" of {len(sessions):,} session{'s' if len(sessions) > 1 else ''}" if sessions else ""
    facts = {
        "count": len(letters),
        "reasons": dict(reasons.most_common(_MAX_NAMED)),
        "sessionCount": len(sessions),
        "sessions": [{"sessionId": name, "jobs": count} for name, count in sessions.most_common(_MAX_NAMED)],
    }
    return Notification("dead-letter", "failed", f"{jobs}{where} went to the dead-letter queue: {why}.", facts)


def printable(text: str) -> str:
    """`text` with a blank for each control character: ids come from outside."""
    return "".join(character if character.isprintable() else " " for character in text)


def publication(notification: Notification, fleet: str, at: str) -> dict[str, Any]:
    """What SNS's Publish takes for a notification, the topic aside.

    E-mail and SMS get the text; every other protocol, SQS and Lambda and HTTPS among them, the JSON body.
    """
    body = {
        "schema": SCHEMA,
        "event": notification.event,
        "status": notification.status,
        "fleet": fleet,
        "at": at,
        "text": notification.text,
        **notification.facts,
    }
    text = f"{fleet}: {notification.text}"
    attributes = {"event": notification.event, "status": notification.status, "fleet": fleet}
    return {
        "Subject": f"{fleet}: {notification.event.replace('-', ' ')} ({notification.status})"[:_MAX_SUBJECT],
        "MessageStructure": "json",
        "Message": json.dumps({"default": json.dumps(body), "email": text, "sms": text}),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }


def nobody() -> "Notifier":
    """A notifier that tells nobody."""
    return Notifier(None, "", "", SystemClock())


class Notifier:
    """Sends notifications. One that cannot be sent is logged and never raises: it is not worth a run.

    Args:
        sns: `None` tells nobody.
    """

    def __init__(self, sns: "SNSClient | None", topic_arn: str, fleet: str, clock: Clock) -> None:
        self._sns = sns
        self._topic_arn = topic_arn
        self._fleet = fleet
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> "Notifier":
        """A notifier with a client of its own, from boto3's environment; without a topic it tells nobody."""
        sns = clients.sns_client() if settings.notify_topic_arn else None
        return cls(sns, settings.notify_topic_arn, settings.fleet_name, clock)

    def notify(self, notification: Notification) -> bool:
        """Send it; returns whether SNS took it. Takes some 15 s at most, by the client's time-outs."""
        if self._sns is None:
            return False
        try:
            message = publication(notification, self._fleet, iso(self._clock.now()))
            self._sns.publish(TopicArn=self._topic_arn, **message)
        except AWS_ERRORS as error:
            # Its text may say why SNS refused, and holds nothing that was sent.
            log.error("not_notified", about=notification.event, error=cause_of(error))
            return False
        log.info("notified", about=notification.event, status=notification.status)
        return True
