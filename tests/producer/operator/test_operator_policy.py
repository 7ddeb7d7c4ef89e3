"""The policy in the documentation allows each of the operator's commands what it calls, and nothing else."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click import Command
from click.testing import CliRunner

from producer.operator.cancel import cancel
from producer.operator.dlq.cli import dlq
from producer.operator.jobs import jobs
from producer.operator.lock import lock
from producer.operator.rerun.cli import rerun
from shared.clock import SystemClock
from shared.formats.messages import chunk_job
from shared.state.lock import SessionLock
from tests.fixtures.recorded_calls import record_actions

if TYPE_CHECKING:
    from tests.conftest import Cloud

PAGE = Path(__file__).parents[3] / "docs" / "operator.md"

# By the statement's Sid: invocations that together make every call of the command.
COMMANDS: dict[str, tuple[Command, Sequence[tuple[str, ...]]]] = {
    "Rerun": (rerun, [("s1", "--all", "--force", "--wait", "--timeout", "1")]),
    "Cancel": (cancel, [("s1",)]),
    "Jobs": (jobs, [(), ("s1",)]),
    "Lock": (lock, [("show",), ("take", "--user", "u", "--session", "s", "--minutes", "0.0001"), ("release", "-y")]),
    "DeadLetters": (dlq, [("list",), ("redrive", "--reason", "audio-empty"), ("purge", "--yes")]),
}


def documented() -> dict[str, set[str]]:
    """The actions of each statement of the policy, by its Sid."""
    (policy,) = re.findall(r"```json\n(\{\n  \"Version\".*?)```", PAGE.read_text(), flags=re.DOTALL)
    return {each["Sid"]: set(each["Action"]) for each in json.loads(policy)["Statement"]}


def test_every_command_has_its_statement() -> None:
    assert set(documented()) >= set(COMMANDS)


@pytest.mark.parametrize("sid", COMMANDS)
def test_the_documented_policy_allows_what_a_command_calls_and_nothing_else(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch, sid: str
) -> None:
    # given: gaps, a transcript and the former one of it, dead letters, and a live session
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    for chunk in ("001", "002"):
        cloud.put_audio("alice", "s1", chunk)
    cloud.put_transcript("alice", "s1", "002")
    for reason in ("audio-empty", "audio-gone"):
        attributes: Any = {"reason": {"DataType": "String", "StringValue": reason}}
        url = cloud.settings.dead_letter_queue_url
        cloud.sqs.send_message(QueueUrl=url, MessageBody=_body(cloud), MessageAttributes=attributes)
    SessionLock(cloud.s3, "recordings", SystemClock(), timedelta(minutes=30)).take("alice", "s1")
    monkeypatch.setattr("producer.operator.rerun.cli.settled", _all_of_the_history)
    monkeypatch.setattr("producer.operator.rerun.progress.RerunWatch.until_over", _one_look)
    # when
    recorder = record_actions(monkeypatch)
    command, invocations = COMMANDS[sid]
    for arguments in invocations:
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    # then
    assert recorder.actions == documented()[sid]


def _body(cloud: "Cloud") -> str:
    key = "users/alice/audio/sessions/s1/chunk-001.webm"
    return chunk_job(
        bucket=cloud.settings.bucket, audio_key=key, audio_size=5, enqueued_at=SystemClock().now()
    ).to_json()


def _all_of_the_history(folder: Any) -> list[str]:
    return [kept.key for kept in folder.others]


def _one_look(watch: Any, _timeout: float, on_look: Any) -> Any:
    seen = watch.look()
    on_look(seen)
    return seen
