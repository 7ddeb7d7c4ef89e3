"""What can stop a deployment, each with its remedy: the one classifier of AWS's refusals and of failed resources.

It turns errors and CloudFormation's reasons into `DeploymentError`s. It calls nothing and decides nothing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import boto3
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    InvalidRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from deploy.aws.permissions import ACTIONS
from shared.errors import AWS_ERRORS, ScribefleetError, error_code

POLICY = "deploy/aws/deployer-policy.json"


class DeploymentError(ScribefleetError):
    """A deployment cannot go on: what is wrong, and on a second line what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy


class _Known(NamedTuple):
    """A cause that is recognised by its text, and its remedy, in which {} names a group of the pattern."""

    pattern: str
    remedy: str


_SIGN_IN = "Sign in again (`aws sso login`, or new keys), check with `aws sts get-caller-identity`, and run this again."
_REGION = "Check the region's name and that it is enabled for the account (`aws account list-regions`), then --region."

# Error codes of calls, whatever the service.
_BY_CODE = {
    "ExpiredToken": ("The credentials have expired.", _SIGN_IN),
    "ExpiredTokenException": ("The credentials have expired.", _SIGN_IN),
    "RequestExpired": ("The credentials have expired, or this machine's clock is wrong.", _SIGN_IN),
    "InvalidClientTokenId": ("AWS does not know these credentials in this region.", f"{_SIGN_IN} {_REGION}"),
    "UnrecognizedClientException": ("AWS does not know these credentials in this region.", f"{_SIGN_IN} {_REGION}"),
    "AuthFailure": ("AWS does not know these credentials in this region.", f"{_SIGN_IN} {_REGION}"),
    "SignatureDoesNotMatch": ("The secret access key does not fit the access key.", _SIGN_IN),
    "OptInRequired": ("The account may not use this service here yet.", _REGION),
    "RequestTimeTooSkewed": ("This machine's clock is wrong.", "Set the clock and run this again."),
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"}
_ACTION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")

# Why CloudFormation could not make or change a resource, and what helps.
_REASONS = (
    _Known(
        r"VcpuLimitExceeded|more vCPU capacity than your current vCPU limit|MaxSpotInstanceCountExceeded",
        "The account may not run this many GPU instances in this region: ask for more under Service Quotas, Amazon "
        "EC2, `Running On-Demand G and VT instances` (L-DB2E81BA; 4 vCPUs for each g4dn.xlarge), or use another "
        "--region.",
    ),
    _Known(
        r"TerminationProtection",
        "Somebody has protected the stack against this: `aws cloudformation update-termination-protection "
        "--no-enable-termination-protection --stack-name NAME`, if you are sure.",
    ),
    _Known(
        r"OperationAborted|conflicting conditional operation",
        "S3 is still busy with a deleted bucket of this name: wait some minutes and run the same command again.",
    ),
    _Known(
        r"InsufficientInstanceCapacity|sufficient .*capacity in the Availability Zone",
        "AWS has no such instance left in this zone: try again later, or name a subnet of another zone "
        "(--parameter SubnetIds=subnet-...).",
    ),
    _Known(
        r"not supported in your requested Availability Zone",
        "Name a subnet of a zone that has this instance type (--parameter SubnetIds=subnet-...).",
    ),
    _Known(
        r"UnreservedConcurrentExecution|ReservedConcurrentExecutions for function",
        "The account's Lambda concurrency is too small to reserve any: --parameter ReserveAutoscalerConcurrency=false, "
        "or ask for more under Service Quotas, AWS Lambda, `Concurrent executions`.",
    ),
    _Known(
        r"InvalidAMIID|image id '\[?[\w-]+\]?' does not exist",
        "AMIs belong to one region: name one of this region (--parameter ImageId=ami-...).",
    ),
    _Known(
        r"InvalidInstanceID|instance ID '?[\w-]+'? does not exist",
        "Name instances of this account and region, or none (--parameter ExistingInstanceIds=).",
    ),
    _Known(
        r"smaller than snapshot|InvalidBlockDeviceMapping",
        "The AMI's root volume does not fit: set --parameter RootVolumeGiB= and RootDeviceName= to what "
        "`aws ec2 describe-images` says.",
    ),
    _Known(
        r"PendingVerification|account is currently blocked|OptInRequired",
        "AWS is still verifying the account: wait for its e-mail (minutes to a day) or ask AWS Support.",
    ),
    _Known(
        r"already exists",
        "Something else in the account has this name: choose another --fleet, or remove what is left of an older one.",
    ),
    _Known(
        r"(?:[Ii]nvalid parameter: Email|Invalid email)",
        "SNS does not take this address: --email name@example.org.",
    ),
    _Known(
        r"S3 Error Code: (?:NoSuchKey|NoSuchBucket|PermanentRedirect)",
        "The functions' code is not where it was put: run the same command again; it uploads what is missing.",
    ),
    _Known(
        r"security token .* expired|ExpiredToken",
        f"The credentials expired while the stack was being made. {_SIGN_IN}",
    ),
)


def explain(error: Exception, region: str | None) -> DeploymentError:
    """What an error of boto3 means for the person who deploys.

    Args:
        region: where the call went, for the messages.
    """
    if isinstance(error, ClientError):
        return _explain_answer(error, region)
    if isinstance(error, (SSOError, TokenRetrievalError, UnauthorizedSSOTokenError)):
        return DeploymentError(f"The sign-in has expired: {error}", _SIGN_IN)
    if isinstance(error, ProfileNotFound):
        return DeploymentError(
            str(error), "`aws configure list-profiles` lists them; --profile or AWS_PROFILE chooses one."
        )
    if isinstance(error, (EndpointConnectionError, InvalidRegionError)):
        known = region in _regions()
        remedy = "Check the network and its proxy." if known else _REGION
        place = f"AWS cannot be reached in {region}" if known else f"There seems to be no region {region!r}"
        return DeploymentError(f"{place}: {error}", remedy)
    return DeploymentError(f"AWS: {error}", "Check the network and the AWS set-up with `aws sts get-caller-identity`.")


def explain_reason(resource: str, reason: str) -> DeploymentError:
    """What CloudFormation's reason for a failed resource means.

    Args:
        resource: its logical id and type, for people.
    """
    text = reason.strip() or "CloudFormation gives no reason"
    denied = _ACTION.search(text)
    if denied:
        return DeploymentError(f"{resource} failed: {text}", _missing(denied[1]))
    for known in _REASONS:
        if re.search(known.pattern, text):
            return DeploymentError(f"{resource} failed: {text}", known.remedy)
    return DeploymentError(f"{resource} failed: {text}", "Mend what the reason names and run the same command again.")


@contextmanager
def explained(region: str | None) -> Iterator[None]:
    """Turn what AWS refuses inside the block into a `DeploymentError`; absent credentials keep their own error."""
    try:
        yield
    except ClientError as error:
        raise explain(error, region) from error
    except AWS_ERRORS as error:
        if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError", "NoRegionError"}:
            raise
        raise explain(error, region) from error


def denied_action(error: ClientError) -> str | None:
    """The IAM action that was refused, such as `ec2:DescribeVpcs`; None when that was not the reason."""
    if error_code(error) not in _DENIED:
        return None
    said = _ACTION.search(str(error))
    if said:
        return said[1]
    # EC2 and a HEAD of S3 do not say it.
    return ACTIONS.get(error.operation_name, error.operation_name)


def _explain_answer(error: ClientError, region: str | None) -> DeploymentError:
    action = denied_action(error)
    if action:
        return DeploymentError(f"These credentials lack the permission {action}: {_message(error)}", _missing(action))
    known = _BY_CODE.get(error_code(error))
    if known:
        return DeploymentError(f"{known[0]} ({_message(error)}; region {region})", known[1])
    return DeploymentError(f"AWS refused {error.operation_name}: {_message(error)}", _remedy(_message(error)))


def _remedy(text: str) -> str:
    for known in _REASONS:
        if re.search(known.pattern, text):
            return known.remedy
    return "Mend what AWS names and run the same command again; nothing of what is done so far is lost."


def _missing(action: str) -> str:
    return f"Ask whoever manages the account to allow {action}; {POLICY} is the policy that covers everything."


def _message(error: ClientError) -> str:
    said = error.response.get("Error", {})
    return f"{said.get('Code', '')}: {said.get('Message', '') or 'no message'}"


def _regions() -> set[str]:
    session = boto3.Session()
    partitions = session.get_available_partitions()
    return {name for partition in partitions for name in session.get_available_regions("ec2", partition)}
