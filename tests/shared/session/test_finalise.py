"""Finalising writes what all transcripts of a session say, once, whoever else writes at the same time."""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from shared.aws.clients import s3_client
from shared.errors import TransientError
from shared.formats.layout import TRANSCRIPT_NAMES, session_path
from shared.session.finalise import Finalised, SessionFinaliser
from shared.session.folder import list_folder

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.shared.session.conftest import MakeTranscript

PATH = session_path("alice", "s1")
Finalise = Callable[..., Finalised]


@pytest.fixture
def finalise(cloud: "Cloud", clock: "FakeClock") -> Finalise:
    """Finalises the session `s1` of `alice`, each time like a process that begins."""

    def run(unless: Callable[[Any], str] = lambda _: "", path: str = PATH) -> Finalised:
        return SessionFinaliser.from_settings(cloud.s3, cloud.settings, clock).finalise(path, unless)

    return run


@pytest.fixture
def put(cloud: "Cloud") -> Callable[[str, bytes], str]:
    """Stores a chunk's transcript; gives its key."""

    def store(chunk: str, body: bytes) -> str:
        key = f"{PATH}/transcription-chunk-{chunk}.json"
        cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=key, Body=body)
        return key

    return store


def read(cloud: "Cloud", name: str) -> bytes:
    return cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/{name}")["Body"].read()


def document(cloud: "Cloud") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(read(cloud, "transcription.json"))
    return content


def test_a_whole_session_gets_its_transcript_in_four_forms(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    for chunk, word in (("001", "Hello"), ("002", "you.")):
        cloud.put_audio("alice", "s1", chunk)
        put(chunk, batch([(word, 1, 2)]))

    done = finalise()

    assert done.action == "written"
    assert done.transcript is not None
    assert (done.transcript.status, done.transcript.word_count) == ("completed", 2)
    made = document(cloud)
    assert (made["sessionId"], made["userId"], made["text"]) == ("s1", "alice", "Hello you.")
    assert made["createdAt"] <= made["completedAt"]
    assert read(cloud, "transcription.txt") == b"Hello\n\nyou.\n"
    assert b"00:00:01,000 --> 00:00:02,000\nHello" in read(cloud, "transcription.srt")
    assert read(cloud, "transcription.vtt").startswith(b"WEBVTT")


def test_finalising_again_writes_nothing(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    cloud.put_audio("alice", "s1", "001")
    put("001", batch([("one", 1, 2)]))
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=b'{"title": "x"}')
    finalise()
    before = read(cloud, "metadata.json")
    writes: list[str] = []
    cloud.s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: writes.append(params["url"]))

    assert finalise().action == "unchanged"

    assert writes == []
    assert read(cloud, "metadata.json") == before


@pytest.mark.parametrize("name", ["transcription.srt", "transcription.json", "transcription.txt", "metadata.json"])
def test_a_file_that_others_replaced_or_that_a_crash_left_out_is_written_again(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript", name: str
) -> None:
    put("001", batch([("one", 1, 2)]))
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=b"{}")
    finalise()
    whole = read(cloud, name)
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/{name}", Body=b"{}")

    assert finalise().action == "written"

    assert read(cloud, name) == whole


def test_a_replaced_chunk_transcript_makes_a_new_session_transcript(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    put("001", batch([("wrong", 1, 2)]))
    finalise()
    put("001", batch([("right", 1, 2)]))

    finalise()

    assert document(cloud)["text"] == "right"


def test_gaps_and_corrupt_transcripts_make_a_partial_one_that_names_them(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    for chunk in ("001", "002", "003", "005"):
        cloud.put_audio("alice", "s1", chunk)
    put("001", batch([("one", 1, 2)]))
    put("003", b"not json")
    put("005", batch([("five", 1, 2)]))

    done = finalise()

    made = document(cloud)
    assert (made["status"], made["missingChunks"], made["missingAudio"]) == ("partial", ["002"], ["4"])
    assert made["invalidChunks"] == [{"chunk": "003", "reason": "it is not JSON"}]
    assert made["completedAt"] is None
    assert made["text"] == "one five"
    assert done.transcript is not None
    assert (done.transcript.missing_chunks, done.transcript.invalid_chunks) == (("002",), ("003",))


def test_a_session_with_neither_audio_nor_transcripts_is_left_alone(cloud: "Cloud", finalise: Finalise) -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=b"{}")

    assert finalise().action == "empty"
    assert finalise(path=session_path("bob", "nothing")).action == "empty"

    listed = cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket)["Contents"]
    assert [item["Key"] for item in listed] == [f"{PATH}/metadata.json"]
    assert read(cloud, "metadata.json") == b"{}"


