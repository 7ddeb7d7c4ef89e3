"""Whether AWS lets the account run as many GPU instances as the fleet may start."""

from collections.abc import Iterator

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, unknown, warning
from deploy.quotas import allowed_vcpus, quota_of, vcpus_of


def look_at_quota(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The quota of the instance type's family against what all instances of the fleet need together."""
    instance_type = fleet.stack.parameters.get("InstanceType", "")
    spot = fleet.settings.capacity_provider == "asg" and fleet.stack.parameters.get("OnDemandPercentage") == "0"
    known = quota_of(instance_type, spot=spot)
    if known is None:
        seen = f"no quota is known for the instance type {instance_type or '(none)'}"
        yield unknown("quota", seen, "look at Service Quotas, Amazon EC2, in the console")
        return
    vcpus = vcpus_of(fleet.clients.ec2, instance_type)
    if vcpus is None:
        region = fleet.clients.ec2.meta.region_name
        yield failure("quota", f"{region} has no {instance_type}", "deploy with another InstanceType or region")
        return
    allowed = allowed_vcpus(fleet.clients.quotas, known)
    name = f"{known.name} instances ({known.code})"
    yield quota_finding(name, allowed, vcpus, instance_type, fleet.settings.max_instances)


def quota_finding(name: str, allowed: float, vcpus: int, instance_type: str, most: int) -> Finding:
    """Whether `allowed` vCPUs are enough for `most` instances of `vcpus` each."""
    fit = int(allowed // vcpus)
    remedy = f"request {max(1, most) * vcpus} vCPUs for {name} in Service Quotas; AWS may take a day"
    if fit == 0:
        return failure("quota", f"{allowed:.0f} vCPUs of {name}: not one {instance_type} can start", remedy)
    if fit < most:
        seen = f"{allowed:.0f} vCPUs of {name}: {fit} {instance_type} at a time, the fleet wants up to {most}"
        return warning("quota", seen, remedy)
    return ok("quota", f"{allowed:.0f} vCPUs of {name}: enough for {most} {instance_type}")
