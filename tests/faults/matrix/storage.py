"""S3 misbehaves: refusals, lost and broken answers, writes that meet each other, and recordings that change.

The faults that strike calls at random strike workers alone; what listings and looks of scans bear is in faults of
their own.
"""

import time
from typing import Final

from deploy.local.cloud import EmbeddedCloudError
from shared.formats.layout import transcript_key
from tests.faults.harness.audio import coded_chunk
from tests.faults.harness.call import Call
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import (
    CONFLICT,
    EXPIRED_TOKEN,
    INTERNAL,
    PRECONDITION,
    SKEWED,
    SLOW_DOWN,
    UNAVAILABLE,
    Effect,
    Hang,
    Reorder,
    Reset,
    Rule,
    Switch,
    Then,
    Truncate,
    Twice,
)
from tests.faults.harness.scenario import Broken, Fault, Script
from tests.faults.matrix.baseline import two_sessions

_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"
_AUDIO: Final = r"/chunk-\d+\.flac$"
_WORKERS: Final = ("worker-1", "worker-2")
_PATIENCE: Final = 60.0
# These faults are not about leases, and a busy machine must not make them so.
_LONG_LEASES: Final = {"visibility_timeout_seconds": 20}


def _struck(
    on: str, effect: Effect, *, target: str | None = None, probability: float = 1.0, times: int | None = None
) -> Script:
    """The usual load, of which each worker's calls are struck."""

    def script(fleet: Fleet) -> None:
        two_sessions(fleet)
        for actor in _WORKERS:
            fleet.proxy.add(Rule(on, effect, actor=actor, target=target, probability=probability, times=times))
        fleet.start_workers()

    return script


def _listing_fails_midway(fleet: Fleet) -> None:
    fleet.put_session("ada", "morning")
    fleet.put_session("grace", "evening")
    fleet.proxy.add(Rule("s3:ListObjectsV2", INTERNAL, actor="scanner", target="^users/grace/$", times=3))
    try:
        fleet.scan()
    except EmbeddedCloudError:
        fleet.scan()
    else:
        raise Broken("a scan that could not list a user's recordings succeeded all the same")
    fleet.start_workers()


def _audio_replaced(fleet: Fleet) -> None:
    """What a scan has seen is cut off; by the time a worker comes to it the recorder has stored the whole."""
    session = fleet.put_session("ada", "morning")
    keys = {number: f"{session.path}/chunk-{number:03d}.flac" for number in (3, 4, 9)}
    for number, key in keys.items():
        _store(fleet, key, coded_chunk(session.number, number)[:200])
    fleet.scan()
    for number, key in keys.items():
        _store(fleet, key, coded_chunk(session.number, number))
    fleet.start_workers()


def _audio_deleted(fleet: Fleet) -> None:
    two_sessions(fleet)
    session = fleet.sessions[0]
    for chunk in ("004", "009"):
        fleet.cloud.s3.delete_object(Bucket=fleet.settings.bucket, Key=f"{session.path}/chunk-{chunk}.flac")
        session.fails_with[chunk] = "audio-gone"
    fleet.start_workers()


def _live_before_work(fleet: Fleet) -> None:
    two_sessions(fleet)
    fleet.put_session("ada", "morning", chunks=(4, 5), transcribed=(4, 5))
    fleet.start_workers()


def _live_in_mid_work(fleet: Fleet) -> None:
    """The recorder's transcripts come while the model hears the same chunks."""
    two_sessions(fleet)
    late: list[str] = []

    def transcribe_live(_call: Call) -> None:
        if not late:
            late.append("005")
            fleet.put_session("ada", "morning", chunks=(5,), transcribed=(5,))

    key = transcript_key(fleet.sessions[0].path, "005")
    fleet.proxy.add(Rule("s3:PutObject", Then(transcribe_live), target=f"{key}$", times=1))
    fleet.start_workers()
    fleet.proxy.wait_for("s3:PutObject", target=f"{key}$", timeout=_PATIENCE)


def _away(on: str, seconds: float, *, target: str | None = None) -> Script:
    """S3 refuses all such calls of the workers for so long, from their first transcript on."""

    def script(fleet: Fleet) -> None:
        two_sessions(fleet)
        away = Switch()
        for actor in _WORKERS:
            fleet.proxy.add(Rule(on, UNAVAILABLE, actor=actor, target=target, during=away))
        fleet.start_workers(seconds_per_window=0.5)
        fleet.proxy.wait_for("s3:PutObject", target=_TRANSCRIPT, timeout=_PATIENCE)
        with away.opened():
            time.sleep(seconds)
            if not fleet.unsettled():
                raise Broken("all was done while S3 was away, so nothing has had to wait for it")
            if letters := fleet.dead_letters():
                raise Broken(f"{len(letters)} jobs were given up, and nothing is wrong with them")

    return script


def _store(fleet: Fleet, key: str, body: bytes) -> None:
    fleet.cloud.s3.put_object(Bucket=fleet.settings.bucket, Key=key, Body=body)


