"""Lays out what a fleet's tests begin with in moto, whose server runs in this process.

This goes by moto's own objects: to ask its server five times for each of seven hundred tests would take longer than
most of those tests do. Whatever a test does with what is laid out here goes through the server.
"""

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from moto import backends
from moto.dynamodb.models import dynamodb_backends
from moto.ec2.models import amis
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

ACCOUNT = "123456789012"  # moto's, for every access key that belongs to no user
IMAGES = {"ami-12c6146b", "ami-760aaa0f"}  # of moto's, with root devices of different names


def keep_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let EC2 begin with two images: to make moto's 1,300 anew takes longer than most tests that have instances."""
    monkeypatch.setattr(amis, "AMIS", [image for image in amis.AMIS if image["ami_id"] in IMAGES])
    monkeypatch.setattr(amis, "load_resource", lambda _: [])


def know_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server look once into the folder where moto's services are, and not for every request."""
    modules = tuple(backends.list_of_moto_modules())
    monkeypatch.setattr(backends, "list_of_moto_modules", lambda: modules)


def write_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes with a condition take turns, as on AWS: of two at the same moment moto could find it true for both."""
    turn = threading.Lock()
    answer = DomainDispatcherApplication.__call__

    def in_turn(app: DomainDispatcherApplication, environ: dict[str, Any], start_response: Any) -> Any:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        conditional = environ.keys() & {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}
        with turn if conditional or target.startswith("DynamoDB_") else nullcontext():
            return answer(app, environ, start_response)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", in_turn)


def empty_cloud() -> None:
    """What a POST to /moto-api/reset does."""
    moto_api_backend.reset()


def lay_out_bucket(name: str, region: str) -> None:
    s3_backends[ACCOUNT]["aws"].create_bucket(name, region)


def lay_out_objects(bucket: str, objects: Mapping[str, bytes]) -> None:
    """Key -> content; for more objects than a page of a listing has."""
    for key, content in objects.items():
        s3_backends[ACCOUNT]["aws"].put_object(bucket, key, content)


def lay_out_queue(endpoint: str, region: str, name: str, **attributes: str) -> str:
    """Returns the queue's URL on the server at `endpoint`."""
    sqs_backends[ACCOUNT][region].create_queue(name, None, **attributes)
    return f"{endpoint}/{ACCOUNT}/{name}"


def lay_out_table(name: str, region: str, hash_key: str, range_key: str) -> None:
    """A table whose keys are both text, paid for by request."""
    dynamodb_backends[ACCOUNT][region].create_table(
        name,
        schema=[
            {"AttributeName": hash_key, "KeyType": "HASH"},
            {"AttributeName": range_key, "KeyType": "RANGE"},
        ],
        attr=[
            {"AttributeName": hash_key, "AttributeType": "S"},
            {"AttributeName": range_key, "AttributeType": "S"},
        ],
        throughput=None,
        global_indexes=[],
        indexes=[],
        streams=None,
        billing_mode="PAY_PER_REQUEST",
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )
