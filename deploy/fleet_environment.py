"""Fills in the SCRIBEFLEET_ variables of a deployed fleet, for the commands that take their settings from these.

What someone has set stays as it is: they may want to try another value. Where it differs from the fleet's, that is
said, since a variable left over from another fleet would mix the two.
"""

from collections.abc import Mapping, MutableMapping

import boto3

from deploy.fleet import find_fleet
from shared.setting_groups import ENV_PREFIX

_MAX_NAMES = 4


def use_fleet(name: str, environment: MutableMapping[str, str]) -> list[str]:
    """Set those variables of `environment` that nobody has set to what the stack called `name` says.

    Returns:
        What the person should know, a line each.

    Raises:
        FleetNotFoundError: there is no such fleet, or none that can be used. What boto3 raises otherwise.
    """
    stack = find_fleet(boto3.client("cloudformation"), name)
    stack.settings()  # a value that this version does not take is the stack's fault and not a variable's
    variables = {(ENV_PREFIX + field).upper(): value for field, value in stack.values().items()}
    # Settings take an empty variable for one that is not set.
    kept = {variable: environment[variable] for variable in variables if environment.get(variable)}
    environment.update({variable: value for variable, value in variables.items() if variable not in kept})
    return _differences(name, variables, kept)


def _differences(name: str, variables: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    differing = [variable for variable, value in kept.items() if value != variables[variable]]
    if not differing:
        return []
    more = f" and {len(differing) - _MAX_NAMES} more" if len(differing) > _MAX_NAMES else ""
    return [f"set by you, and not as in the fleet {name}: {', '.join(differing[:_MAX_NAMES])}{more}"]
