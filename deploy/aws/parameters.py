"""Which value each parameter of the template gets: what is given, what the stack has, what was found, the default.

Pure; what was given on the command line or in a file is read here, too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.aws.problems import DeploymentError
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as the template declares it; a default of None means that a value must be given."""

    name: str
    default: str | None

    def value(self, settled: Mapping[str, str]) -> str:
        """The value among those settled so far, or the default."""
        return settled.get(self.name, self.default or "")


def choose(
    template: Iterable[Parameter], previous: Mapping[str, str], given: Mapping[str, str], found: Mapping[str, str]
) -> "list[ParameterTypeDef]":
    """The parameters of a change set.

    Args:
        previous: of the stack that is updated; empty for a new one. They win over what was found, so that an update
            changes nothing that nobody asked for (a newer AMI would replace the instances).
        given: by the person who deploys; they win over everything.
        found: in the account, for what is neither given nor set already.

    Raises:
        DeploymentError: a given name is not the template's, or a value is missing.
    """
    chosen: list[ParameterTypeDef] = []
    declared = {parameter.name: parameter for parameter in template}
    check_names(declared, given)
    for name, parameter in declared.items():
        if name in given:
            chosen.append({"ParameterKey": name, "ParameterValue": given[name]})
        elif name in previous:
            chosen.append({"ParameterKey": name, "UsePreviousValue": True})
        elif name in found:
            chosen.append({"ParameterKey": name, "ParameterValue": found[name]})
        elif parameter.default is None:
            raise DeploymentError(f"The template's parameter {name} has no value.", f"Give it: --parameter {name}=...")
    return chosen


def check_names(declared: Iterable[str], given: Iterable[str]) -> None:
    """Raise a `DeploymentError` that names the nearest parameter when a given one does not exist."""
    names = list(declared)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(sorted(names))}."
            raise DeploymentError(f"The template has no parameter {name}.", hint)


def read_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """The values of `Key=Value` texts.

    Raises:
        ConfigurationError: a text has no `=`.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--parameter takes Key=Value, and not {pair!r}")
        values[name] = value
    return values


def read_file(path: Path) -> dict[str, str]:
    """The values in a JSON file: an object of them, or the list that the AWS command line takes.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}") from error
    if isinstance(content, list):
        try:
            content = {item["ParameterKey"]: item["ParameterValue"] for item in content}
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"{path}: each item takes a ParameterKey and a ParameterValue") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} takes an object of names and values")
    return {str(name): _text(value) for name, value in content.items()}


def _text(value: object) -> str:
    """A JSON value as CloudFormation takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)