def test_metadata_tells_how_the_transcript_stands_and_keeps_what_was_there(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    theirs = {"title": "Caf\u00e9 \U0001f399", "deep": {"list": [1, 2.5, None]}, "big": 12345678901234567890}
    cloud.s3.put_object(
        Bucket=cloud.settings.bucket,
        Key=f"{PATH}/metadata.json",
        Body=json.dumps(theirs, ensure_ascii=False).encode(),
        ContentType="application/json; charset=utf-8",
        Metadata={"recorder": "7"},
    )
    cloud.put_audio("alice", "s1", "002")
    put("001", batch([("one", 1, 2)]))

    finalise()

    written = json.loads(read(cloud, "metadata.json"))
    assert theirs.items() <= written.items()
    assert (written["transcriptionStatus"], written["missingChunks"]) == ("partial", ["002"])
    assert written["transcribedAt"]
    head = cloud.s3.head_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json")
    assert (head["ContentType"], head["Metadata"]) == ("application/json; charset=utf-8", {"recorder": "7"})


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"not json", b"[1]", b'"x"', b"\xff\xfe\x00", b"[" * 100_000),
        *(b'{"gain": NaN}', b'{"gain": 1e400}'),  # could only be written as what is no JSON
        b'{"deep": ' + b"[" * 40 + b"]" * 40 + b"}",  # would grow with each level's indentation
    ],
)
def test_metadata_that_would_not_come_out_as_it_went_in_is_left_as_it_is(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript", body: bytes
) -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=body)
    put("001", batch([("one", 1, 2)]))

    assert finalise().action == "written"
    assert finalise().action == "unchanged"

    assert read(cloud, "metadata.json") == body


def test_metadata_is_not_made_where_the_recorder_wrote_none(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    put("001", batch([("one", 1, 2)]))

    finalise()

    assert not list_folder(cloud.s3, cloud.settings.bucket, PATH).has_metadata


def test_the_transcript_itself_comes_last_so_that_a_scan_makes_up_for_who_dies_before(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=b"{}")
    put("001", batch([("one", 1, 2)]))
    written: list[str] = []
    cloud.s3.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: written.append(params["url"].rpartition("/")[2])
    )

    finalise()

    assert written[-1] == "transcription.json"
    assert sorted(written) == ["metadata.json", *sorted(TRANSCRIPT_NAMES)]


def test_what_the_recorder_writes_to_metadata_meanwhile_is_not_lost(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    key = f"{PATH}/metadata.json"
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=key, Body=b'{"title": "draft"}')
    put("001", batch([("one", 1, 2)]))
    recorder = s3_client()
    pending = [b'{"title": "final"}']

    def just_before(params: dict[str, Any], **_: Any) -> None:
        if params["url"].endswith("metadata.json") and pending:
            recorder.put_object(Bucket=cloud.settings.bucket, Key=key, Body=pending.pop())

    cloud.s3.meta.events.register("before-call.s3.PutObject", just_before)

    finalise()

    written = json.loads(read(cloud, "metadata.json"))
    assert (written["title"], written["transcriptionStatus"]) == ("final", "completed")


