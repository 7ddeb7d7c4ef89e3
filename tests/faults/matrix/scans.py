"""Faults of scans: killed half-way, two at once, beside workers, in a hold; and buckets that hold odd things."""

import threading
from functools import partial
from typing import Final

from shared.aws.sqs import queue_depth
from shared.formats.layout import metadata_key
from tests.faults.harness.call import Call
from tests.faults.harness.effects import DENIED, Kill, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.later import late_scan
from tests.faults.harness.processes import HarnessProcess
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Broken, Expected, Fault
from tests.faults.harness.stillness import keeps_still
from tests.faults.matrix.baseline import two_sessions

_PATIENCE: Final = 90.0
_AFTER_CLAIMS: Final = 16 * 60.0  # shared.state.ledger.CLAIM_LASTS and a minute
_OLD_ENOUGH: Final = 150
_GAPS: Final = 24
_PENDING: Final = r"pending-jobs\.json$"


# --- killed, and two at once


def _killed(fleet: Fleet, on: str, target: str | None, nth: int, *, before: bool, then: tuple[int, int] | None) -> None:
    """A scan dies; the next one queues what it had not claimed, and the one after the claims' end all the rest."""
    fleet.put_session("ada", "morning", range(1, _GAPS + 1))
    fleet.proxy.add(Rule(on, Kill(before=before), actor="scanner-1", target=target, nth=nth))
    killed = late_scan(fleet, "scanner-1")
    if killed.wait(_PATIENCE) != -9:
        raise Broken(f"the scan was not killed: {killed.returncode}")
    queued = fleet.scan()["enqueued"], _queued(late_scan(fleet, ahead=_AFTER_CLAIMS))
    if then is not None and queued != then:
        raise Broken(f"the next scans queued {queued} gaps, and not {then}")
    fleet.start_workers()


def _two_at_once(fleet: Fleet) -> None:
    """Both have found the same gaps when they begin to queue them."""
    fleet.put_session("ada", "morning", range(1, _GAPS + 1))
    both = threading.Barrier(2)

    def wait(_call: Call) -> None:
        both.wait(_PATIENCE)

    for actor in ("scanner-1", "scanner-2"):
        fleet.proxy.add(Rule("s3:PutObject", Then(wait), actor=actor, target=_PENDING, nth=1))
    scans = [late_scan(fleet, actor) for actor in ("scanner-1", "scanner-2")]
    queued = [_queued(scan) for scan in scans]
    visible = queue_depth(fleet.cloud.sqs, fleet.settings.jobs_queue_url).visible
    if sum(queued) != _GAPS or visible != _GAPS:
        raise Broken(f"two scans have queued {queued} of {_GAPS} gaps: {visible} messages")
    fleet.start_workers()


def _queued(scan: HarnessProcess) -> int:
    """How many gaps a scan has queued, when it is over."""
    if scan.wait(_PATIENCE):
        raise Broken(f"{scan.actor} failed: {scan.log()[-300:]}")
    (said,) = scan.events("scan")
    return int(said["queued"])


# --- beside workers and live sessions


def _beside_workers(fleet: Fleet) -> Expected:
    """Scan after scan, while workers fill the gaps that it finds."""
    two_sessions(fleet)
    fleet.start_workers(seconds_per_window=0.4)
    fleet.proxy.wait_for("model:TranscribeBegin", timeout=_PATIENCE)
    scans = 0
    while fleet.unsettled():
        fleet.scan()
        scans += 1
    if not scans:
        raise Broken("there was no scan beside the workers")
    return Expected(injected=scans)


def _in_a_hold(fleet: Fleet) -> None:
    fleet.put_session("ada", "morning")
    fleet.start_worker("worker-1")
    fleet.take_lock("live", "now")
    said = fleet.scan()
    if said["enqueued"] or "live session now" not in str(said["skipped"]) or not said["reportId"]:
        raise Broken(f"a scan in a hold must queue nothing, and say why: {said}")
    keeps_still(fleet, "worker-1", looks=3)
    fleet.release_lock("live", "now")
    if fleet.scan()["enqueued"] != 12:
        raise Broken("the next scan did not queue what was skipped")


# --- odd things in the bucket


_STRAYS: Final = (
    "users/readme.txt",
    "users/ada/notes.txt",
    "users//audio/sessions/s/chunk-001.flac",
    "users/ada/audio/sessions//chunk-001.flac",
    "users/ada/audio/sessions/morning/",
    "users/ada/audio/sessions/morning/chunk-.flac",
    "users/ada/audio/sessions/morning/chunk-0x1.flac",
    "users/ada/audio/sessions/morning/chunk-001.exe",
    "users/ada/audio/sessions/morning/chunk-001.flac.tmp",
    "users/ada/audio/sessions/morning/old/chunk-001.flac",
    "users/ada/audio/sessions/morning/chunk-\u0661.flac",
    "users/ada/audio/sessions/" + "s" * 975 + "/chunk-001.flac",
)


def _odd_keys(fleet: Fleet) -> Expected:
    """Whatever lies beside them, sessions get their transcripts; each key that fits nothing is counted and left."""
    fleet.put_session("ada", "morning", range(1, 7))
    fleet.put_session("ada & <co> + 100%", 'what? #1 "übung"; a=b,c', range(1, 7))
    for key in _STRAYS:
        fleet.recordings.put_stray(key, b"nothing of the fleet's")
    said = fleet.scan()
    if (said["ignoredKeys"], said["enqueued"]) != (len(_STRAYS), 12):
        raise Broken(f"{said['ignoredKeys']} of {len(_STRAYS)} keys were ignored, and {said['enqueued']} gaps queued")
    fleet.start_workers()
    return Expected(injected=len(_STRAYS))


