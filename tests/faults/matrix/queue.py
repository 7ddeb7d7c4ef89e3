"""SQS misbehaves: messages twice and late, answers lost, handles gone stale, a queue emptied, messages of no use."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.harness.answers import blank, with_body
from tests.faults.harness.effects import Passage, Reply
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import (
    SQS_THROTTLED,
    UNAVAILABLE,
    Delay,
    DeliverTwice,
    Effect,
    Order,
    Reset,
    Rule,
    StaleReceipt,
)
from tests.faults.harness.scenario import Broken, Expected, Fault, Script
from tests.faults.harness.wire import Answer
from tests.faults.matrix.baseline import two_sessions

_JOBS: Final = "scribefleet-jobs$"
_DEAD_LETTERS: Final = "scribefleet-dead-letter$"
_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"
_WORKERS: Final = ("worker-1", "worker-2")
_PATIENCE: Final = 60.0
# Fewer than the template's ten, so that a worker need not die as often.
_RECEIVES: Final = 5


@dataclass(frozen=True)
class _RefuseSome(Effect):
    """SQS takes every other entry of a batch and refuses the rest; `for_good` when it blames the sender."""

    for_good: bool = False

    def inward(self, passage: Passage) -> Reply | None:
        entries: list[Mapping[str, Any]] = passage.call.body["Entries"]
        parameters = {**passage.call.body, "Entries": entries[::2]}
        done = json.loads(passage.ask("SendMessageBatch", parameters).body)
        refused = {"SenderFault": self.for_good, "Code": "InternalError", "Message": "a fault was injected"}
        failed = [{"Id": entry["Id"], **refused} for entry in entries[1::2]]
        return with_body(blank(passage.call), json.dumps({**done, "Failed": failed}).encode())


class _FirstTwice(DeliverTwice):
    """As `DeliverTwice`, but a message that comes for the second time is delivered once, as on a real queue."""

    def outward(self, passage: Passage, answer: Answer) -> Reply:
        messages = json.loads(answer.body).get("Messages", ()) if answer.status == 200 else ()
        first = [each for each in messages if each["Attributes"]["ApproximateReceiveCount"] == "1"]
        if first:
            super().outward(passage, with_body(answer, json.dumps({"Messages": first}).encode()))
        return answer


def _struck(
    on: str,
    effect: Effect,
    *,
    target: str | None = None,
    probability: float = 1.0,
    times: int | None = None,
    seconds_per_window: float = 0.15,
) -> Script:
    """The usual load, of which each worker's calls are struck."""

    def script(fleet: Fleet) -> None:
        two_sessions(fleet)
        for actor in _WORKERS:
            fleet.proxy.add(Rule(on, effect, actor=actor, target=target, probability=probability, times=times))
        fleet.start_workers(seconds_per_window=seconds_per_window)

    return script


def every_worker_dies(fleet: Fleet) -> None:
    """One chunk takes down whoever transcribes it, as often as SQS delivers it; then the model is right again."""
    queue = fleet.settings.jobs_queue_url
    policy = json.loads(
        fleet.cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"][
            "RedrivePolicy"
        ]
    )
    policy["maxReceiveCount"] = _RECEIVES
    fleet.cloud.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)})
    fleet.put_session("ada", "morning", transcribed=set(range(1, 13)) - {4})
    fleet.scan()
    fatal = fleet.proxy.add(Rule("model:TranscribeBegin", Order("crash"), target="^1/", times=_RECEIVES))
    for _ in range(_RECEIVES):
        worker = fleet.start_worker()
        if worker.wait(_PATIENCE) >= 0:
            raise Broken(f"a worker ended with {worker.returncode}, and was to be killed by its model")
    fleet.put_session("grace", "evening", range(1, 7))
    fleet.scan()
    fleet.start_worker()
    if fatal.struck != _RECEIVES:
        raise Broken(f"the model died {fatal.struck} times, and was to die {_RECEIVES} times")


