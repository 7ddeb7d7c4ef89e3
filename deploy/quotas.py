"""Which quota of the account an instance type counts against."""

import re
from dataclasses import dataclass


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
