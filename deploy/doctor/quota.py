"""Whether AWS lets the account run as many GPU instances as the fleet may start."""

from collections.abc import Iterator

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, unknown, warning
from deploy.quotas import quota_of


def look_at_quota(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The quota of the instance type's family against what all instances of the fleet need together."""
    instance_type = fleet.stack.parameters.get("InstanceType", "")
    spot = fleet.settings.capacity_provider == "asg" and fleet.stack.parameters.get("OnDemandPercentage") == "0"
    known = quota_of(instance_type, spot=spot)
    if known is None:
        seen = f"no quota is known for the instance type {instance_type or '(none)'}"
        yield unknown("quota", seen, "look at Service Quotas, Amazon EC2, in the console")
        return
    described = fleet.clients.ec2.describe_instance_types(
        Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )["InstanceTypes"]
    if not described:
        region = fleet.clients.ec2.meta.region_name
        yield failure("quota", f"{region} has no {instance_type}", "deploy with another InstanceType or region")
        return
    vcpus = described[0]["VCpuInfo"]["DefaultVCpus"]
    quota = fleet.clients.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=known.code)["Quota"]
    yield quota_finding(
        f"{known.name} instances ({known.code})", quota["Value"], vcpus, instance_type, fleet.settings.max_instances
    )


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
