"""A fleet in the emulator whose worker a test plays by hand, while the self-test waits."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.tick import Autoscaler
from deploy.clients import OperatorClients, aws_clients
from deploy.selftest.run import FleetSelfTest, SelfTestOptions, SelfTestParts, make_parts
from producer.scan.scan import Scanner
from shared.formats.messages import ChunkJob, parse_job
from shared.settings import Settings
from shared.state.instances import FLEET_TAG
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

SAID = "It was the age of wisdom, it was the age of foolishness."


@dataclass(slots=True)
class EventfulClock:
    """A clock on which other things happen while somebody sleeps: each sleep does the next of `events`, if any."""

    clock: "FakeClock"
    events: list[Callable[[], object]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        if self.events:
            self.events.pop(0)()


@dataclass(slots=True)
class Site:
    """The fleet, and what a worker does there."""

    cloud: "Cloud"
    clock: EventfulClock
    clients: OperatorClients
    settings: Settings
    told: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.cloud.dynamodb, self.settings, self.clock)

    def deploy(self) -> None:
        """Let CloudFormation name the emulator's resources as the fleet `scribefleet`."""
        outputs = {
            "BucketName": self.settings.bucket,
            "JobsQueueUrl": self.settings.jobs_queue_url,
            "PriorityQueueUrl": self.settings.priority_queue_url,
            "DeadLetterQueueUrl": self.settings.dead_letter_queue_url,
            "TableName": self.settings.table_name,
            "ScannerFunctionName": "scanner",
        }
        template = {
            "Resources": {"Marker": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        self.clients.cloudformation.create_stack(StackName="scribefleet", TemplateBody=json.dumps(template))

    def add_instance(self, **tags: str) -> str:
        """An instance of the fleet that runs; returns its id."""
        ec2: Any = self.cloud.ec2
        (made,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
        all_tags = {FLEET_TAG: self.settings.fleet_name, **tags}
        ec2.create_tags(
            Resources=[made["InstanceId"]], Tags=[{"Key": key, "Value": value} for key, value in all_tags.items()]
        )
        return str(made["InstanceId"])

    def self_test(self, **options: Any) -> FleetSelfTest:
        return FleetSelfTest(self.parts(), SelfTestOptions(**{"timeout_seconds": 600, **options}), self.told.append)

    def parts(self) -> SelfTestParts:
        return make_parts(
            self.clients,
            self.settings,
            self.clock,
            lambda: Autoscaler.from_settings(self.settings, self.clock, dry_run=True).tick(),
            lambda: Scanner.from_settings(self.settings, self.clock).scan(enqueue=True),
        )

    # --- what a worker does

    def take(self, worker: str = "i-1") -> tuple[ChunkJob, Callable[[], object]]:
        """Receive the one job, as a worker does; returns it and what deletes its message."""
        for url in (self.settings.priority_queue_url, self.settings.jobs_queue_url):
            for message in self.cloud.sqs.receive_message(QueueUrl=url).get("Messages", []):
                job = parse_job(message["Body"], bucket=self.settings.bucket)
                self.ledger.processing(job, worker, 1)
                receipt = message["ReceiptHandle"]
                return job, lambda url=url, receipt=receipt: self.cloud.sqs.delete_message(
                    QueueUrl=url, ReceiptHandle=receipt
                )
        raise AssertionError("no job waits")

    def work(self, heard: str = SAID, worker: str = "i-1") -> None:
        """Take the job, publish what was heard, delete the message."""
        job, delete = self.take(worker)
        body = json.dumps({"text": heard}).encode()
        self.cloud.s3.put_object(Bucket=self.settings.bucket, Key=job.transcript_key, Body=body)
        self.ledger.finished(job, "completed")
        delete()

    def fail(self) -> None:
        """Take the job and give it to the dead-letter queue."""
        job, delete = self.take()
        self.cloud.sqs.send_message(QueueUrl=self.settings.dead_letter_queue_url, MessageBody=job.to_json())
        self.ledger.finished(job, "failed", error="audio-empty: no audio")
        delete()

    # --- what is there

    def objects(self) -> list[str]:
        """Every object of the bucket but what scans and reports write."""
        listed = self.cloud.s3.list_objects_v2(Bucket=self.settings.bucket, Prefix="users/").get("Contents", [])
        return [item["Key"] for item in listed]

    def bodies(self, queue_url: str) -> list[str]:
        """The messages that can be received from a queue now."""
        answer = self.cloud.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture
def site(cloud: "Cloud", clock: "FakeClock") -> Site:
    return Site(cloud, EventfulClock(clock), aws_clients(), cloud.settings)
