"""Job messages: what a worker accepts from the queue, and the reason that everything else gets."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentJobError
from shared.formats.messages import chunk_job, parse_job

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AUDIO = "users/u/audio/sessions/s/chunk-007.webm"


def message(**changes: Any) -> dict[str, Any]:
    """A good message, spelled out as the contract has it and not built by the code under test."""
    good = {
        "version": 1,
        "kind": "chunk",
        "bucket": "recordings",
        "userId": "u",
        "sessionId": "s",
        "sessionPath": "users/u/audio/sessions/s",
        "chunk": "007",
        "audioKey": AUDIO,
        "audioSize": 4711,
        "transcriptKey": "users/u/audio/sessions/s/transcription-chunk-007.json",
        "reason": "scan",
        "force": False,
        "scanId": "scan-1",
        "enqueuedAt": "2026-01-02T03:04:05Z",
    }
    return {name: value for name, value in {**good, **changes}.items() if value != "ABSENT"}


def reason_of(body: str) -> str:
    with pytest.raises(PermanentJobError) as refused:
        parse_job(body, bucket="recordings")
    return refused.value.reason


def test_the_message_of_a_gap_has_the_names_and_values_of_the_contract() -> None:
    job = chunk_job(bucket="recordings", audio_key=AUDIO, audio_size=4711, enqueued_at=AT, scan_id="scan-1")

    assert json.loads(job.to_json()) == message()


def test_a_message_is_read_back_as_it_was_sent() -> None:
    job = chunk_job(bucket="recordings", audio_key=AUDIO, audio_size=4711, enqueued_at=AT)

    assert parse_job(job.to_json(), bucket="recordings") == job


def test_fields_that_a_later_version_may_add_are_ignored() -> None:
    job = parse_job(json.dumps(message(priority="high")), bucket="recordings")

    assert job == parse_job(json.dumps(message()), bucket="recordings")


def test_fields_with_a_default_may_be_left_out() -> None:
    optional = ("reason", "force", "scanId", "model", "language")

    job = parse_job(json.dumps(message(**dict.fromkeys(optional, "ABSENT"))), bucket="recordings")

    assert (job.reason, job.force, job.scan_id, job.model, job.language) == ("scan", False, None, None, None)


@pytest.mark.parametrize("model", ["small.en", "owner/name", "m" * 200])
@pytest.mark.parametrize("language", ["de", "yue"])
def test_a_job_may_name_its_own_model_and_language(model: str, language: str) -> None:
    job = parse_job(json.dumps(message(model=model, language=language)), bucket="recordings")

    assert (job.model, job.language) == (model, language)
    assert parse_job(job.to_json(), bucket="recordings") == job


def test_a_key_that_is_no_audio_makes_no_job() -> None:
    with pytest.raises(ValueError, match="not the key of a chunk's audio"):
        chunk_job(bucket="recordings", audio_key="users/u/notes.txt", audio_size=1, enqueued_at=AT)


# --- every reason


@pytest.mark.parametrize("body", ["", "not json", "[1]", '"text"', "null", "{", "[" * 100_000, "1" * 5000])
def test_a_body_that_is_no_json_object_is_refused_as_such(body: str) -> None:
    assert reason_of(body) == "message-not-json"


@pytest.mark.parametrize("version", [0, 2, "1", None, [1], {}, "ABSENT"])
def test_an_unknown_version_is_refused_as_such(version: Any) -> None:
    assert reason_of(json.dumps(message(version=version))) == "message-unknown-version"


@pytest.mark.parametrize("kind", ["poem", None, [], 1, "ABSENT"])
def test_an_unknown_kind_is_refused_as_such(kind: Any) -> None:
    assert reason_of(json.dumps(message(kind=kind))) == "message-unknown-kind"


@pytest.mark.parametrize("body", [{"jobId": "1", "s3Key": "a.mp3"}, {"version": 1, "kind": "file", "jobId": "1"}])
def test_a_file_job_in_either_form_is_not_handled_yet_and_is_refused(body: dict[str, Any]) -> None:
    assert reason_of(json.dumps(body)) == "message-unknown-kind"


def test_a_job_for_another_bucket_is_refused() -> None:
    assert reason_of(json.dumps(message(bucket="somebody-elses"))) == "message-foreign-bucket"


@pytest.mark.parametrize(
    "field",
    ["bucket", "userId", "sessionId", "sessionPath", "chunk", "audioKey", "audioSize", "transcriptKey", "enqueuedAt"],
)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(PermanentJobError) as refused:
        parse_job(json.dumps(message(**{field: "ABSENT"})), bucket="recordings")

    assert refused.value.reason == "message-invalid"
    assert refused.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("audioSize", -1),
        ("audioSize", "many"),
        ("audioSize", 1e400),
        ("audioSize", 10**15 + 1),
        ("audioSize", 10**400),
        ("chunk", 7),
        ("chunk", ""),
        ("chunk", "\u0667"),
        ("chunk", "007\n"),
        ("reason", "whim"),
        ("force", "perhaps"),
        ("enqueuedAt", "2026-01-02T03:04:05"),
        ("enqueuedAt", "soon"),
        ("enqueuedAt", "0001-01-01T00:00:00+23:59"),
        ("enqueuedAt", "9999-12-31T23:59:59-23:59"),
        ("scanId", "half a pair \ud800"),
        ("bucket", ""),
        ("model", ""),
        ("model", "m" * 201),
        ("model", 7),
        ("language", ""),
        ("language", "e"),
        ("language", "EN"),
        ("language", "en-US"),
        ("language", "english"),
        ("language", "en\n"),
        ("language", ["en"]),
    ],
)
def test_a_field_with_a_wrong_value_is_refused(field: str, wrong: Any) -> None:
    assert reason_of(json.dumps(message(**{field: wrong}))) == "message-invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"audioKey": "users/u/audio/sessions/other/chunk-007.webm"},
        {"audioKey": "users/u/audio/sessions/s/chunk-008.webm"},
        {"audioKey": "users/u/audio/sessions/s/transcription-chunk-007.json"},
        {"audioKey": "batch-lock.json"},
        {"chunk": "7"},
        {"userId": "someone else"},
        {"sessionId": "other"},
        {"sessionPath": "users/u/audio/sessions/other"},
        {"transcriptKey": "users/u/audio/sessions/s/transcription-chunk-008.json"},
        {"transcriptKey": "users/victim/audio/sessions/s/transcription-chunk-007.json"},
        {"transcriptKey": "batch-lock.json"},
    ],
)
def test_keys_that_disagree_are_refused_so_that_no_message_can_make_a_worker_write_elsewhere(
    changes: dict[str, str],
) -> None:
    assert reason_of(json.dumps(message(**changes))) == "message-invalid"


def renamed(user: str, chunk: str = "007") -> dict[str, Any]:
    path = f"users/{user}/audio/sessions/s"
    return message(
        userId=user,
        sessionPath=path,
        chunk=chunk,
        audioKey=f"{path}/chunk-{chunk}.webm",
        transcriptKey=f"{path}/transcription-chunk-{chunk}.json",
    )


def test_keys_that_s3_cannot_hold_are_refused_before_they_reach_a_client() -> None:
    assert parse_job(json.dumps(renamed("ü")), bucket="recordings").user_id == "ü"
    assert reason_of(json.dumps(renamed("half a pair \ud800"))) == "message-invalid"
    assert reason_of(json.dumps(renamed("u" * 1000))) == "message-invalid"
    assert reason_of(json.dumps(renamed("u", chunk="9" * 5000))) == "message-invalid"


def test_the_reason_for_people_does_not_repeat_what_the_message_held() -> None:
    with pytest.raises(PermanentJobError) as refused:
        parse_job(json.dumps(message(audioSize="private words")), bucket="recordings")

    assert "private words" not in str(refused.value)


# --- anything at all

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.text())
def test_no_text_gets_anything_but_a_reason(body: str) -> None:
    with pytest.raises(PermanentJobError):
        parse_job(body, bucket="recordings")


@given(st.dictionaries(st.sampled_from(sorted(message())), anything))
def test_a_message_with_any_values_is_either_a_job_or_gets_a_reason(changes: dict[str, Any]) -> None:
    try:
        job = parse_job(json.dumps({**message(), **changes}), bucket="recordings")
    except PermanentJobError:
        return
    assert (job.session_path, job.transcript_key) == (message()["sessionPath"], message()["transcriptKey"])
