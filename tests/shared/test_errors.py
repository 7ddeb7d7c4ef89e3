"""Errors: which failures are worth another try, and what S3's answers mean."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from shared.errors import (
    ConfigurationError,
    LeaseLostError,
    LedgerError,
    PermanentJobError,
    TransientError,
    error_code,
    http_status,
    is_missing,
    is_outage,
    is_precondition_failed,
    is_retryable,
)


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "injected"},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "PutObject",
    )


@pytest.mark.parametrize(
    "error",
    [
        TransientError("away"),
        client_error("SlowDown", 503),
        client_error("ThrottlingException"),
        client_error("ProvisionedThroughputExceededException"),
        client_error("ConditionalRequestConflict", 409),
        client_error("SomethingNew", 500),
        client_error("SomethingNew", 599),
        ConnectTimeoutError(endpoint_url="x"),
        ReadTimeoutError(endpoint_url="x"),
        EndpointConnectionError(endpoint_url="x"),
        FlexibleChecksumError(error_msg="does not fit"),
        CredentialRetrievalError(provider="iam-role", error_msg="the metadata service is away"),
        ResponseParserError("not XML"),
    ],
)
def test_what_passes_by_itself_is_worth_another_try(error: Exception) -> None:
    assert is_retryable(error)


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDenied", 403),
        client_error("NoSuchBucket", 404),
        client_error("PreconditionFailed", 412),
        client_error("ConditionalCheckFailedException"),
        PermanentJobError("audio-empty", "no bytes"),
        ConfigurationError("wrong"),
        LeaseLostError("gone"),
        LedgerError("away"),
        NoCredentialsError(),
        ValueError("a bug"),
    ],
)
def test_what_stays_as_it_is_gets_no_other_try(error: Exception) -> None:
    assert not is_retryable(error)


@pytest.mark.parametrize("code", ["404", "NoSuchKey"])
def test_an_object_that_is_not_there_is_missing(code: str) -> None:
    assert is_missing(client_error(code, 404))
    assert not is_precondition_failed(client_error(code, 404))


def test_a_bucket_that_is_not_there_is_a_wrong_setting_and_not_a_missing_object() -> None:
    assert not is_missing(client_error("NoSuchBucket", 404))


@pytest.mark.parametrize("code", ["412", "PreconditionFailed"])
def test_a_write_that_lost_is_told_apart_from_one_that_may_be_tried_again(code: str) -> None:
    assert is_precondition_failed(client_error(code, 412))
    assert not is_precondition_failed(client_error("ConditionalRequestConflict", 409))


def test_errors_that_are_not_of_aws_have_no_code_and_no_status() -> None:
    assert error_code(ValueError("x")) == ""
    assert http_status(ValueError("x")) == 0


def test_a_permanent_error_keeps_its_reason_apart_from_its_sentence() -> None:
    error = PermanentJobError("audio-empty", "The object has no bytes.")

    assert (error.reason, error.detail) == ("audio-empty", "The object has no bytes.")
    assert str(error) == "audio-empty: The object has no bytes."


@pytest.mark.parametrize(
    "error",
    [
        client_error("SlowDown", 503),
        client_error("InternalError", 500),
        client_error("ExpiredToken"),
        client_error("RequestTimeTooSkewed", 403),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
def test_what_any_call_would_have_met_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        client_error("ConditionalRequestConflict", 409),
        client_error("PreconditionFailed", 412),
        client_error("AccessDenied", 403),
        client_error("NoSuchKey", 404),
        TransientError("another writer was faster"),
        PermanentJobError("audio-empty", "there is none"),
        ValueError("a defect"),
    ],
)
def test_what_concerns_one_object_or_one_job_is_no_outage(error: Exception) -> None:
    assert not is_outage(error)
