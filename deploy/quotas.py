"""Which vCPU quota of the account an instance type counts against, and how many instances fit in it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_service_quotas import ServiceQuotasClient


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of Service Quotas for EC2; its value is in vCPUs that run at the same time."""

    name: str
    code: str


# Family of the instance type, which are the letters in front of its number -> name, code for on-demand and for spot
# instances. Source: "Amazon EC2 instance type quotas" of the EC2 guide and the Service Quotas console.
_G_AND_VT = ("G and VT", "L-DB2E81BA", "L-3819A6DF")
_P = ("P", "L-417A185B", "L-7212CCBC")
_STANDARD = ("Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08")
_FAMILIES = {"g": _G_AND_VT, "gr": _G_AND_VT, "vt": _G_AND_VT, "p": _P, **dict.fromkeys("acdhimrtz", _STANDARD)}


def quota_of(instance_type: str, *, spot: bool) -> Quota | None:
    """The quota of an instance type such as `g4dn.xlarge`; `None` where its family has one that is not known here."""
    letters = re.match(r"[a-z]*", instance_type)
    family = _FAMILIES.get(letters[0]) if letters else None
    if family is None:
        return None
    name, on_demand, on_spot = family
    return Quota(name, on_spot if spot else on_demand)


def vcpus_of(ec2: "EC2Client", instance_type: str) -> int | None:
    """The vCPUs of one such instance; `None` where the region does not have the type. Raises what boto3 raises."""
    found = ec2.describe_instance_types(Filters=[{"Name": "instance-type", "Values": [instance_type]}])["InstanceTypes"]
    return found[0]["VCpuInfo"]["DefaultVCpus"] if found else None


def allowed_vcpus(service_quotas: "ServiceQuotasClient", quota: Quota) -> float:
    """The vCPUs that the account may run at the same time. Raises what boto3 raises."""
    return service_quotas.get_service_quota(ServiceCode="ec2", QuotaCode=quota.code)["Quota"]["Value"]