def test_a_chunk_that_comes_while_the_session_is_read_is_in_the_transcript(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    put("001", batch([("one", 1, 2)]))
    coming = [batch([("two", 1, 2)])]

    def just_before(params: dict[str, Any], **_: Any) -> None:
        if "transcription.json" in params["url"] and coming:
            put("002", coming.pop())

    cloud.s3.meta.events.register("before-call.s3.PutObject", just_before)

    finalise()

    assert document(cloud)["text"] == "one two"


def test_a_transcript_that_changes_while_the_session_is_read_is_read_anew(
    cloud: "Cloud",
    clock: "FakeClock",
    put: Callable[[str, bytes], str],
    batch: "MakeTranscript",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("001", batch([("old", 1, 2)]))
    finaliser = SessionFinaliser.from_settings(cloud.s3, cloud.settings, clock)
    presign, coming = cloud.s3.generate_presigned_url, [batch([("new", 1, 2)])]

    def presigned(*arguments: Any, **more: Any) -> str:
        if coming:
            put("001", coming.pop())
        return presign(*arguments, **more)

    monkeypatch.setattr(cloud.s3, "generate_presigned_url", presigned)

    finaliser.finalise(PATH)

    assert document(cloud)["text"] == "new"


@pytest.mark.parametrize("keeps_coming", [False, True])
def test_where_direct_reads_do_not_work_boto3_reads(
    cloud: "Cloud",
    clock: "FakeClock",
    put: Callable[[str, bytes], str],
    batch: "MakeTranscript",
    monkeypatch: pytest.MonkeyPatch,
    keeps_coming: bool,
) -> None:
    put("001", batch([("one", 1, 2)]))
    put("002", batch([("two", 1, 2)]))
    nowhere = "http://127.0.0.1:9/" if keeps_coming else f"{cloud.endpoint}/no-such-bucket/key"
    monkeypatch.setattr(cloud.s3, "generate_presigned_url", lambda *_, **__: nowhere)

    SessionFinaliser.from_settings(cloud.s3, cloud.settings, clock).finalise(PATH)

    assert document(cloud)["text"] == "one two"


def test_two_that_finalise_at_the_same_time_leave_one_whole_transcript(
    cloud: "Cloud", finalise: Finalise, clock: "FakeClock", put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/metadata.json", Body=b'{"title": "x"}')
    put("001", batch([("one", 1, 2)]))
    for _ in range(3):
        start = threading.Barrier(2)
        failures: list[BaseException] = []

        def finish(chunk: str, start: threading.Barrier, failures: list[BaseException]) -> None:
            own = SessionFinaliser.from_settings(s3_client(), cloud.settings, clock)
            try:
                start.wait()
                put(chunk, batch([(f"word{chunk}", 1, 2)]))
                own.finalise(PATH)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=finish, args=(chunk, start, failures)) for chunk in ("002", "003")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert document(cloud)["text"] == "one word002 word003"
        assert finalise().action == "unchanged"
        cloud.s3.delete_object(Bucket=cloud.settings.bucket, Key=f"{PATH}/transcription-chunk-003.json")


def test_a_reason_against_it_leaves_the_session_alone(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    put("001", batch([("one", 1, 2)]))

    done = finalise(lambda folder: "it has gaps" if folder.chunks else "")

    assert (done.action, done.why) == ("skipped", "it has gaps")
    assert list_folder(cloud.s3, cloud.settings.bucket, PATH).outputs == {}


def test_a_folder_that_never_stands_still_ends_in_an_error_that_may_pass(
    cloud: "Cloud", finalise: Finalise, put: Callable[[str, bytes], str], batch: "MakeTranscript"
) -> None:
    put("001", batch([("one", 1, 2)]))
    count = iter(range(10_000))

    def just_before(params: dict[str, Any], **_: Any) -> None:
        if "transcription.json" in params["url"]:
            put("002", batch([(f"w{next(count)}", 1, 2)]))

    cloud.s3.meta.events.register("before-call.s3.PutObject", just_before)

    with pytest.raises(TransientError):
        finalise()


def test_what_is_no_sessions_path_is_refused(finalise: Finalise) -> None:
    with pytest.raises(ValueError, match="not the path of a session"):
        finalise(path="users/alice")


def test_a_bucket_that_may_not_be_listed_is_an_error_of_aws(cloud: "Cloud", clock: "FakeClock") -> None:
    settings = cloud.settings_with(bucket="another-bucket")

    with pytest.raises(ClientError):
        SessionFinaliser.from_settings(cloud.s3, settings, clock).finalise(PATH)
