"""Removes a fleet: its stack, its code, and only when told so its recordings.

It goes from what it finds, so what an interrupted removal left is removed by the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.aws import artefacts
from deploy.aws.clients import Account, DeployClients
from deploy.aws.problems import DeploymentError
from deploy.aws.progress import Event, check_outcome, follow, newest_event
from deploy.aws.stack import StackState, look
from shared.errors import is_missing

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

# Types that the template tells CloudFormation to leave when the stack goes; a test holds this to the template.
KEPT_TYPES = frozenset({"AWS::S3::Bucket"})
_FLEET_TAG = "tag:scribefleet:fleet"


@dataclass(frozen=True, slots=True)
class RemovableResource:
    """A resource of the stack."""

    logical_id: str
    kind: str
    physical_id: str

    @property
    def stays(self) -> bool:
        return self.kind in KEPT_TYPES


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is of a fleet.

    Attributes:
        stack: without an id when it is gone already.
        bucket: of the recordings; empty when there is no stack to say so.
        bucket_is_ours: whether the stack made it.
        running: ids of the fleet's instances that run or start.
        code_bucket, code_keys: the fleet's objects in the code bucket.
    """

    account: Account
    stack: StackState
    resources: tuple[RemovableResource, ...]
    bucket: str
    bucket_is_ours: bool
    running: tuple[str, ...]
    code_bucket: str
    code_keys: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.stack.identifier and not self.code_keys


def take_inventory(aws: DeployClients, account: Account, fleet: str, code_bucket: str) -> Inventory:
    """See what there is of a fleet.

    Args:
        code_bucket: where its code is, if not in the usual bucket; empty otherwise.
    """
    stack = look(aws, fleet)
    bucket = code_bucket or stack.parameters.get("CodeBucket") or artefacts.bucket_name(account, aws.region)
    resources = _resources(aws, stack.identifier) if stack.identifier else ()
    return Inventory(
        account=account,
        stack=stack,
        resources=resources,
        bucket=stack.outputs.get("BucketName", ""),
        bucket_is_ours=any(resource.kind == "AWS::S3::Bucket" for resource in resources),
        running=_running(aws, fleet),
        code_bucket=bucket,
        code_keys=_code_keys(aws, account, bucket, fleet),
    )


def check_removable(inventory: Inventory, *, force: bool, delete_data: bool) -> None:
    """Raise a `DeploymentError` when the fleet should not be removed as it is.

    Args:
        force: whether runs in progress may be ended.
        delete_data: whether the recordings are to go as well.
    """
    status = inventory.stack.status
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise DeploymentError(
            f"Somebody is at work on the stack {inventory.stack.name}: it is {status}.",
            "Wait until that is over, then run this again.",
        )
    if inventory.running and not force:
        raise DeploymentError(
            f"A run is in progress on {', '.join(inventory.running)}.",
            "Wait until the fleet is idle (`scribefleet doctor` shows it), or end the run with --force: its jobs go "
            "with the queue, and the next fleet's scan finds their gaps again.",
        )
    if delete_data and not inventory.bucket_is_ours:
        raise DeploymentError(
            f"The stack did not make the bucket {inventory.bucket or 'of the recordings'}, so it is not deleted here.",
            "Leave --delete-data out, or delete the bucket yourself: `aws s3 rb s3://BUCKET --force`.",
        )


def remove_stack(aws: DeployClients, stack: StackState, show: Callable[[Event], None]) -> None:
    """Delete the stack, showing each event.

    Raises:
        DeploymentError: a resource could not be deleted.
    """
    events = []
    last = newest_event(aws, stack.identifier)
    aws.cloudformation.delete_stack(StackName=stack.identifier)
    if not stack.exists:
        return  # an empty stack of a change set goes at once
    for event in follow(aws, stack.identifier, last):
        show(event)
        events.append(event)
    check_outcome(events, stack.name)


def remove_code(aws: DeployClients, inventory: Inventory) -> None:
    """Delete the fleet's objects, and the code bucket with them when it is the usual one and holds nothing else."""
    keys, bucket, owner = inventory.code_keys, inventory.code_bucket, inventory.account.number
    for start in range(0, len(keys), 1000):
        artefacts.remove(aws, inventory.account, bucket, keys[start : start + 1000])
    if not keys or bucket != artefacts.bucket_name(inventory.account, aws.region):
        return
    left = aws.s3.list_objects_v2(Bucket=bucket, MaxKeys=1, ExpectedBucketOwner=owner)
    if not left.get("KeyCount"):
        aws.s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=owner)


def remove_recordings(aws: DeployClients, account: Account, bucket: str, deleted: Callable[[int], None]) -> None:
    """Delete every object of the bucket in every version, and the bucket. Nothing brings them back.

    Args:
        deleted: told how many more are gone.
    """
    pages = aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, ExpectedBucketOwner=account.number)
    for page in pages:
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            continue
        versions: list[ObjectIdentifierTypeDef] = [
            {"Key": item["Key"], "VersionId": item["VersionId"]} for item in found
        ]
        answer = aws.s3.delete_objects(
            Bucket=bucket, Delete={"Objects": versions, "Quiet": True}, ExpectedBucketOwner=account.number
        )
        for error in answer.get("Errors", []):
            raise DeploymentError(
                f"S3 did not delete {error.get('Key')}: {error.get('Message')}",
                f"The stack is gone; delete the rest with `aws s3 rb s3://{bucket} --force`.",
            )
        deleted(len(found))
    aws.s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)


def _resources(aws: DeployClients, stack_id: str) -> tuple[RemovableResource, ...]:
    pages = aws.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    return tuple(
        RemovableResource(item["LogicalResourceId"], item["ResourceType"], item.get("PhysicalResourceId", ""))
        for page in pages
        for item in page["StackResourceSummaries"]
        if item["ResourceStatus"] != "DELETE_COMPLETE"
    )


def _running(aws: DeployClients, fleet: str) -> tuple[str, ...]:
    pages = aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": _FLEET_TAG, "Values": [fleet]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
    )
    return tuple(
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    )


def _code_keys(aws: DeployClients, account: Account, bucket: str, fleet: str) -> tuple[str, ...]:
    try:
        pages = list(
            aws.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=artefacts.prefix(fleet), ExpectedBucketOwner=account.number
            )
        )
    except aws.s3.exceptions.ClientError as error:
        if is_missing(error) or "NoSuchBucket" in str(error):
            return ()
        raise
    return tuple(item["Key"] for page in pages for item in page.get("Contents", []))
