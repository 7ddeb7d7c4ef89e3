"""Which values a deployment has to find by itself: those that nobody gave and that the stack does not have yet."""

from collections.abc import Callable, Mapping

from deploy.aws.clients import Account, DeployClients
from deploy.aws.limits import LimitFinding, check_quota, choose_reservation
from deploy.aws.parameters import Parameter
from deploy.aws.surroundings import check_instances, check_recordings, find_image, find_network

_NETWORK = frozenset({"VpcId", "SubnetIds"})
_SIZE = frozenset({"InstanceType", "PoolSize", "MaxInstances", "CapacityProvider"})


def find(
    aws: DeployClients,
    account: Account,
    declared: Mapping[str, Parameter],
    previous: Mapping[str, str],
    given: Mapping[str, str],
) -> LimitFinding:
    """Look around in the account for what is missing, and check what was given.

    Args:
        declared: the template's parameters by name.
        previous: values of the stack that is updated; empty for a new one.

    Raises:
        DeploymentError: something is missing or does not exist.
    """
    settled = {**previous, **given}
    missing = declared.keys() - settled.keys()

    def value(name: str) -> str:
        return declared[name].value(settled) if name in declared else ""

    parameters: dict[str, str] = {}
    notes: list[str] = []
    if _NETWORK & (missing | given.keys()):
        parameters |= find_network(aws, value("InstanceType"), settled)
    if "ImageId" in missing | given.keys():
        image = find_image(aws, value("ImageId"), int(value("RootVolumeGiB") or 0))
        parameters |= {name: found for name, found in image.items() if name not in given}
    if given.get("ExistingInstanceIds"):
        check_instances(aws, given["ExistingInstanceIds"].split(","))
    if given.get("ExistingBucketName"):
        check_recordings(aws, account, given["ExistingBucketName"])
    if not value("ExistingInstanceIds") and (not previous or _SIZE & given.keys()):
        notes.extend(_quota(aws, value).notes)
    if "ReserveAutoscalerConcurrency" in missing:
        reservation = choose_reservation(aws)
        parameters |= reservation.parameters
        notes.extend(reservation.notes)
    return LimitFinding({name: found for name, found in parameters.items() if name in declared}, tuple(notes))


def _quota(aws: DeployClients, value: Callable[[str], str]) -> LimitFinding:
    """The quota for the instances that the values of the parameters ask for."""
    grouped = value("CapacityProvider") == "asg"
    instances = max(1, int(value("MaxInstances" if grouped else "PoolSize") or 1))
    return check_quota(aws, value("InstanceType"), instances, spot=grouped and value("OnDemandPercentage") == "0")
