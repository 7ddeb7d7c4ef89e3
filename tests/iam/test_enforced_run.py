"""The whole fleet runs under the roles that the template gives it, and needs nothing that they do not allow."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.iam.harness.recording import Recording


def test_a_run_with_every_permission_checked_does_all_its_work(pool_recording: "Recording") -> None:
    # given: a session with a gap and a broken chunk, and one that lacks only its own transcript, worked off by
    # processes under their own roles
    assert pool_recording.statuses == {"009": "failed", "010": "completed"}
    assert "users/alice/audio/sessions/s1/transcription-chunk-010.json" in pool_recording.keys
    assert "users/alice/audio/sessions/s1/transcription.json" in pool_recording.keys
    assert "users/carol/audio/sessions/s3/transcription.json" in pool_recording.keys
    assert "batch-data/pending-jobs.json" in pool_recording.keys
    assert any(key.startswith("batch-reports/") for key in pool_recording.keys)
    assert pool_recording.states == ["stopped"]
    # then: not a call was refused, and none went by that nobody here could judge
    assert pool_recording.not_understood == []
    assert [call for call in pool_recording.calls if not call.allowed] == []
    assert {call.caller.component for call in pool_recording.calls} == {"scanner", "autoscaler", "worker"}


def test_a_group_is_scaled_and_left_under_the_roles(group_recording: "Recording") -> None:
    assert group_recording.not_understood == []
    assert [call for call in group_recording.calls if not call.allowed] == []
    assert {call.caller.component for call in group_recording.calls} == {"autoscaler", "worker"}


@pytest.mark.parametrize(
    ("component", "refused"),
    [
        ("scanner", "not authorized to perform: sqs:SendMessageBatch"),
        ("autoscaler", "AWS refused to change"),
        ("worker", "not authorized to perform: sqs:ReceiveMessage"),
    ],
)
def test_a_process_whose_role_lacks_a_statement_fails(
    pool_recording: "Recording", component: str, refused: str
) -> None:
    assert refused in pool_recording.reduced[component]
