"""Who asks, where, and by which clock: what every other look at AWS rests on."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from deploy.doctor.finding import Finding, failure, ok, unknown, warning
from shared.clock import Clock
from shared.errors import AWS_ERRORS, error_code

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

# AWS refuses a request that was signed more than five minutes before or after its own time (IAM User Guide,
# "Troubleshooting signed requests"), S3 fifteen.
_REFUSED_SECONDS = 300
_NOTEWORTHY_SECONDS = 30

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_CLOCK = frozenset({"RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"})


def look_at_access(sts: "STSClient", clock: Clock) -> Iterator[Finding]:
    """Credentials and clock; a failure among these means that nothing else can be looked at."""
    try:
        identity = sts.get_caller_identity()
    except AWS_ERRORS as error:
        yield _no_credentials(error)
        return
    region = sts.meta.region_name
    yield ok("credentials", f"account {identity['Account']}, {identity['Arn']}, region {region}")
    told = identity["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    yield skew(clock.now(), parsedate_to_datetime(told) if told else None)


def skew(here: datetime, there: datetime | None) -> Finding:
    """How far this machine's clock is from AWS's, whose `Date` header has whole seconds."""
    if there is None:
        return unknown("clock", "the answer had no date", "compare `date -u` with a clock that you trust")
    seconds = round((here - there).total_seconds())
    side = "ahead of" if seconds > 0 else "behind"
    seen = f"this machine's clock is {abs(seconds)} s {side} AWS's"
    if abs(seconds) >= _REFUSED_SECONDS:
        return failure(
            "clock", f"{seen}; AWS refuses requests from 300 s on", "let NTP set the clock: `chronyc makestep`"
        )
    if abs(seconds) >= _NOTEWORTHY_SECONDS:
        return warning("clock", f"{seen}; ages and waits below are off by that", "let NTP set the clock")
    return ok("clock", f"within {_NOTEWORTHY_SECONDS} s of AWS's")


def _no_credentials(error: Exception) -> Finding:
    code = error_code(error)
    if code in _EXPIRED:
        return failure("credentials", f"they have expired ({code})", "sign in again, such as `aws sso login`")
    if code in _CLOCK:
        remedy = "set the clock by NTP if `date -u` is wrong; else check the secret key"
        return failure("credentials", f"AWS refused the signature: {error}", remedy)
    if code:
        return failure("credentials", f"AWS refused them: {error}", "check AWS_PROFILE and the access key")
    remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as for the AWS command line"
    return failure("credentials", str(error).rstrip("."), remedy)
