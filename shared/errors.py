"""The fleet's errors, and the one place that says which failures are worth another try.

tenacity's predicates call `is_retryable` and nothing else. Raising and classifying happens here; what is done
about an error (retry, redelivery, dead-letter queue) is decided where the job is handled.
"""

from collections.abc import Mapping
from typing import cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError


class ScribefleetError(Exception):
    """Base of every error that the fleet raises by itself."""


class ConfigurationError(ScribefleetError):
    """The fleet was started wrongly; the text is one line that says what to set or install."""


class TransientError(ScribefleetError):
    """Another try may succeed: a service was away, a write raced with another."""


class LeaseLostError(ScribefleetError):
    """The worker's claim on a job has run out, so another worker may have it: its result must not be published."""


class LedgerError(ScribefleetError):
    """The ledger could not be read or written. Correctness never rests on it, so callers may go on."""


class InstanceError(ScribefleetError):
    """AWS refused to start or stop an instance for a reason that does not pass by itself: a person has to look."""


class PermanentJobError(ScribefleetError):
    """No retry can help this job: it goes to the dead-letter queue.

    Args:
        reason: a short, stable word for machines and filters, such as `audio-empty`.
        detail: one sentence for people; never holds what was said in the recording.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


# Error codes that AWS documents as temporary, over the services that the fleet calls. 409 is S3's answer to two
# conditional writes at the same time; unlike 412 it says nothing about who won, so the write is tried again.
RETRYABLE_CODES = frozenset(
    {
        "409",
        "429",
        "500",
        "502",
        "503",
        "504",
        "ConditionalRequestConflict",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
        "TooManyRequestsException",
    }
)

# Who calls is refused, whatever is asked for: credentials that have run out, and a clock that is off.
_REFUSED_CALLERS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "UnrecognizedClientException",
    }
)

# S3's answers to conditional writes that met another writer.
_RACES = frozenset({409, 412})

# No answer, or none that can be used. A role's credentials are renewed from the metadata service, which can be away for
# a moment as any other; a checksum that does not fit and an answer that cannot be parsed are bytes lost on the way.
_NO_ANSWER = (
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseParserError,
    ResponseStreamingError,
)

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)
"""Everything that a boto3 call raises on its own account."""


def error_code(error: BaseException) -> str:
    """The AWS error code of a `ClientError`, such as `NoSuchKey`; empty for any other error."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def cause_of(error: BaseException) -> str:
    """AWS's error code where there is one, else the exception's class: short, and free of personal data, for logs."""
    return error_code(error) or type(error).__name__


def http_status(error: BaseException) -> int:
    """The HTTP status of a `ClientError`; 0 for any other error."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def is_missing(error: BaseException) -> bool:
    """Whether S3 says that the object is not there. HEAD has no body, so its code is the bare status."""
    return error_code(error) in {"404", "NoSuchKey", "NotFound"}


def is_precondition_failed(error: BaseException) -> bool:
    """Whether a conditional write lost against another one (412)."""
    return error_code(error) in {"412", "PreconditionFailed"}


def is_own_write(error: BaseException, written: Mapping[str, object]) -> bool:
    """Whether DynamoDB refused a conditional write because the same call had made it before, and its answer was lost.

    Only for a call that boto3 has tried again, and that asked for ReturnValuesOnConditionCheckFailure: then the error
    carries the item that stands.

    Args:
        written: attributes, with DynamoDB's types, by which the write is known again.
    """
    if not isinstance(error, ClientError) or not error.response.get("ResponseMetadata", {}).get("RetryAttempts"):
        return False
    stands = cast("Mapping[str, object]", error.response.get("Item", {}))
    return all(stands.get(name) == value for name, value in written.items())


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, (TransientError, *_NO_ANSWER)):
        return True
    return error_code(error) in RETRYABLE_CODES or http_status(error) >= 500


def is_outage(error: BaseException) -> bool:
    """Whether any other call would have failed as well: the service is away or overloaded, or refuses the caller.

    Then nothing is known against the job that met it. A write that raced with another is retryable and no outage.
    """
    if isinstance(error, TransientError) or http_status(error) in _RACES:
        return False
    return is_retryable(error) or is_caller_refused(error)


def is_caller_refused(error: BaseException) -> bool:
    """Whether AWS would refuse this process anything: its credentials have run out, or its clock is off."""
    return error_code(error) in _REFUSED_CALLERS