def _given_up_by_sqs(fleet: Fleet) -> Expected:
    every_worker_dies(fleet)
    # AWS adds which queue a message came from, which people are shown as `received-too-often`; the embedded cloud
    # moves it as it is.
    return Expected({"unknown": 1})


def _scan_meets_refusals(fleet: Fleet) -> None:
    """Some refusals pass, so that the same scan sends again; some do not, so that the next scan has to."""
    fleet.put_session("ada", "morning")
    fleet.put_session("grace", "evening", transcribed={12})
    fleet.proxy.add(Rule("sqs:SendMessageBatch", _RefuseSome(), actor="scanner", nth=1))
    fleet.proxy.add(Rule("sqs:SendMessageBatch", _RefuseSome(for_good=True), actor="scanner", nth=3))
    first = fleet.scan()
    second = fleet.scan()
    said = (first["enqueued"], second["enqueued"])
    if sum(said) != 23 or not second["enqueued"]:
        raise Broken(f"two scans queued {said} of 23 gaps")
    fleet.start_workers()


def _purged(fleet: Fleet) -> None:
    """The ledger still says `queued`, so scans leave the gaps: `scribefleet rerun` is what operators have for it."""
    two_sessions(fleet)
    fleet.start_worker(seconds_per_window=1)
    fleet.proxy.wait_for("s3:PutObject", target=_TRANSCRIPT, timeout=_PATIENCE)
    fleet.cloud.sqs.purge_queue(QueueUrl=fleet.settings.jobs_queue_url)
    if said := fleet.scan()["enqueued"]:
        raise Broken(f"a scan queued {said} gaps whose jobs count as queued")
    if not sum([_rerun(fleet, f"{session.user}/{session.session}") for session in fleet.sessions]):
        raise Broken("nothing was left to run again, so the purge struck too late")
    fleet.start_worker("worker-2")


def _rerun(fleet: Fleet, session: str) -> int:
    """Run a session's gaps again, as an operator; returns how many jobs were queued."""
    command = fleet.start_command("operator", "rerun", session, "--json")
    if status := command.wait(_PATIENCE):
        raise Broken(f"scribefleet rerun {session} ended with {status}: {command.log()[-300:]}")
    return len(json.loads(command.log()).get("queued", ()))


def _bad_messages(fleet: Fleet) -> Expected:
    """Every kind of message that is no job, between those that are."""
    fleet.put_session("ada", "morning", range(1, 7))
    good = {
        "version": 1,
        "kind": "chunk",
        "bucket": fleet.settings.bucket,
        "userId": "ada",
        "sessionId": "noon",
        "sessionPath": "users/ada/audio/sessions/noon",
        "chunk": "001",
        "audioKey": "users/ada/audio/sessions/noon/chunk-001.flac",
        "audioSize": 2000,
        "transcriptKey": "users/ada/audio/sessions/noon/transcription-chunk-001.json",
        "enqueuedAt": "2026-01-01T00:00:00Z",
    }
    escape = "users/ada/audio/sessions/noon/../../../../batch-lock.json"
    bad: tuple[tuple[str, str], ...] = (
        ("message-not-json", "not JSON at all"),
        ("message-not-json", "[" * 100_000),
        ("message-not-json", '"' + "x" * 200_000 + '"'),
        ("message-foreign-bucket", json.dumps({**good, "bucket": "somebody-elses"})),
        ("message-invalid", json.dumps({**good, "transcriptKey": escape})),
        ("message-invalid", json.dumps({**good, "audioKey": "../../etc/passwd"})),
        ("message-invalid", json.dumps({**good, "audioSize": -1})),
        ("message-unknown-kind", json.dumps({**good, "kind": "file"})),
        ("message-unknown-version", json.dumps({**good, "version": 2})),
        ("audio-gone", json.dumps(good)),
    )
    for _, body in bad[::2]:
        fleet.cloud.sqs.send_message(QueueUrl=fleet.settings.jobs_queue_url, MessageBody=body)
    fleet.scan()
    for _, body in bad[1::2]:
        fleet.cloud.sqs.send_message(QueueUrl=fleet.settings.jobs_queue_url, MessageBody=body)
    fleet.start_worker()
    reasons = [reason for reason, _ in bad]
    return Expected({reason: reasons.count(reason) for reason in reasons}, injected=len(bad))


