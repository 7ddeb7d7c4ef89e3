"""A scan gives sessions the transcripts that their workers did not come to, and nothing of it can harm the scan."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from structlog.testing import capture_logs

from producer.handler import handler
from producer.scan.scan import Scanner, ScanResult
from shared.aws.clients import sns_client
from shared.formats.layout import session_path
from shared.formats.messages import ChunkJob, chunk_job
from shared.session.transcript import assemble
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.producer.conftest import Age

YOUNG_FOR = 120


@dataclass
class Site:
    """A bucket with sessions, and a scanner that looks at it."""

    cloud: "Cloud"
    clock: "FakeClock"
    age: "Age"
    ledger: Ledger

    def store(self, session: str, *, chunks: int = 2, transcribed: int = 2, age: float = 600) -> str:
        """A session of alice's whose first chunks have transcripts; returns its path."""
        for number in range(1, chunks + 1):
            self.cloud.put_audio("alice", session, f"{number:03d}")
            if number <= transcribed:
                words = {"segments": [{"text": f"Word {number}.", "start": 1, "end": 2}]}
                self.cloud.put_transcript("alice", session, f"{number:03d}", words)
        path = session_path("alice", session)
        self.age(f"{path}/", age)
        return path

    def scanner(self, **settings: Any) -> Scanner:
        chosen = self.cloud.settings_with(**{"scan_min_age_seconds": YOUNG_FOR, **settings})
        return Scanner.from_settings(chosen, self.clock)

    def scan(self, *, enqueue: bool = True, seconds: float = inf, **settings: Any) -> ScanResult:
        return self.scanner(**settings).scan(enqueue=enqueue, seconds_to_finalise=lambda: seconds)

    def transcript(self, path: str) -> dict[str, Any] | None:
        listed = self.cloud.s3.list_objects_v2(Bucket=self.cloud.settings.bucket, Prefix=f"{path}/transcription.json")
        if not listed["KeyCount"]:
            return None
        body = self.cloud.s3.get_object(Bucket=self.cloud.settings.bucket, Key=f"{path}/transcription.json")["Body"]
        content: dict[str, Any] = json.loads(body.read())
        return content

    def job(self, path: str, chunk: str) -> ChunkJob:
        """The job of a chunk as a scan makes it."""
        key = f"{path}/chunk-{chunk}.webm"
        now = self.clock.now()
        return chunk_job(bucket=self.cloud.settings.bucket, audio_key=key, audio_size=5, enqueued_at=now)


@pytest.fixture
def site(cloud: "Cloud", clock: "FakeClock", age: "Age") -> Site:
    return Site(cloud, clock, age, Ledger(cloud.dynamodb, cloud.settings, clock))


def calls_of(scanner: Scanner) -> list[tuple[str, str]]:
    """The scanner's calls of S3 from now on, that of a presigned URL included: operation and key."""
    calls: list[tuple[str, str]] = []
    scanner.s3.meta.events.register(
        "before-parameter-build.s3", lambda params, model, **_: calls.append((model.name, params.get("Key", "")))
    )
    return calls


def outcome(result: ScanResult) -> tuple[int, int, int]:
    """Sessions that were unfinished, those that got their transcript, and those for which it failed."""
    done = result.finalised
    assert done is not None
    return result.unfinished, done.written, done.failed


def test_what_a_worker_left_that_was_killed_after_its_last_chunk_is_finished_by_the_next_scan(site: Site) -> None:
    path = site.store("s1")
    site.cloud.s3.put_object(Bucket=site.cloud.settings.bucket, Key=f"{path}/metadata.json", Body=b'{"title": "x"}')

    result = site.scan()

    made = site.transcript(path)
    assert made is not None
    assert (made["status"], made["text"]) == ("completed", "Word 1. Word 2.")
    names = [
        item["Key"].rpartition("/")[2]
        for item in site.cloud.s3.list_objects_v2(Bucket=site.cloud.settings.bucket, Prefix=f"{path}/t")["Contents"]
    ]
    assert {"transcription.txt", "transcription.srt", "transcription.vtt"} <= set(names)
    metadata = site.cloud.s3.get_object(Bucket=site.cloud.settings.bucket, Key=f"{path}/metadata.json")["Body"]
    assert json.loads(metadata.read())["transcriptionStatus"] == "completed"
    assert result.skipped == "no gaps"
    assert outcome(result) == (1, 1, 0)