def _odd_chunks(fleet: Fleet) -> None:
    """One chunk holds nothing, one no audio; one is there twice, as a file of its own and as what is left of it."""
    session = fleet.put_session("ada", "morning")
    for chunk, body, reason in (("003", b"", "audio-empty"), ("008", b"<html>" * 99, "audio-not-audio")):
        _put(fleet, f"{session.path}/chunk-{chunk}.flac", body)
        session.fails_with[chunk] = reason
    _put(fleet, f"{session.path}/chunk-005.webm", b"\x1aE\xdf\xa3")
    if fleet.scan()["enqueued"] != 12:
        raise Broken("each chunk is one gap")
    fleet.start_workers()


def _odd_metadata(fleet: Fleet) -> None:
    """What a recorder says about a session is garbage, or S3 does not give it out: the session goes without."""
    morning = fleet.put_session("ada", "morning")
    evening = fleet.put_session("grace", "evening")
    fleet.recordings.put_stray(metadata_key(morning.path), b'\xff{"language": ')
    fleet.recordings.put_metadata(evening, b'{"language": "en"}')
    denied = fleet.proxy.add(Rule("s3:GetObject", DENIED, target=r"evening/metadata\.json$"))
    fleet.scan()
    worker = fleet.start_worker("worker-1")
    fleet.settled()
    worker.wait_for_event("session_not_finalised", _PATIENCE)
    fleet.proxy.remove(denied)  # the next scan makes up for it


def _going_on(fleet: Fleet) -> None:
    """The recorder is still at it: young chunks are left to the live path, and come in when they are old enough."""
    fleet.put_session("ada", "morning", range(1, 9))
    _left_alone(fleet, 8)
    # The worker's clock is where the later scan's is, or it would wait until then with the session's transcript.
    fleet.start_worker("worker-1", clock_offset=_OLD_ENOUGH)
    _queues_later(fleet, "scanner-later", 8)
    fleet.settled()
    fleet.put_session("ada", "morning", range(9, 13))
    _left_alone(fleet, 4)
    _queues_later(fleet, "scanner-last", 4)


def _left_alone(fleet: Fleet, young: int) -> None:
    said = fleet.scan()
    if (said["enqueued"], said["tooYoung"]) != (0, young):
        raise Broken(f"of {young} young chunks a scan has queued {said['enqueued']}")


def _queues_later(fleet: Fleet, actor: str, gaps: int) -> None:
    if (queued := _queued(late_scan(fleet, actor, ahead=_OLD_ENOUGH))) != gaps:
        raise Broken(f"when they were old enough {queued} of {gaps} chunks were queued")


def _put(fleet: Fleet, key: str, body: bytes) -> None:
    fleet.cloud.s3.put_object(Bucket=fleet.settings.bucket, Key=key, Body=body)


# What the next two scans queue of 24 gaps; unknown where a scan dies while it writes several claims side by side.
_KILLS: Final = {
    "before-listing": ("s3:ListObjectsV2", None, 2, True, (24, 0), "while it lists the bucket"),
    "before-pending": ("s3:PutObject", _PENDING, 1, True, (24, 0), "before it writes pending-jobs.json"),
    "while-claiming": ("dynamodb:UpdateItem", None, 5, True, None, "while it claims its first gaps"),
    "before-send": ("sqs:SendMessageBatch", None, 1, True, (14, 10), "between the claims and their messages"),
    "after-send": ("sqs:SendMessageBatch", None, 1, False, (14, 10), "when it has sent its first messages"),
    "while-confirming": ("dynamodb:UpdateItem", None, 11, True, None, "while it confirms its first messages"),
    "half-way": ("sqs:SendMessageBatch", None, 2, True, (4, 10), "before it sends its second batch"),
}

FAULTS: Final = (
    *(
        Fault(
            name=f"kill-scan-{name}",
            group="scans",
            what=f"A scan is killed {what}.",
            script=partial(_killed, on=on, target=target, nth=nth, before=before, then=then),
        )
        for name, (on, target, nth, before, then, what) in _KILLS.items()
    ),
    Fault(
        name="two-scans-at-once",
        group="scans",
        what="Two scans find the same gaps and queue them at the same moment.",
        script=_two_at_once,
    ),
    Fault(
        name="scans-beside-workers",
        group="scans",
        what="Scan follows scan while workers fill the gaps.",
        script=_beside_workers,
    ),
    Fault(
        name="scan-in-a-hold",
        group="scans",
        what="A scan comes while a live session holds the lock.",
        script=_in_a_hold,
        injected=1,
        quick=True,
    ),
    Fault(
        name="odd-keys",
        group="scans",
        what="The bucket holds keys that fit nothing, and users and sessions with odd names.",
        script=_odd_keys,
    ),
    Fault(
        name="odd-chunks",
        group="scans",
        what="Of a session one chunk is empty, one is no audio, and one is there in two formats.",
        script=_odd_chunks,
        injected=3,
    ),
    Fault(
        name="odd-metadata",
        group="scans",
        what="A session's metadata.json is garbage, and another's cannot be read.",
        script=_odd_metadata,
    ),
    Fault(
        name="session-goes-on",
        group="scans",
        what="A session is scanned while it goes on, and gets more chunks after that.",
        script=_going_on,
        settings={"scan_min_age_seconds": _OLD_ENOUGH - 30},
        injected=2,
    ),
)
