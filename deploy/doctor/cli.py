"""`scribefleet doctor`: prints what the examination found."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

import click
from botocore.exceptions import NoRegionError
from rich.console import Console
from rich.text import Text

from deploy.clients import aws_clients
from deploy.doctor.finding import Finding, Status, failure, is_healthy
from deploy.doctor.fleet_checks import examine_fleet
from deploy.doctor.host import examine_host, this_host
from deploy.fleet import DEFAULT_FLEET
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.logs import configure_logging
from shared.settings import load_model_settings

_STYLES: Final = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILURE: "bold red", Status.UNKNOWN: "cyan"}


@click.command()
@click.option("--fleet", metavar="NAME", help=f"The fleet's stack; without it {DEFAULT_FLEET}.")
@click.option("--host", is_flag=True, help="Look at this machine as the host of a worker, and not at the fleet.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def doctor(*, fleet: str | None, host: bool, as_json: bool) -> None:
    """Look at every part of a deployed fleet and say what is wrong, and what to do about it.

    Credentials, clock, stack, bucket, lock, ledger, queues, functions, schedules, ticks, instances, workers, quota,
    budget, alarms. It only reads. A part that cannot be looked at hides no other one.

    With --host, on the GPU host itself: driver, libraries, model, settings, disk, metadata service, unit, clock.

    Exit codes: 0 nothing has failed (there may be warnings), 1 something has, 2 wrong use.
    """
    if host and fleet:
        raise click.UsageError("--host looks at this machine and takes no --fleet")
    # What the fleet's own code would log is in the findings.
    configure_logging("critical")
    findings = _host() if host else _fleet(fleet or DEFAULT_FLEET)
    if as_json:
        click.echo(json.dumps(document(findings), indent=2))
    else:
        _print(findings)
    sys.exit(0 if is_healthy(findings) else 1)


def document(findings: Sequence[Finding]) -> dict[str, object]:
    """The findings as JSON-able values."""
    return {
        "healthy": is_healthy(findings),
        "findings": [
            {
                "subject": finding.subject,
                "status": str(finding.status),
                "seen": finding.seen,
                "remedy": finding.remedy or None,
                "refusedAction": finding.refused or None,
            }
            for finding in findings
        ],
    }


def _fleet(name: str) -> list[Finding]:
    try:
        clients = aws_clients()
    except NoRegionError:
        return [failure("region", "none is set", "set AWS_REGION, or a region in the profile that AWS_PROFILE names")]
    return examine_fleet(clients, name, SystemClock())


def _host() -> list[Finding]:
    try:
        model = load_model_settings()
    except ConfigurationError as error:
        return [failure("settings", str(error), "docs/settings.md")]
    return examine_host(this_host(model, SystemClock()))


def _print(findings: Sequence[Finding]) -> None:
    console = Console()
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        # Text: names and AWS's words may hold what rich would take for markup
        line = Text.assemble((f"{finding.status:<8}", _STYLES[finding.status]), f"{finding.subject:<{width}}  ")
        console.print(line.append(finding.seen), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"{'':<8}{'':<{width}}  -> {finding.remedy}"), soft_wrap=True)
    counts = Counter(finding.status for finding in findings)
    console.print(", ".join(f"{counts[status]} {status}" for status in Status if counts[status]), style="bold")