def test_of_a_session_that_is_up_to_date_nothing_is_read_and_nothing_is_written(site: Site) -> None:
    path = site.store("s1")
    site.scan()
    before = site.transcript(path)
    scanner = site.scanner()
    calls = calls_of(scanner)

    result = scanner.scan(enqueue=True)

    assert (result.unfinished, result.finalised) == (0, None)
    assert [key for _, key in calls if key.startswith("users/")] == []
    assert site.transcript(path) == before


def test_a_transcript_that_came_after_the_sessions_own_makes_a_new_one(site: Site) -> None:
    path = site.store("s1")
    site.scan()
    site.age(f"{path}/transcription.", 60)
    site.age(f"{path}/transcription-chunk", -590)  # 10 s ago
    words = {"segments": [{"text": "Another word.", "start": 1, "end": 2}]}
    site.cloud.put_transcript("alice", "s1", "002", words)

    assert outcome(site.scan()) == (1, 1, 0)

    made = site.transcript(path)
    assert made is not None
    assert made["text"] == "Word 1. Another word."


def test_where_the_listing_only_seems_to_show_something_new_nothing_is_written(site: Site) -> None:
    path = site.store("s1")
    site.scan()
    site.age(f"{path}/transcription.", 3600)  # as in a bucket that was copied in no order
    scanner = site.scanner()
    calls = calls_of(scanner)

    assert outcome(scanner.scan(enqueue=True)) == (1, 0, 0)

    assert [call for call in calls if call[0] == "PutObject" and call[1].startswith("users/")] == []


def test_a_session_that_may_be_going_on_is_left_until_it_is_over(site: Site) -> None:
    path = site.store("s1", age=0)

    early = site.scan()
    assert (early.unfinished, site.transcript(path)) == (0, None)

    site.clock.advance(YOUNG_FOR + 1)
    assert outcome(site.scan()) == (1, 1, 0)
    assert site.transcript(path) is not None


def test_a_session_that_goes_on_while_the_scan_is_at_work_is_left(site: Site) -> None:
    path = site.store("s1")
    scanner = site.scanner()

    def goes_on(params: dict[str, Any], **_: Any) -> None:
        if params["url"].endswith("pending-jobs.json"):  # which is written after the listing
            site.cloud.put_audio("alice", "s1", "003")

    scanner.s3.meta.events.register("before-call.s3.PutObject", goes_on)

    assert outcome(scanner.scan(enqueue=True)) == (1, 0, 0)

    assert site.transcript(path) is None


def test_a_corrupt_transcript_is_named_and_the_rest_is_assembled(site: Site) -> None:
    path = site.store("s1")
    key = f"{path}/transcription-chunk-002.json"
    site.cloud.s3.put_object(Bucket=site.cloud.settings.bucket, Key=key, Body=b"not json")

    site.scan()

    made = site.transcript(path)
    assert made is not None
    assert (made["status"], made["text"]) == ("partial", "Word 1.")
    assert made["invalidChunks"] == [{"chunk": "002", "reason": "it is not JSON"}]


def test_a_look_counts_the_sessions_and_writes_nothing(site: Site) -> None:
    path = site.store("s1")

    result = site.scan(enqueue=False)

    assert (result.unfinished, result.finalised, site.transcript(path)) == (1, None, None)


def test_where_it_is_turned_off_the_sessions_are_only_counted(site: Site) -> None:
    path = site.store("s1")

    result = site.scan(scan_finalise_seconds=0)

    assert (result.unfinished, result.finalised, site.transcript(path)) == (1, None, None)


