"""`scribefleet alarms`: a shell over reading and trial."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.alarms.reading import Alarm, read_alarms
from deploy.alarms.trial import Trial, TrialResult, choose
from deploy.clients import OperatorClients, aws_clients
from deploy.fleet import DEFAULT_FLEET, find_fleet
from shared.clock import Clock, SystemClock, human_duration, iso

_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "yellow"}
_VERDICTS = {"told": "sent", "failed": "NOT SENT", "unknown": "not known yet"}

_fleet_option = click.option(
    "--fleet",
    default=DEFAULT_FLEET,
    envvar="SCRIBEFLEET_FLEET_NAME",
    show_default=True,
    help="Name of the fleet and of its CloudFormation stack.",
)


@click.group()
def alarms() -> None:
    """See the fleet's alarms, and try whether they reach someone.

    docs/operations.md has a section for each: what it means, what to look at first, how to mend it.
    """


@alarms.command("list")
@_fleet_option
@click.option("--json", "as_json", is_flag=True, help="Print the alarms as one JSON object.")
def list_alarms(*, fleet: str, as_json: bool) -> None:
    """Show each alarm: its state, since when, who is told, what it means.

    Exit codes: 0 done, also where an alarm is in ALARM; 1 AWS refused a call, 2 wrong use or no such fleet.
    """
    clients = aws_clients()
    found = _read(clients, fleet)
    if as_json:
        click.echo(json.dumps({"fleet": fleet, "alarms": [_document(alarm) for alarm in found]}, indent=2))
        return
    console = Console()
    console.print(_table(found, fleet, SystemClock().now()))
    unheard = [alarm for alarm in found if not alarm.is_heard]
    if unheard:
        console.print(
            f"{len(unheard)} of {len(found)} alarms reach nobody. `scribefleet deploy --email ADDRESS` subscribes an "
            "address; the link in AWS's mail confirms it.",
            style="yellow",
        )


@alarms.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Every alarm of the fleet.")
@_fleet_option
@click.option("--dry-run", is_flag=True, help="Say what would be set off, and touch nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def try_alarms(*, names: tuple[str, ...], every: bool, fleet: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Set alarms off and back, and see in their history whether somebody was told.

    NAME is an alarm's name, with or without the fleet's before it. Whoever is subscribed gets two notices of each: that
    it went off, with a reason that says it is a test, and that it is over. An alarm that is in ALARM is left alone.

    Exit codes: 0 every notice was sent and is heard, 1 one was not or is not known to be, or an alarm was left alone,
    2 wrong use or no such fleet.
    """
    if every == bool(names):
        raise click.UsageError("name the alarms to test, or say --all")
    clients = aws_clients()
    chosen, left_out = choose(_named(_read(clients, fleet), fleet, names))
    console = Console(stderr=as_json)
    _announce(console, chosen, left_out)
    results: list[TrialResult] = []
    if chosen and not dry_run:
        if not yes:
            _confirm(len(chosen))
        results = _try(clients, SystemClock(), chosen, console)
    if as_json:
        click.echo(json.dumps(_outcome(fleet, results, left_out, dry_run=dry_run), indent=2))
    heard = all(alarm.is_heard for alarm in chosen) and all(result.of("ALARM") == "told" for result in results)
    if left_out or not chosen or not heard:
        sys.exit(1)


def _read(clients: OperatorClients, fleet: str) -> list[Alarm]:
    return read_alarms(clients.cloudwatch, clients.sns, find_fleet(clients.cloudformation, fleet))


def _named(found: Sequence[Alarm], fleet: str, names: Sequence[str]) -> list[Alarm]:
    """The alarms that are called so; all of them where no name is given."""
    if not names:
        return list(found)
    by_name = {_short(alarm, fleet): alarm for alarm in found} | {alarm.name: alarm for alarm in found}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        known = ", ".join(_short(alarm, fleet) for alarm in found) or "none"
        raise click.UsageError(f"the fleet has no alarm {', '.join(unknown)}; it has {known}")
    return [by_name[name] for name in dict.fromkeys(names)]


def _short(alarm: Alarm, fleet: str) -> str:
    return alarm.name.removeprefix(f"{fleet}-")


# --- list


def _document(alarm: Alarm) -> dict[str, Any]:
    return {
        "name": alarm.name,
        "state": alarm.state,
        "since": iso(alarm.since),
        "reason": alarm.reason,
        "meaning": alarm.meaning,
        "actionsEnabled": alarm.enabled,
        "actions": list(alarm.actions),
        "topics": [
            {"arn": topic.arn, "confirmed": topic.confirmed, "pending": list(topic.pending), "problem": topic.problem}
            for topic in alarm.topics
        ],
        "isHeard": alarm.is_heard,
    }


def _table(found: Sequence[Alarm], fleet: str, now: datetime) -> Table:
    table = Table(title=f"alarms of {fleet}", caption="docs/operations.md has a section for each")
    table.add_column("alarm", no_wrap=True)
    for column in ("state", "since", "heard", "what it means"):
        table.add_column(column)
    for alarm in found:
        table.add_row(
            _short(alarm, fleet),
            Text(alarm.state, style=_STYLES.get(alarm.state, "")),
            f"{human_duration(max(0.0, (now - alarm.since).total_seconds()))} ago",
            Text(alarm.describe_hearers(), style="" if alarm.is_heard else "yellow"),
            # Text: a description may hold what rich would take for markup
            Text(alarm.meaning),
        )
    return table


# --- test


def _announce(console: Console, chosen: Sequence[Alarm], left_out: Mapping[str, str]) -> None:
    for alarm in chosen:
        console.print(Text(f"{alarm.name}: tells {alarm.describe_hearers()}"), soft_wrap=True)
    if not chosen:
        console.print("there is no alarm to test", style="yellow")
    for name, why in left_out.items():
        console.print(Text(f"{name}: left alone, {why}"), style="yellow", soft_wrap=True)


def _confirm(count: int) -> None:
    if not _is_terminal():
        raise click.UsageError("there is no terminal to ask: say --yes")
    click.confirm(
        f"Set off {count} alarm(s), and back? Everyone who is subscribed gets two notices of each.",
        abort=True,
        err=True,
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _try(clients: OperatorClients, clock: Clock, chosen: Sequence[Alarm], console: Console) -> list[TrialResult]:
    with console.status("waiting for CloudWatch's history"):
        results = Trial(clients.cloudwatch, clock).run(chosen)
    for result in results:
        line = f"{result.name}: alarm {_VERDICTS[result.of('ALARM')]}, end of alarm {_VERDICTS[result.of('OK')]}"
        console.print(Text(line), style="" if result.of("ALARM") == "told" else "bold red", soft_wrap=True)
        for error in result.errors:
            console.print(Text(f"  {error}"), style="red", soft_wrap=True)
    console.print("Sent is not read: look into the mailbox, its spam folder too, or wherever the topic speaks to.")
    return results


def _outcome(
    fleet: str, results: Sequence[TrialResult], left_out: Mapping[str, str], *, dry_run: bool
) -> dict[str, Any]:
    tried = [
        {"name": each.name, "alarm": each.of("ALARM"), "recovery": each.of("OK"), "errors": each.errors}
        for each in results
    ]
    return {"fleet": fleet, "dryRun": dry_run, "tried": tried, "leftOut": dict(left_out)}
