"""What the fleet remembers: bucket, lock, ledger."""

from collections.abc import Iterator
from datetime import timedelta

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, warning
from shared.errors import AWS_ERRORS, error_code
from shared.formats.layout import LOCK_KEY
from shared.state.lock import LockState, SessionLock

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# Reads all holds that an object has, however old they are.
_NEVER_STALE = timedelta(days=3650)


def look_at_bucket(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Whether the recordings can be listed."""
    bucket = fleet.settings.bucket
    try:
        fleet.clients.s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except AWS_ERRORS as error:
        if error_code(error) != "NoSuchBucket":
            raise
        remedy = "restore it, or deploy with ExistingBucketName naming the bucket that holds the recordings"
        yield failure("bucket", f"{bucket} does not exist", remedy)
        return
    yield ok("bucket", f"{bucket} can be listed")


def look_at_public_access(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Whether the bucket keeps recordings from the public, whatever policy or ACL someone writes."""
    bucket = fleet.settings.bucket
    try:
        set_to = fleet.clients.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except AWS_ERRORS as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        set_to = {}
    open_ways = [name for name in _BLOCKS if not set_to.get(name)]
    if open_ways:
        yield failure(
            "public access",
            f"{bucket} does not block it: {', '.join(open_ways)} off",
            f"aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration "
            + ",".join(f"{name}=true" for name in _BLOCKS),
        )
    else:
        yield ok("public access", f"{bucket} blocks it")


def look_at_encryption(fleet: ExaminedFleet) -> Iterator[Finding]:
    """How the bucket encrypts what is put into it."""
    bucket = fleet.settings.bucket
    try:
        answer = fleet.clients.s3.get_bucket_encryption(Bucket=bucket)
    except AWS_ERRORS as error:
        if error_code(error) != "ServerSideEncryptionConfigurationNotFoundError":
            raise
        remedy = f"turn default encryption on for {bucket} (S3 console, Properties)"
        yield warning("encryption", f"{bucket} has no default encryption", remedy)
        return
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    yield ok("encryption", f"{bucket} encrypts with {rule['SSEAlgorithm']}")


def look_at_lock(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Who holds the lock, by the same reading as the fleet's."""
    if not fleet.settings.lock_enabled:
        yield ok("lock", "off by setting: this fleet shares no GPU with live sessions")
        return
    fresh = _read(fleet, timedelta(minutes=fleet.settings.lock_stale_minutes))
    yield lock_finding(fresh, _read(fleet, _NEVER_STALE), fleet.settings.bucket)


def lock_finding(fresh: LockState, ever: LockState, bucket: str) -> Finding:
    """What the lock means: `fresh` as the fleet sees it, `ever` with the holds that nobody has refreshed."""
    if fresh.problem:
        remedy = (
            f"nothing starts while it cannot be read. If no session is live: aws s3 rm s3://{bucket}/{LOCK_KEY}; "
            "else mend the recorder that wrote it, or the permission to read it"
        )
        return failure("lock", fresh.describe(), remedy)
    stale = [holder for holder in ever.holders if holder not in fresh.holders]
    if stale:
        names = ", ".join(holder.session_id for holder in stale[:3])
        return warning(
            "lock",
            f"{fresh.describe()}; {len(stale)} stale holds that count as gone ({names})",
            "a recorder ends without releasing its hold, or has stopped refreshing it",
        )
    return ok("lock", fresh.describe() + (": the fleet waits for it" if fresh.held else ""))


def look_at_table(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The ledger's table."""
    name = fleet.settings.table_name
    table = fleet.clients.dynamodb.describe_table(TableName=name)["Table"]
    if table["TableStatus"] not in {"ACTIVE", "UPDATING"}:
        yield failure("ledger", f"the table {name} is {table['TableStatus']}", "wait, or deploy again")
        return
    yield ok("ledger", f"the table {name} is {table['TableStatus'].lower()}")
    ttl = fleet.clients.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if ttl.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"} or ttl.get("AttributeName") != "ttl":
        remedy = (
            f"aws dynamodb update-time-to-live --table-name {name} "
            "--time-to-live-specification Enabled=true,AttributeName=ttl"
        )
        yield warning("ledger", "old entries are never deleted: TTL on the attribute `ttl` is off", remedy)


def _read(fleet: ExaminedFleet, stale_after: timedelta) -> LockState:
    return SessionLock(fleet.clients.s3, fleet.settings.bucket, fleet.clock, stale_after).read()
