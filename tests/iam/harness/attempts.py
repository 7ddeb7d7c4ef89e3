"""What nobody under a role of the fleet should be able to do, tried with the credentials of those who might.

Each attempt is a plain boto3 call through the gate, as malice or a mistake would make it.
"""

from collections.abc import Callable, Mapping

from botocore.exceptions import ClientError

from shared.errors import error_code
from shared.state.instances import FLEET_TAG, STARTED_AT_TAG
from tests.iam.harness.fleet import GuardedFleet


def attempt_all(fleet: GuardedFleet) -> dict[str, str]:
    """Make each attempt, against an instance or object that is really there.

    Returns:
        What was attempted -> AWS's code of the refusal, or nothing where it was allowed.
    """
    (ours,) = fleet.stack.instance_ids
    tags = {FLEET_TAG: _fleet_tag(fleet, ours)}
    untagged, foreign = _run_instance(fleet, {}), _run_instance(fleet, {FLEET_TAG: "another"})
    sibling = _run_instance(fleet, tags)
    ec2, of_worker = fleet.client("autoscaler", "ec2"), fleet.client("worker", "ec2")
    mark = {"Key": STARTED_AT_TAG, "Value": "now"}
    attempts: dict[str, Callable[[], object]] = {
        "autoscaler stops an instance without the fleet's tag": lambda: ec2.stop_instances(InstanceIds=[untagged]),
        "autoscaler stops an instance of another fleet": lambda: ec2.stop_instances(InstanceIds=[foreign]),
        "autoscaler stops one of its own and a foreign one": lambda: ec2.stop_instances(InstanceIds=[ours, foreign]),
        "autoscaler starts an instance without the fleet's tag": lambda: ec2.start_instances(InstanceIds=[untagged]),
        "autoscaler reboots an instance without the fleet's tag": lambda: ec2.reboot_instances(InstanceIds=[untagged]),
        "autoscaler takes an instance into the fleet": lambda: ec2.create_tags(
            Resources=[untagged], Tags=[{"Key": FLEET_TAG, "Value": tags[FLEET_TAG]}]
        ),
        "autoscaler renames an instance": lambda: ec2.create_tags(
            Resources=[ours], Tags=[{"Key": "Name", "Value": "mine"}]
        ),
        "autoscaler hides a foreign tag behind its own": lambda: ec2.create_tags(
            Resources=[ours], Tags=[mark, {"Key": "Name", "Value": "mine"}]
        ),
        "autoscaler takes the fleet's tag away": lambda: ec2.delete_tags(Resources=[ours], Tags=[{"Key": FLEET_TAG}]),
        "autoscaler deletes all tags": lambda: ec2.delete_tags(Resources=[ours]),
        "worker stops another worker's instance": lambda: of_worker.stop_instances(InstanceIds=[sibling]),
        "worker stops an instance without the fleet's tag": lambda: of_worker.stop_instances(InstanceIds=[untagged]),
        "worker stops itself and another": lambda: of_worker.stop_instances(InstanceIds=[ours, sibling]),
        **_attempts_on_data(fleet),
    }
    return {what: _refusal(attempt) for what, attempt in attempts.items()}


def _attempts_on_data(fleet: GuardedFleet) -> dict[str, Callable[[], object]]:
    bucket, table = fleet.stack.bucket, fleet.stack.table_name
    audio = "users/alice/audio/sessions/s1/chunk-001.webm"
    scanner, worker = fleet.client("scanner", "s3"), fleet.client("worker", "s3")
    ledger = fleet.client("autoscaler", "dynamodb")
    record = {"sessionPath": {"S": "autoscaler"}, "chunk": {"S": "tick"}}
    heartbeat = {"sessionPath": {"S": "worker#i-0"}, "chunk": {"S": "heartbeat"}}
    job = {"sessionPath": {"S": "users/alice/audio/sessions/s1"}, "chunk": {"S": "001"}}
    return {
        "scanner reads a recording": lambda: scanner.get_object(Bucket=bucket, Key=audio),
        "scanner overwrites a chunk's transcript": lambda: scanner.put_object(
            Bucket=bucket, Key="users/alice/audio/sessions/s1/transcription-chunk-001.json", Body=b"{}"
        ),
        "worker overwrites a recording": lambda: worker.put_object(Bucket=bucket, Key=audio, Body=b""),
        "worker takes the lock": lambda: worker.put_object(Bucket=bucket, Key="batch-lock.json", Body=b"{}"),
        "worker deletes a transcript": lambda: worker.delete_object(
            Bucket=bucket, Key="users/alice/audio/sessions/s1/transcription-chunk-001.json"
        ),
        "autoscaler writes a job's state": lambda: ledger.put_item(TableName=table, Item=job),
        "autoscaler reads a job's state": lambda: ledger.get_item(TableName=table, Key=job),
        "worker writes the autoscaler's record": lambda: fleet.client("worker", "dynamodb").update_item(
            TableName=table, Key=record
        ),
        "scanner writes a worker's heartbeat": lambda: fleet.client("scanner", "dynamodb").update_item(
            TableName=table, Key=heartbeat
        ),
        "worker reads the dead-letter queue": lambda: fleet.client("worker", "sqs").receive_message(
            QueueUrl=fleet.stack.dead_letter_queue_url
        ),
    }


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except ClientError as error:
        return error_code(error) or "no code"
    return ""


def _fleet_tag(fleet: GuardedFleet, instance: str) -> str:
    return fleet.gate.world.instance_tags(instance)[FLEET_TAG]


def _run_instance(fleet: GuardedFleet, tags: Mapping[str, str]) -> str:
    (instance,) = fleet.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
    if tags:
        fleet.ec2.create_tags(
            Resources=[instance["InstanceId"]], Tags=[{"Key": k, "Value": v} for k, v in tags.items()]
        )
    return instance["InstanceId"]
