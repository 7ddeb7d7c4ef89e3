"""Finds the AWS calls that code can make, from its syntax alone: no test has to make one for it to be found.

Operations are recognised by boto3's names for them, whatever the client is called, and also where a method is only
passed on, to be called elsewhere.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import botocore.session
from botocore import xform_name

_SERVICES = ("autoscaling", "dynamodb", "ec2", "s3", "sns", "sqs")
# The operator's commands act with the permissions of whoever runs them, and with no role of the fleet's.
_PEOPLES = "operator"
# Of boto3's S3 client, made of several operations (boto3 reference, "S3 customization reference").
_TRANSFERS = {"copy", "download_file", "download_fileobj", "upload_file", "upload_fileobj"}


class UnknownCallError(Exception):
    """A call of which the source does not tell the operation."""


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A call that a module can make."""

    module: str
    service: str
    operation: str


def uses_in(package: Path) -> set[Use]:
    """The calls in all modules of a package; modules are named from the package's parent.

    Raises:
        UnknownCallError: a source does not tell which operation it calls.
    """
    found: set[Use] = set()
    for path in fleet_modules(package):
        module = path.relative_to(package.parent).as_posix()
        found |= {Use(module, *call) for call in calls_in(path.read_text())}
    return found


def fleet_modules(package: Path) -> list[Path]:
    """The package's modules, without those that only people's commands use."""
    return [path for path in sorted(package.rglob("*.py")) if _PEOPLES not in path.relative_to(package).parts[:-1]]


def calls_in(source: str) -> Iterator[tuple[str, str]]:
    """Service and operation of each call in a source text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield from _named(node.attr, node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _paged(node, node.func)


def _paged(call: ast.Call, method: ast.Attribute) -> Iterator[tuple[str, str]]:
    """What a paginator or waiter calls."""
    if method.attr in {"get_paginator", "get_waiter"}:
        if not isinstance(call.args[0], ast.Constant):
            raise UnknownCallError(ast.unparse(call))
        yield from _named(str(call.args[0].value), method.value)


def _named(name: str, client: ast.expr) -> Iterator[tuple[str, str]]:
    """The operation that an attribute of this name is, if it is one."""
    service = ast.unparse(client).rpartition(".")[2].lstrip("_")
    if service == "s3" and name in _TRANSFERS:
        raise UnknownCallError(f"{name} makes several calls")
    by_service = _operations().get(name, {})
    if service in by_service:
        yield service, by_service[service]
    elif "_" in name and by_service:  # one word alone, such as DynamoDB's scan, is anyone's
        if len(by_service) > 1:
            raise UnknownCallError(f"{ast.unparse(client)}.{name} may be of {sorted(by_service)}")
        yield from by_service.items()


@cache
def _operations() -> Mapping[str, Mapping[str, str]]:
    """boto3's method -> the services that have it -> AWS's name of the operation."""
    session = botocore.session.Session()
    names: dict[str, dict[str, str]] = {}
    for service in _SERVICES:
        for operation in session.get_service_model(service).operation_names:
            names.setdefault(xform_name(operation), {})[service] = operation
    return names
