from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber

from deploy.doctor.access import look_at_access, skew
from deploy.doctor.finding import Status

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "status", "seen"),
    [
        (0, Status.OK, "within 30 s of AWS's"),
        (-29, Status.OK, "within 30 s of AWS's"),
        (30, Status.WARNING, "this machine's clock is 30 s ahead of AWS's"),
        (-299, Status.WARNING, "this machine's clock is 299 s behind AWS's"),
        (300, Status.FAILURE, "this machine's clock is 300 s ahead of AWS's; AWS refuses requests from 300 s on"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_from_that_of_aws(ahead: int, status: Status, seen: str) -> None:
    found = skew(NOON + timedelta(seconds=ahead), NOON)

    assert found.status is status
    assert found.seen.startswith(seen)


def test_given_an_answer_without_a_date_then_the_clock_is_unknown() -> None:
    assert skew(NOON, None).status is Status.UNKNOWN


def test_given_credentials_then_it_tells_whose_they_are_and_where_they_look(cloud: "Cloud", clock: "FakeClock") -> None:
    who, when = look_at_access(boto3.client("sts"), clock)

    assert (who.status, when.status) == (Status.OK, Status.OK)
    assert "account 123456789012" in who.seen
    assert "region us-east-1" in who.seen


def test_given_a_clock_that_is_an_hour_ahead_then_it_says_so(cloud: "Cloud", clock: "FakeClock") -> None:
    clock.advance(3600)

    _, when = look_at_access(boto3.client("sts"), clock)

    assert when.status is Status.FAILURE


@pytest.mark.parametrize(
    ("code", "seen", "remedy"),
    [
        ("ExpiredToken", "they have expired (ExpiredToken)", "sign in again"),
        ("InvalidClientTokenId", "AWS refused them", "check AWS_PROFILE"),
        ("SignatureDoesNotMatch", "AWS refused the signature", "set the clock by NTP"),
    ],
)
def test_given_credentials_that_aws_refuses_then_the_finding_says_why_and_what_to_do(
    code: str, seen: str, remedy: str, cloud: "Cloud", clock: "FakeClock"
) -> None:
    sts = boto3.client("sts")
    with Stubber(sts) as stubbed:
        stubbed.add_client_error("get_caller_identity", code, "no", http_status_code=403)
        (found,) = look_at_access(sts, clock)

    assert found.status is Status.FAILURE
    assert found.seen.startswith(seen)
    assert found.remedy.startswith(remedy)


def test_given_no_credentials_then_it_says_where_they_come_from(
    cloud: "Cloud", clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    (found,) = look_at_access(boto3.Session().client("sts"), clock)

    assert (found.status, found.seen) == (Status.FAILURE, "Unable to locate credentials")
    assert "AWS_PROFILE" in found.remedy
