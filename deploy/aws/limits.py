"""What the account may run: its quota of instances and what Lambda concurrency it can reserve.

A quota that cannot be read is reported and never in the way: CloudFormation will meet it.
"""

from dataclasses import dataclass

from deploy.aws.clients import DeployClients
from deploy.aws.problems import DeploymentError, explain
from deploy.quotas import allowed_vcpus, quota_of, vcpus_of
from shared.errors import AWS_ERRORS

# Lambda refuses a reservation that would leave less than this to the functions without one.
_MIN_UNRESERVED = 100


@dataclass(frozen=True, slots=True)
class LimitFinding:
    """What a check of a limit found: parameters to set and lines for the person who deploys."""

    parameters: dict[str, str]
    notes: tuple[str, ...] = ()


def check_quota(aws: DeployClients, instance_type: str, instances: int, *, spot: bool) -> LimitFinding:
    """Whether the account may run this many instances at a time.

    Raises:
        DeploymentError: it may not run a single one.
    """
    quota = quota_of(instance_type, spot=spot)
    if quota is None:
        return LimitFinding({}, (f"the quota for {instance_type} was not checked: its family is not known here",))
    name, code = quota.name, quota.code
    try:
        vcpus = vcpus_of(aws.ec2, instance_type) or 1
        allowed = allowed_vcpus(aws.quotas, quota)
    except AWS_ERRORS as error:
        return LimitFinding(
            {}, (f"the quota of {name} instances could not be checked: {explain(error, aws.region).what.rstrip('.')}",)
        )
    if allowed < vcpus:
        raise DeploymentError(
            f"The account may run {allowed:g} vCPUs of {name} instances in {aws.region}, and one {instance_type} "
            f"has {vcpus}.",
            f"Ask for {vcpus * instances} or more (it takes minutes to days): `aws service-quotas "
            f"request-service-quota-increase --service-code ec2 --quota-code {code} --desired-value "
            f"{vcpus * instances} --region {aws.region}`; or use another --region.",
        )
    if allowed < vcpus * instances:
        return LimitFinding(
            {},
            (
                f"the account may run {allowed:g} vCPUs of {name} instances, which is {int(allowed // vcpus)} "
                f"{instance_type} and not {instances} (quota {code})",
            ),
        )
    return LimitFinding({})


def choose_reservation(aws: DeployClients) -> LimitFinding:
    """Whether the autoscaler's concurrency can be reserved; new accounts have too little for it."""
    try:
        limits = aws.functions.get_account_settings()["AccountLimit"]
    except AWS_ERRORS as error:
        return LimitFinding(
            {}, (f"the Lambda concurrency could not be checked: {explain(error, aws.region).what.rstrip('.')}",)
        )
    if limits["UnreservedConcurrentExecutions"] - 1 >= _MIN_UNRESERVED:
        return LimitFinding({})
    return LimitFinding(
        {"ReserveAutoscalerConcurrency": "false"},
        (
            f"the account's Lambda concurrency is {limits['ConcurrentExecutions']}, so none is reserved for the "
            "autoscaler (a tick that overlaps another does nothing)",
        ),
    )