def test_a_live_session_elsewhere_holds_nothing_up_since_no_gpu_is_used(site: Site) -> None:
    path = site.store("s1")
    site.store("gaps", transcribed=1)
    scanner = site.scanner()
    scanner.lock.take("bob", "live-1")

    result = scanner.scan(enqueue=True)

    assert result.skipped
    assert outcome(result) == (1, 1, 0)
    assert site.transcript(path) is not None


# --- gaps that nobody is going to fill


def by_two_workers(ledger: Ledger, job: Callable[[str], ChunkJob]) -> None:
    for worker, chunk in (("i-1", "002"), ("i-2", "003")):
        ledger.processing(job(chunk), worker, attempts=5)
        ledger.finished(job(chunk), "failed", "audio-damaged: 1 of 5 s")


def by_failing_and_by_cancelling(ledger: Ledger, job: Callable[[str], ChunkJob]) -> None:
    ledger.finished(job("002"), "failed", "audio-damaged: 1 of 5 s")
    ledger.cancel(job("003").session_path, "003", job("003").audio_size)


@pytest.mark.parametrize("give_up", [by_two_workers, by_failing_and_by_cancelling])
@pytest.mark.parametrize("transcribed", [1, 0])
def test_where_all_gaps_were_given_up_the_transcript_is_a_partial_one(
    site: Site, give_up: Callable[[Ledger, Callable[[str], ChunkJob]], None], transcribed: int
) -> None:
    path = site.store("s1", chunks=3, transcribed=transcribed)
    site.ledger.finished(site.job(path, "001"), "failed", "audio-empty: no bytes")
    give_up(site.ledger, lambda chunk: site.job(path, chunk))

    result = site.scan()

    made = site.transcript(path)
    assert made is not None
    assert made["status"] == "partial"
    assert made["missingChunks"] == (["002", "003"] if transcribed else ["001", "002", "003"])
    assert outcome(result) == (1, 1, 0)
    assert result.enqueued is not None
    assert result.enqueued.queued == 0
    # and it is not made again and again
    assert site.scan().unfinished == 0


def test_while_one_gap_may_still_be_filled_there_is_no_partial_transcript(site: Site) -> None:
    path = site.store("s1", chunks=3, transcribed=1)
    site.ledger.finished(site.job(path, "002"), "failed", "audio-damaged: 1 of 5 s")

    first = site.scan()  # which queues 003
    second = site.scan()

    assert [result.unfinished for result in (first, second)] == [0, 0]
    assert site.transcript(path) is None


def test_a_chunk_that_comes_and_fails_after_the_transcript_is_named_in_a_new_one(site: Site) -> None:
    path = site.store("s1")
    site.scan()
    site.age(f"{path}/transcription.", 300)
    site.cloud.put_audio("alice", "s1", "003")
    site.age(f"{path}/chunk-003", 200)
    site.age(f"{path}/transcription-chunk", 0)
    site.ledger.finished(site.job(path, "003"), "failed", "audio-empty: no bytes")

    assert outcome(site.scan()) == (1, 1, 0)

    made = site.transcript(path)
    assert made is not None
    assert (made["status"], made["missingChunks"]) == ("partial", ["003"])


# --- what goes wrong


def refuse_writing(scanner: Scanner, path: str) -> None:
    """Let S3 refuse every write to a session's folder."""

    def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        if path not in params["url"]:
            return None
        error = {"Code": "AccessDenied", "Message": "no"}
        return AWSResponse("", 403, HTTPHeaders(), b""), {
            "Error": error,
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }

    events: Any = scanner.s3.meta.events  # whose stubs know of no handler that answers
    events.register("before-call.s3.PutObject", answer)