FAULTS: Final = (
    Fault(
        name="s3-internal-errors",
        group="storage",
        what="S3 answers a fifth of the workers' calls with 500 InternalError, throughout.",
        script=_struck("s3:*", INTERNAL, probability=0.2),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-slow-down-third",
        group="storage",
        what="S3 answers three in ten of the workers' calls with 503 SlowDown, throughout.",
        script=_struck("s3:*", SLOW_DOWN, probability=0.3),
        bounds_seconds=90,
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-connections-reset-before",
        group="storage",
        what="A fifth of the workers' connections to S3 are reset before their call is carried out.",
        script=_struck("s3:*", Reset(), probability=0.2),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-connections-reset-after",
        group="storage",
        what="A fifth of the workers' connections to S3 are reset after their call was carried out.",
        script=_struck("s3:*", Reset(after=True), probability=0.2),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-audio-truncated",
        group="storage",
        what="Four in ten answers with audio break off in the middle.",
        script=_struck("s3:GetObject", Truncate(300), target=_AUDIO, probability=0.4),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-read-hangs",
        group="storage",
        what="S3 takes a request for audio and says nothing, until the worker gives up.",
        script=_struck("s3:GetObject", Hang(30), target=_AUDIO, times=1),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-write-hangs",
        group="storage",
        what="S3 writes a transcript and says nothing, until the worker gives up.",
        script=_struck("s3:PutObject", Hang(30, carried_out=True), target=_TRANSCRIPT, times=1),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-write-conflicts",
        group="storage",
        what="S3 answers the first writes of transcripts with 409 ConditionalRequestConflict.",
        script=_struck("s3:PutObject", CONFLICT, target=_TRANSCRIPT, times=3),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-write-refused-without-cause",
        group="storage",
        what="S3 answers the first writes of transcripts with 412 PreconditionFailed, though there are none yet.",
        script=_struck("s3:PutObject", PRECONDITION, target=_TRANSCRIPT, times=2),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-write-answers-lost",
        group="storage",
        what="Half of all transcripts are written and the answer is lost.",
        script=_struck("s3:PutObject", Reset(after=True), target=_TRANSCRIPT, probability=0.5),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-writes-twice",
        group="storage",
        what="Every write of a transcript is carried out twice, and the second answer, 412, is the one that arrives.",
        script=_struck("s3:PutObject", Twice(answer="last"), target=_TRANSCRIPT),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-writes-reordered",
        group="storage",
        what="Writes of transcripts overtake each other.",
        script=_struck("s3:PutObject", Reorder(), target=_TRANSCRIPT),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-token-expired-once",
        group="storage",
        what="S3 refuses one read of audio by each worker with ExpiredToken.",
        script=_struck("s3:GetObject", EXPIRED_TOKEN, target=_AUDIO, times=1),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-clock-skewed-once",
        group="storage",
        what="S3 refuses two looks at transcripts by each worker with RequestTimeTooSkewed.",
        script=_struck("s3:HeadObject", SKEWED, target=_TRANSCRIPT, times=2),
        settings=_LONG_LEASES,
    ),
    Fault(
        name="s3-listing-fails-midway",
        group="storage",
        what="A scan can list the first user's recordings and not the second's; the next scan can.",
        script=_listing_fails_midway,
    ),
    Fault(
        name="audio-replaced-before-work",
        group="storage",
        what="A scan finds audio that is cut off; the recorder stores it whole before a worker comes to it.",
        script=_audio_replaced,
        injected=3,
    ),
    Fault(
        name="audio-deleted-before-work",
        group="storage",
        what="Audio is deleted after a scan has queued its jobs.",
        script=_audio_deleted,
        injected=2,
    ),
    Fault(
        name="live-transcript-before-work",
        group="storage",
        what="The recorder stores transcripts of its own after a scan has queued their jobs.",
        script=_live_before_work,
        injected=2,
    ),
    Fault(
        name="live-transcript-in-mid-work",
        group="storage",
        what="The recorder stores a transcript of its own just before the worker writes one of the same chunk.",
        script=_live_in_mid_work,
    ),
    Fault(
        name="s3-away-two-minutes",
        group="storage",
        what="S3 answers every call with 503 for two minutes, those about the lock too, so that nobody can read it.",
        script=_away("s3:*", 120),
        bounds_seconds=150,
    ),
    Fault(
        name="s3-away-without-lock",
        group="storage",
        what="S3 answers every call with 503 for a while, in a fleet that has no lock to look at.",
        script=_away("s3:*", 20),
        settings={"lock_enabled": False, "retry_attempts": 1, "max_receives": 2},
    ),
    Fault(
        name="s3-writes-away",
        group="storage",
        what="S3 can be read and takes no transcript for a while.",
        script=_away("s3:PutObject", 20, target=_TRANSCRIPT),
        settings={"retry_attempts": 1, "max_receives": 2},
    ),
)
