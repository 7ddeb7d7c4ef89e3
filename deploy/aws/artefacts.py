"""What CloudFormation fetches: the functions' zips and, when it is too large to send along, the template.

Objects are named after their content, so what is there already is not sent again. The bucket is this account's or it
is not used: each call names the owner that it expects.
"""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast, get_args

from botocore.exceptions import ClientError

from deploy.aws.clients import Account, DeployClients
from deploy.aws.host_package import WheelBuilder, build_host_package, build_wheel
from deploy.aws.problems import DeploymentError
from deploy.package import Component, Installer, build_lambda, install_for_lambda
from shared.errors import error_code, is_missing

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
HOST_KEY = "HostPackageKey"
CODE_KEYS = frozenset({*(f"{component.capitalize()}CodeKey" for component in get_args(Component)), HOST_KEY})
# How long S3 may go on refusing a name whose bucket was just deleted, by a dry run for instance.
_NAME_SECONDS = 120.0
_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Builders:
    """What packaging needs of the world outside: pip, twice."""

    install: Installer = install_for_lambda
    wheel: WheelBuilder = build_wheel


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file to be in the code bucket."""

    key: str
    content: bytes


def bucket_name(account: Account, region: str) -> str:
    """The code bucket's name unless another is chosen: one for each account and region, shared by its fleets."""
    return f"scribefleet-code-{account.number}-{region}"


def prefix(fleet: str) -> str:
    """What the keys of a fleet's objects begin with."""
    return f"{fleet}/"


def build_code(fleet: str, builders: Builders, *, with_host: bool) -> dict[str, Artefact]:
    """Package the functions and, if wanted, what a bare host becomes a worker with; by the template's parameter.

    Raises:
        ConfigurationError: the dependencies cannot be installed, or the wheel cannot be built.
    """
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        # Both wait for pip most of the time, and someone waits for both.
        host = beside.submit(build_host_package, builders.wheel) if with_host else None
        install = _installed_once(builders.install, Path(folder) / "installed")
        built = {}
        for component in get_args(Component):
            target = Path(folder) / f"{component}.zip"
            path = build_lambda(component, target, with_dependencies=True, install=install)
            built[f"{component.capitalize()}CodeKey"] = _artefact(fleet, target.name, path.read_bytes())
        if host:
            package = host.result()
            built[HOST_KEY] = Artefact(_key(fleet, "host.tar.gz", package.digest), package.content)
        return built


def template_artefact(fleet: str) -> Artefact:
    """The template. It is larger than CreateChangeSet takes in the request itself (51,200 bytes)."""
    return _artefact(fleet, "template.yaml", TEMPLATE.read_bytes())


def template_url(region: str, bucket: str, artefact: Artefact) -> str:
    """The address at which CloudFormation fetches the template; the caller's permissions hold for it."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{bucket}.s3.{region}.{suffix}/{artefact.key}"


def ensure_bucket(aws: DeployClients, account: Account, bucket: str) -> bool:
    """Make the code bucket unless it is there; whether it was made.

    Raises:
        DeploymentError: the name belongs to somebody else, or the bucket is in another region.
    """
    if _is_there(aws, account, bucket):
        return False
    deadline = aws.clock.monotonic() + _NAME_SECONDS
    while not _create(aws, bucket, patient=aws.clock.monotonic() < deadline):
        aws.clock.sleep(_POLL_SECONDS)
    # S3 makes new buckets private and encrypted by itself; said once more for accounts whose defaults were changed.
    aws.s3.put_public_access_block(
        Bucket=bucket,
        ExpectedBucketOwner=account.number,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    aws.s3.put_bucket_encryption(
        Bucket=bucket,
        ExpectedBucketOwner=account.number,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    return True


def _create(aws: DeployClients, bucket: str, *, patient: bool) -> bool:
    """Create the bucket; False when S3 is still busy with an older one of this name, and `patient`."""
    try:
        if aws.region == "us-east-1":  # the one region that takes no name of itself
            aws.s3.create_bucket(Bucket=bucket)
        else:
            here = cast("BucketLocationConstraintType", aws.region)
            aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": here})
    except ClientError as error:
        if error_code(error) == "OperationAborted" and patient:
            return False
        if error_code(error) == "BucketAlreadyExists":
            raise _taken(bucket) from error
        raise
    return True


def upload(aws: DeployClients, account: Account, bucket: str, artefact: Artefact) -> bool:
    """Put the object there unless it is; whether it was put."""
    try:
        aws.s3.head_object(Bucket=bucket, Key=artefact.key, ExpectedBucketOwner=account.number)
    except ClientError as error:
        if not is_missing(error):
            raise
    else:
        return False
    aws.s3.put_object(
        Bucket=bucket,
        Key=artefact.key,
        Body=artefact.content,
        ExpectedBucketOwner=account.number,
        ChecksumAlgorithm="SHA256",
    )
    return True


def upload_all(aws: DeployClients, account: Account, bucket: str, files: Iterable[Artefact]) -> None:
    """Make the bucket unless it is there, and put into it what it does not hold."""
    ensure_bucket(aws, account, bucket)
    for artefact in files:
        upload(aws, account, bucket, artefact)


def remove(aws: DeployClients, account: Account, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects of the code bucket, at most 1,000.

    Raises:
        DeploymentError: S3 left one where it is.
    """
    objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
    answer = aws.s3.delete_objects(
        Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, ExpectedBucketOwner=account.number
    )
    for error in answer.get("Errors", []):
        raise DeploymentError(
            f"S3 did not delete {error.get('Key')} from {bucket}: {error.get('Message')}",
            "Run the same command again.",
        )


def _is_there(aws: DeployClients, account: Account, bucket: str) -> bool:
    try:
        found = aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
    except ClientError as error:
        if is_missing(error):
            return False
        if error_code(error) in {"403", "Forbidden", "AccessDenied"}:
            raise _taken(bucket) from error
        raise
    region = found.get("BucketRegion", aws.region)
    if region != aws.region:
        raise DeploymentError(
            f"The bucket {bucket} is in {region}, and Lambda takes code only from its own region {aws.region}.",
            "Name a bucket of this region: --code-bucket NAME.",
        )
    return True


def _taken(bucket: str) -> DeploymentError:
    return DeploymentError(
        f"The name {bucket} belongs to a bucket of another account, or these credentials may not look at it "
        "(s3:ListBucket).",
        "Name another for the code: --code-bucket NAME; it is made if it is not there.",
    )


def _artefact(fleet: str, name: str, content: bytes) -> Artefact:
    return Artefact(_key(fleet, name, hashlib.sha256(content).hexdigest()), content)


def _key(fleet: str, name: str, digest: str) -> str:
    stem, dot, extension = name.partition(".")
    return f"{prefix(fleet)}{stem}-{digest[:32]}{dot}{extension}"


def _installed_once(install: Installer, kept: Path) -> Installer:
    """Both functions carry the same packages: fetch them once and copy them."""

    def copy(requirements: Path, into: Path) -> None:
        if not kept.exists():
            kept.mkdir()
            install(requirements, kept)
        shutil.copytree(kept, into, dirs_exist_ok=True)

    return copy
