"""Finds in the account what a new fleet needs, and checks what was given: network, AMI, instances, buckets.

Only looks; what it finds becomes parameters of the stack.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy.aws.clients import Account, DeployClients
from deploy.aws.problems import DeploymentError
from shared.errors import error_code, is_missing

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef, SubnetTypeDef

# Public parameter in which AWS names the newest AMI of the kind in each region: Ubuntu with NVIDIA's driver.
IMAGE_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"


def find_network(aws: DeployClients, instance_type: str, given: Mapping[str, str]) -> dict[str, str]:
    """VPC and subnets for the instances: the default VPC's, unless one or the other is given.

    Returns:
        VpcId and SubnetIds, without the given ones. Only subnets whose zone has the instance type count.

    Raises:
        DeploymentError: there is no default VPC, or no subnet in a zone that has the type; a given one does not exist.
    """
    subnets = _subnets(aws, given)
    zones = _zones_with(aws, instance_type)
    fitting = sorted(
        (subnet for subnet in subnets if subnet["AvailabilityZone"] in zones), key=lambda s: s["AvailabilityZone"]
    )
    if not fitting:
        where = ", ".join(sorted(zones)) or "no zone of this region"
        raise DeploymentError(
            f"None of the subnets ({_names(subnets)}) is in a zone with {instance_type}; AWS has it in {where}.",
            "Name a subnet of such a zone (--parameter SubnetIds=subnet-...), another InstanceType or --region.",
        )
    found = {
        "VpcId": fitting[0]["VpcId"],
        "SubnetIds": ",".join(subnet["SubnetId"] for subnet in fitting),
    }
    return {name: value for name, value in found.items() if name not in given}


def find_image(aws: DeployClients, identifier: str, least_gib: int) -> dict[str, str]:
    """The AMI and what follows from it: its root device's name, and a volume that is large enough for it.

    Args:
        identifier: of the AMI; empty for the newest that AWS makes for GPUs.
        least_gib: size of the root volume in GiB that is wanted anyway.

    Returns:
        ImageId, RootDeviceName and RootVolumeGiB.

    Raises:
        DeploymentError: the AMI does not exist here, or AWS names none for the region.
    """
    image = _describe_image(aws, identifier or _newest_image(aws))
    root = image["RootDeviceName"]
    sizes = [
        disk["Ebs"].get("VolumeSize", 0)
        for disk in image.get("BlockDeviceMappings", [])
        if disk.get("DeviceName") == root and "Ebs" in disk
    ]
    return {
        "ImageId": image["ImageId"],
        "RootDeviceName": root,
        "RootVolumeGiB": str(max(least_gib, *sizes, 0)),
    }


def check_instances(aws: DeployClients, identifiers: Sequence[str]) -> None:
    """Raise a `DeploymentError` when one of the instances that are to be the pool does not exist."""
    try:
        aws.ec2.describe_instances(InstanceIds=list(identifiers))
    except ClientError as error:
        if not error_code(error).startswith("InvalidInstanceID"):
            raise
        raise DeploymentError(
            f"There is no such instance in {aws.region}: {error.response['Error']['Message']}",
            "Name instances of this account and region (`aws ec2 describe-instances`), or none: the stack makes them.",
        ) from error


def check_recordings(aws: DeployClients, account: Account, bucket: str) -> None:
    """Raise a `DeploymentError` when the bucket of the recordings does not exist or belongs to someone else."""
    try:
        aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
    except ClientError as error:
        if is_missing(error):
            raise DeploymentError(
                f"There is no bucket {bucket}.",
                "Name the bucket that holds the recordings, or leave ExistingBucketName out, and the stack makes one.",
            ) from error
        raise DeploymentError(
            f"The bucket {bucket} belongs to another account, or these credentials may not look at it (s3:ListBucket).",
            f"Name a bucket of the account {account.number}.",
        ) from error


def _subnets(aws: DeployClients, given: Mapping[str, str]) -> "list[SubnetTypeDef]":
    named = [name.strip() for name in given.get("SubnetIds", "").split(",") if name.strip()]
    try:
        if named:
            return aws.ec2.describe_subnets(SubnetIds=named)["Subnets"]
        vpc = given.get("VpcId") or _default_vpc(aws)
        found = aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    except ClientError as error:
        if not error_code(error).startswith("InvalidSubnet"):
            raise
        raise DeploymentError(
            f"There is no such subnet in {aws.region}: {error.response['Error']['Message']}",
            "`aws ec2 describe-subnets` lists them; --parameter SubnetIds=subnet-... names one.",
        ) from error
    if not found:
        raise DeploymentError(
            f"The VPC {vpc} has no subnet.", "Add one with a way out to the internet, or name another VPC."
        )
    # A default VPC's own subnets are public; others may have been added that are not.
    return [subnet for subnet in found if subnet.get("DefaultForAz")] or found


def _default_vpc(aws: DeployClients) -> str:
    found = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise DeploymentError(
            f"The account has no default VPC in {aws.region}.",
            "Make one (`aws ec2 create-default-vpc`) or name yours: --parameter VpcId=vpc-... SubnetIds=subnet-..., "
            "a subnet from which AWS can be reached by HTTPS.",
        )
    return found[0]["VpcId"]


def _zones_with(aws: DeployClients, instance_type: str) -> set[str]:
    answer = aws.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )
    return {offering["Location"] for offering in answer["InstanceTypeOfferings"]}


def _newest_image(aws: DeployClients) -> str:
    try:
        return aws.ssm.get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
        raise DeploymentError(
            f"AWS names no Deep Learning Base AMI (Ubuntu 24.04) in {aws.region}.",
            "Use another --region, or name an AMI with NVIDIA's driver: --parameter ImageId=ami-...",
        ) from error


def _describe_image(aws: DeployClients, identifier: str) -> "ImageTypeDef":
    try:
        found = aws.ec2.describe_images(ImageIds=[identifier])["Images"]
    except ClientError as error:
        if not error_code(error).startswith("InvalidAMIID"):
            raise
        found = []
    if not found:
        raise DeploymentError(
            f"There is no AMI {identifier} in {aws.region}, or it is not shared with this account.",
            "AMIs belong to one region: name one of this region (--parameter ImageId=ami-...), or none, and the "
            "newest Deep Learning Base AMI is taken.",
        )
    return found[0]


def _names(subnets: "Sequence[SubnetTypeDef]") -> str:
    return ", ".join(f"{subnet['SubnetId']} in {subnet['AvailabilityZone']}" for subnet in subnets)
