"""Deploys the template into the emulator, so that tests look at what came of it and not at its text."""

import base64
import io
import itertools
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from cfnlint.decode import decode

import deploy
from tests.fixtures.fleet_resources import empty_cloud
from tests.fixtures.quick_clients import QuickClients

TEMPLATE = Path(deploy.__file__).parent / "template.yaml"
WORKER_ENV = "/etc/scribefleet/worker.env"

AwsClient = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Fleet:
    """One deployed stack.

    Attributes:
        parameters: those given; the template's defaults hold for the others.
        outputs: the stack's outputs.
        physical: logical id -> physical id of every resource that CloudFormation reports.
        aws: makes a client of the cloud that it was deployed to.
    """

    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    physical: Mapping[str, str | None]
    aws: AwsClient = field(repr=False)

    @property
    def name(self) -> str:
        return self.parameters["FleetName"]

    def instances(self) -> list[dict[str, Any]]:
        """All instances with the fleet's tag, as EC2 describes them."""
        filters = [{"Name": "tag:scribefleet:fleet", "Values": [self.name]}]
        pages = self.aws("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        return [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]

    def launch_data(self) -> dict[str, Any]:
        """What the newest version of the launch template gives an instance."""
        (version,) = self.aws("ec2").describe_launch_template_versions(
            LaunchTemplateId=self.outputs["WorkerLaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        data: dict[str, Any] = version["LaunchTemplateData"]
        return data

    def cloud_config(self) -> dict[str, Any]:
        """The parsed user data of the workers' instances."""
        text = base64.b64decode(self.launch_data()["UserData"]).decode()
        # Without this first line cloud-init takes the rest for nothing that it knows.
        assert text.startswith("#cloud-config\n")
        config: dict[str, Any] = yaml.safe_load(text)
        return config

    def worker_environment(self) -> dict[str, str]:
        """The variables of worker.env, of which systemd takes the last of two with one name."""
        (file,) = (file for file in self.cloud_config()["write_files"] if file["path"] == WORKER_ENV)
        lines = [line for line in file["content"].splitlines() if line]
        assert all("=" in line for line in lines)
        return dict(line.split("=", 1) for line in lines)

    def function_environment(self, output: str) -> dict[str, str]:
        """The variables of the function that an output names."""
        answer = self.aws("lambda").get_function_configuration(FunctionName=self.outputs[output])
        variables: dict[str, str] = answer["Environment"]["Variables"]
        return variables


Deploy = Callable[..., Fleet]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """The template with its short forms written out."""
    parsed, problems = decode(str(TEMPLATE))
    assert not problems
    assert parsed is not None
    return dict(parsed)


@pytest.fixture(scope="module")
def aws(moto_endpoint: str, quick_clients: QuickClients) -> Iterator[AwsClient]:
    """Makes clients of an emulator that is empty when a module's first test begins."""
    with pytest.MonkeyPatch.context() as environment:
        # A developer's profile and proxy must not reach the tests, nor the tests a developer's account.
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("NO_PROXY", "127.0.0.1")
        quick_clients.install(environment)
        empty_cloud()
        session = botocore.session.Session()
        yield lambda service: session.create_client(service, region_name="us-east-1", endpoint_url=moto_endpoint)


@pytest.fixture(scope="module")
def deploy_fleet(aws: AwsClient) -> Deploy:
    """A function that deploys one more fleet, with a name of its own that begins with the one given."""
    numbers = itertools.count(1)

    def deploy_one(prefix: str, **parameters: str) -> Fleet:
        name = f"{prefix}-{next(numbers)}"
        given = _surroundings(aws) | {"FleetName": name, **parameters}
        cloudformation = aws("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        reported = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return Fleet(
            parameters=given,
            outputs={output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
            # The emulator reports a resource whose condition is false as one without a name.
            physical={
                r["LogicalResourceId"]: r.get("PhysicalResourceId") for r in reported if "LogicalResourceId" in r
            },
            aws=aws,
        )

    return deploy_one


def _surroundings(aws: AwsClient) -> dict[str, str]:
    """What has to be there before the stack: the code's bucket with the zips, a network, an AMI."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="lambda-code")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("handler.py", "")
    for key in ("scanner.zip", "autoscaler.zip"):
        s3.put_object(Bucket="lambda-code", Key=key, Body=archive.getvalue())
    subnet = aws("ec2").describe_subnets()["Subnets"][0]
    return {
        "CodeBucket": "lambda-code",
        "ScannerCodeKey": "scanner.zip",
        "AutoscalerCodeKey": "autoscaler.zip",
        "ImageId": "ami-12c6146b",
        "SubnetIds": subnet["SubnetId"],
        "VpcId": subnet["VpcId"],
    }
