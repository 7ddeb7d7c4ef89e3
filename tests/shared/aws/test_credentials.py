"""A role's credentials: taken from the metadata service, and renewed before they run out."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import CredentialRetrievalError

from shared.aws.retrying import Retrier
from shared.errors import is_retryable
from tests.autoscaler.world.bad_days import CALLS, TOLD, WHOLE
from tests.fixtures.scripted_server import Answer, ScriptedServer

if TYPE_CHECKING:
    from tests.conftest import FakeClock
    from tests.shared.conftest import BadDay

TOKEN = Answer(body=b"token")
ROLE = Answer(body=b"worker")
AWAY = Answer(503)


def credentials(key: str, *, hours: float) -> Answer:
    expires = datetime.now(UTC) + timedelta(hours=hours)
    document = {
        "AccessKeyId": key,
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    }
    return Answer(body=json.dumps(document).encode())


@pytest.fixture
def metadata(bad_day: "BadDay", monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A metadata service; this process has no credentials but those of its role."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    bad_day.server.play(Answer(body=WHOLE["sqs"]))
    with ScriptedServer().running() as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        yield service


def later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Let botocore's credentials believe that it is later."""
    monkeypatch.setattr(
        "botocore.credentials.RefreshableCredentials._seconds_remaining",
        lambda held: (held._expiry_time - datetime.now(UTC) - timedelta(hours=hours)).total_seconds(),
    )


def signed_by(bad_day: "BadDay") -> list[str]:
    authorizations = (request.headers["authorization"] for request in bad_day.server.requests)
    return [found[1] for each in authorizations if (found := re.search("Credential=([^/]+)/", each))]


def test_credentials_are_renewed_before_they_run_out_and_no_call_fails(
    bad_day: "BadDay", metadata: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.play(TOKEN, ROLE, credentials("first", hours=6), TOKEN, ROLE, credentials("second", hours=12))
    sqs = bad_day.client("sqs")
    CALLS["sqs"](sqs)
    later(monkeypatch, hours=5.8)
    CALLS["sqs"](sqs)

    assert signed_by(bad_day) == ["first", "second"]


@pytest.mark.parametrize(
    "hours",
    [
        pytest.param(5.8, id="while the credentials still last, which botocore does not go by"),
        pytest.param(5.95, id="when they have to be renewed"),
    ],
)
def test_a_metadata_service_that_is_away_is_waited_for_and_not_the_end_of_a_worker(
    bad_day: "BadDay", metadata: ScriptedServer, clock: "FakeClock", monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    metadata.play(TOKEN, ROLE, credentials("first", hours=6), AWAY)
    sqs = bad_day.client("sqs")
    CALLS["sqs"](sqs)
    later(monkeypatch, hours)
    with pytest.raises(CredentialRetrievalError) as raised:
        CALLS["sqs"](sqs)
    assert is_retryable(raised.value)

    metadata.play(AWAY, AWAY, TOKEN, ROLE, credentials("second", hours=12))
    assert TOLD["sqs"](Retrier(4, clock)(CALLS["sqs"], sqs))
    assert signed_by(bad_day) == ["first", "second"]
