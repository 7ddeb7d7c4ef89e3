"""What a check found. Nothing here looks at anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"  # the fleet works; a person should know
    FAILURE = "failure"  # the fleet does not do what it should, or soon will not
    UNKNOWN = "unknown"  # could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw.

    Attributes:
        subject: what was looked at, in a word or two.
        seen: what there is, in a sentence.
        remedy: what to do; empty where nothing is to be done.
        refused: the IAM action that AWS refused to whoever looked, where that is why nothing was seen.
    """

    subject: str
    status: Status
    seen: str
    remedy: str = ""
    refused: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, Status.OK, seen)


def warning(subject: str, seen: str, remedy: str) -> Finding:
    """Works, but a person should know."""
    return Finding(subject, Status.WARNING, seen, remedy)


def failure(subject: str, seen: str, remedy: str) -> Finding:
    """Does not work."""
    return Finding(subject, Status.FAILURE, seen, remedy)


def unknown(subject: str, seen: str, remedy: str) -> Finding:
    """Could not be looked at; the remedy says how to find out."""
    return Finding(subject, Status.UNKNOWN, seen, remedy)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing has failed. Warnings and what could not be looked at are for a person to weigh."""
    return all(finding.status is not Status.FAILURE for finding in findings)
