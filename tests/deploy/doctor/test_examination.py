import threading
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from deploy.doctor.examination import Check, examine, permissions, refused_action
from deploy.doctor.finding import Finding, Status, is_healthy, ok, warning
from shared.errors import LedgerError

NOT = "not authorized to perform"


def aws_error(code: str, message: str = "", operation: str = "GetBucketEncryption") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def fine(_seen: None) -> Iterator[Finding]:
    yield ok("fine", "all well")


@pytest.mark.parametrize(
    ("error", "status", "seen"),
    [
        (aws_error("AccessDenied"), Status.UNKNOWN, "AWS refused the call GetBucketEncryption"),
        (aws_error("InternalError", "oops"), Status.UNKNOWN, "AWS did not answer: An error occurred (InternalError)"),
        (ConnectTimeoutError(endpoint_url="https://x"), Status.UNKNOWN, "AWS did not answer: Connect timeout"),
        (LedgerError("the ledger is throttled"), Status.UNKNOWN, "the ledger is throttled"),
        (KeyError("Nope"), Status.UNKNOWN, "the check itself failed: KeyError: 'Nope'"),
        (ModuleNotFoundError("x", name="ctranslate2"), Status.FAILURE, "the package ctranslate2 is missing"),
    ],
)
def test_given_a_check_that_breaks_then_what_it_saw_and_all_others_stand(
    error: Exception, status: Status, seen: str
) -> None:
    def breaks(_seen: None) -> Iterator[Finding]:
        yield warning("first", "seen before it broke", "look")
        raise error

    found = examine([Check("one", fine), Check("two", breaks), Check("three", fine)], None)

    assert [finding.subject for finding in found] == ["fine", "first", "two", "fine"]
    assert found[2].status is status
    assert found[2].seen.startswith(seen)
    assert found[2].remedy


def test_given_checks_that_wait_then_they_wait_side_by_side_and_keep_their_order() -> None:
    both_here = threading.Barrier(2, timeout=10)

    def waits(_seen: None) -> Iterator[Finding]:
        both_here.wait()
        yield ok("waited", str(threading.get_ident()))

    first, second = examine([Check("a", waits), Check("b", waits)], None)

    assert first.seen != second.seen


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (aws_error("AccessDenied", f"User: u is {NOT}: s3:GetBucketAcl on resource: b"), "s3:GetBucketAcl"),
        (
            aws_error("UnauthorizedOperation", f"You are {NOT} this operation. User: u is {NOT}: ec2:Describe because"),
            "ec2:Describe",
        ),
        (aws_error("403", "Forbidden", "HeadBucket"), "the call HeadBucket"),
        (aws_error("NoSuchBucket"), ""),
        (ValueError("AccessDenied"), ""),
    ],
)
def test_a_refusal_names_the_action_that_is_missing(error: Exception, action: str) -> None:
    assert refused_action(error) == action


def test_given_several_refusals_then_one_finding_names_each_action_once() -> None:
    refusals = [Finding("a", Status.UNKNOWN, "", "", action) for action in ("sqs:GetQueueAttributes", "s3:X", "s3:X")]

    (found,) = permissions([ok("b", "fine"), *refusals])

    assert (found.status, found.seen) == (Status.UNKNOWN, "AWS refused to look: s3:X, sqs:GetQueueAttributes")


def test_given_no_refusal_then_it_says_so() -> None:
    (found,) = permissions([ok("b", "fine")])

    assert found.status is Status.OK


def test_only_a_failure_makes_a_fleet_unhealthy() -> None:
    each = {status: is_healthy([ok("a", ""), Finding("b", status, "")]) for status in Status}

    assert [status for status, healthy in each.items() if not healthy] == [Status.FAILURE]
