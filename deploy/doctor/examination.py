"""Runs checks side by side, so that none of them hides another: neither by failing nor by taking its time.

What a check looks at is its own business; here is only what becomes of one that could not finish.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from botocore.exceptions import ClientError

from deploy.clients import OperatorClients
from deploy.doctor.finding import Finding, Status, failure, unknown
from deploy.fleet import FleetStack
from shared.clock import Clock
from shared.errors import AWS_ERRORS, ScribefleetError, error_code
from shared.settings import Settings

_THREADS = 8  # the checks wait for AWS, not for this machine

# What the services call a refusal; HEAD has no body, so S3's code is the bare status there.
_REFUSALS = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
        "UnauthorizedOperation",
    }
)
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)")


@dataclass(frozen=True, slots=True)
class ExaminedFleet:
    """What checks of a deployed fleet look at, and through."""

    clients: OperatorClients
    stack: FleetStack
    settings: Settings
    clock: Clock


_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True)
class Check(Generic[_Seen]):
    """One look; it yields what it finds, and what it has yielded stands whatever happens after it."""

    subject: str
    look: Callable[[_Seen], Iterable[Finding]]


def examine(checks: Sequence[Check[_Seen]], seen: _Seen) -> list[Finding]:
    """The findings of all checks, in the order of the checks."""
    found: list[list[Finding]] = [[] for _ in checks]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="doctor") as pool:
        begun = [pool.submit(_look, check, seen, into) for check, into in zip(checks, found, strict=True)]
    for check, into, future in zip(checks, found, begun, strict=True):
        into.extend(_fault(check.subject, future.exception()))
    return [finding for findings in found for finding in findings]


def refused_action(error: BaseException) -> str:
    """The IAM action that AWS says the caller lacks, or the call where it names no action; empty for other errors."""
    if not isinstance(error, ClientError) or error_code(error) not in _REFUSALS:
        return ""
    named = _ACTION.search(str(error))
    return named[1] if named else f"the call {error.operation_name}"


def not_seen(subject: str, error: Exception) -> Finding:
    """What becomes of a look that AWS did not answer."""
    refused = refused_action(error)
    if refused:
        return Finding(subject, Status.UNKNOWN, f"AWS refused {refused}", "see permissions", refused)
    return unknown(subject, f"AWS did not answer: {error}", "run the doctor again; if it stays, look at what AWS says")


def permissions(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding that names every action which was refused to whoever looked."""
    refused = sorted({finding.refused for finding in findings if finding.refused})
    if refused:
        yield unknown(
            "permissions",
            f"AWS refused to look: {', '.join(refused)}",
            "allow these actions to the identity above, or ask someone who may; all of them only read",
        )
    else:
        yield Finding("permissions", Status.OK, "nothing was refused to whoever looked")


def _look(check: Check[_Seen], seen: _Seen, found: list[Finding]) -> None:
    """Put what the check yields into `found`, one by one: what was seen before an error stays."""
    try:
        found.extend(check.look(seen))
    except AWS_ERRORS as error:
        found.append(not_seen(check.subject, error))
    except ScribefleetError as error:
        found.append(unknown(check.subject, str(error), "mend what it names, then run the doctor again"))


def _fault(subject: str, error: BaseException | None) -> list[Finding]:
    """A check that fails in a way that nothing here knows is a fault of this program, and says so beside the others."""
    if error is None:
        return []
    if isinstance(error, ModuleNotFoundError):  # of the optional groups: only a GPU host has them
        return [failure(subject, f"the package {error.name} is missing", "install scribefleet[gpu] on this machine")]
    what = f"the check itself failed: {type(error).__name__}: {error}"
    return [unknown(subject, what, "report it; the other findings stand")]