def test_a_session_that_cannot_be_written_is_named_and_does_not_stop_the_others_nor_the_scan(site: Site) -> None:
    paths = [site.store(name, age=600 - 10 * number) for number, name in enumerate(("s1", "s2", "s3"))]
    site.store("gaps", transcribed=1)
    scanner = site.scanner()
    refuse_writing(scanner, paths[0])

    with capture_logs() as logs:
        result = scanner.scan(enqueue=True)

    assert outcome(result) == (3, 2, 1)
    assert [site.transcript(path) is not None for path in paths] == [False, True, True]
    assert result.enqueued is not None
    assert result.enqueued.queued == 1
    [event] = [entry for entry in logs if entry["event"] == "session_not_finalised"]
    assert (event["path"], event["error"], event["log_level"]) == (paths[0], "AccessDenied", "warning")
    # and the next scan has another try
    assert outcome(site.scan()) == (1, 1, 0)


def test_a_defect_in_assembling_one_session_does_not_stop_the_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = site.store("broken"), site.store("whole", age=500)

    def fails_for_one(inputs: Any, chunk_seconds: float) -> Any:
        if inputs.session_id == "broken":
            raise ZeroDivisionError
        return assemble(inputs, chunk_seconds)

    monkeypatch.setattr("shared.session.finalise.assemble", fails_for_one)

    with capture_logs() as logs:
        result = site.scan()

    assert outcome(result) == (2, 1, 1)
    assert (site.transcript(broken), site.transcript(whole) is not None) == (None, True)
    [event] = [entry for entry in logs if entry["event"] == "session_not_finalised"]
    assert (event["path"], event["error"], event["log_level"]) == (broken, "ZeroDivisionError", "error")


def test_when_the_time_is_over_no_session_is_begun_and_the_next_scan_goes_on(site: Site) -> None:
    # given: five sessions, the last by name the oldest, of which each takes 50 seconds
    paths = [site.store(f"s{number}", age=600 + 10 * number) for number in range(5)]
    scanner = site.scanner()

    def takes_long(params: dict[str, Any], **_: Any) -> None:
        if params["url"].endswith("/transcription.json"):
            site.clock.advance(50)

    scanner.s3.meta.events.register("before-call.s3.PutObject", takes_long)

    result = scanner.scan(enqueue=True, seconds_to_finalise=lambda: 120)

    assert outcome(result) == (5, 3, 0)
    assert [site.transcript(path) is not None for path in paths] == [False, False, True, True, True]
    assert outcome(site.scan(seconds=0)) == (2, 0, 0)
    assert outcome(site.scan()) == (2, 2, 0)


# --- who is told


def test_subscribers_are_told_as_if_a_worker_had_finished_the_session(site: Site) -> None:
    topic = sns_client().create_topic(Name="told")["TopicArn"]
    queue = site.cloud.sqs.create_queue(QueueName="listener")["QueueUrl"]
    sns_client().subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:listener")
    site.store("s1")

    for _ in range(2):
        site.scan(notify_topic_arn=topic)

    [message] = site.cloud.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = json.loads(json.loads(message["Body"])["Message"])
    assert (told["event"], told["status"], told["sessionId"]) == ("session-completed", "completed", "s1")
    assert (told["chunkCount"], told["wordCount"]) == (2, 4)


# --- the Lambda


class Call:
    """Lambda's context of a call that has some time left."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@pytest.mark.parametrize(("left", "finalised"), [(Call(800), 1), (None, 1), (Call(170), 0)])
def test_the_lambda_finalises_in_the_time_that_it_has_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, left: Call | None, finalised: int
) -> None:
    for name, value in site.cloud.environment().items():
        monkeypatch.setenv(name, value)
    path = site.store("s1")

    answer = handler({"enqueue": True}, left)

    assert (answer["sessionsToFinalise"], answer["sessionsFinalised"], answer["sessionsNotFinalised"]) == (
        1,
        finalised,
        0,
    )
    assert json.loads(json.dumps(answer)) == answer
    assert (site.transcript(path) is not None) == bool(finalised)