def _dead_letters_refused(fleet: Fleet) -> None:
    """Two chunks are no audio; each worker's first dead letters are refused for longer than it tries in place."""
    session = fleet.put_session("ada", "morning")
    for chunk in ("003", "008"):
        key = f"{session.path}/chunk-{chunk}.flac"
        fleet.cloud.s3.put_object(Bucket=fleet.settings.bucket, Key=key, Body=b"<html>502 Bad Gateway</html>")
        session.fails_with[chunk] = "audio-not-audio"
    fleet.scan()
    for actor in _WORKERS:
        fleet.proxy.add(Rule("sqs:SendMessage", UNAVAILABLE, actor=actor, target=_DEAD_LETTERS, times=10))
    fleet.start_workers()


FAULTS: Final = (
    Fault(
        name="sqs-delivers-twice",
        group="queue",
        what="Every message is visible again as soon as a worker has it, so that another one gets it, too.",
        script=_struck("sqs:ReceiveMessage", _FirstTwice(), target=_JOBS),
        settings={"receive_max_jobs": 5},
    ),
    Fault(
        name="sqs-deletes-late",
        group="queue",
        what="Deletions take longer than a lease, so that messages come again after their job was done.",
        script=_struck("sqs:DeleteMessage", Delay(5), target=_JOBS, times=4),
    ),
    Fault(
        name="sqs-deletes-with-stale-handle",
        group="queue",
        what="The receipt handles of finished jobs have gone stale: SQS says done, and deletes nothing.",
        script=_struck("sqs:DeleteMessage", StaleReceipt(), target=_JOBS, times=5),
    ),
    Fault(
        name="sqs-extensions-refused",
        group="queue",
        what="SQS refuses the first extensions of leases in mid-work.",
        script=_struck("sqs:ChangeMessageVisibilityBatch", StaleReceipt(), times=2, seconds_per_window=2),
    ),
    Fault(
        name="sqs-throttled",
        group="queue",
        what="SQS throttles three in ten of the workers' calls, throughout.",
        script=_struck("sqs:*", SQS_THROTTLED, probability=0.3),
    ),
    Fault(
        name="sqs-receive-answers-lost",
        group="queue",
        what="A third of the answers with messages are lost on their way.",
        script=_struck("sqs:ReceiveMessage", Reset(after=True), target=_JOBS, probability=0.33),
    ),
    Fault(
        name="sqs-send-refused-in-part",
        group="queue",
        what="Of a scan's batches SQS refuses every other message, some until the same scan sends them again, some for "
        "good.",
        script=_scan_meets_refusals,
    ),
    Fault(
        name="queue-purged",
        group="queue",
        what="The queue is purged in mid-work; scans take its jobs for queued, and an operator runs them again.",
        script=_purged,
        injected=1,
    ),
    Fault(
        name="bad-messages",
        group="queue",
        what="Messages that are no job, or not the fleet's, lie between those that are.",
        script=_bad_messages,
        quick=True,
        settings={"visibility_timeout_seconds": 20},
    ),
    Fault(
        name="dead-letters-refused",
        group="queue",
        what="The dead-letter queue takes no message for a while.",
        script=_dead_letters_refused,
    ),
    Fault(
        name="every-worker-dies-of-it",
        group="queue",
        what="A chunk kills every worker that transcribes it, until SQS has delivered its message too often.",
        script=_given_up_by_sqs,
        settings={"visibility_timeout_seconds": 2},
    ),
)
