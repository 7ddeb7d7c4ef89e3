"""The commands that make, change and remove a fleet in an AWS account: options, questions, outcomes."""

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients, connect, identify
from deploy.aws.deploying import Proposal, Request, proposed, remove_failed
from deploy.aws.parameters import read_file, read_pairs
from deploy.aws.problems import DeploymentError, explained
from deploy.aws.removing import (
    Inventory,
    check_removable,
    remove_code,
    remove_recordings,
    remove_stack,
    take_inventory,
)
from deploy.aws.stack import look, way_to_deploy
from deploy.aws.view import View
from deploy.fleet import DEFAULT_FLEET
from shared.clock import SystemClock
from shared.errors import ConfigurationError

# What both the name of a stack and the template's FleetName take.
_FLEET = re.compile("[A-Za-z][A-Za-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """Which fleet, and where."""

    fleet: str
    region: str | None
    profile: str | None
    code_bucket: str


def _placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which fleet and where, as one `place`."""

    @click.option(
        "--fleet",
        default=DEFAULT_FLEET,
        envvar="SCRIBEFLEET_FLEET_NAME",
        show_default=True,
        help="Name of the fleet and of its CloudFormation stack.",
    )
    @click.option("--region", help="AWS region; otherwise AWS_DEFAULT_REGION or the profile's.")
    @click.option("--profile", help="Profile of the AWS command line; otherwise AWS_PROFILE.")
    @click.option("--code-bucket", default="", help="Bucket of the functions' code, instead of the usual one.")
    @functools.wraps(command)
    def placed(fleet: str, region: str | None, profile: str | None, code_bucket: str, **others: Any) -> None:
        if not _FLEET.fullmatch(fleet):
            raise ConfigurationError(
                f"{fleet!r} is no fleet's name: 1 to 40 letters, digits and hyphens that begin with a letter"
            )
        command(place=DeployTarget(fleet, region, profile, code_bucket), **others)

    return placed


@click.command()
@_placed
@click.option("--parameter", "pairs", multiple=True, metavar="KEY=VALUE", help="A parameter of deploy/template.yaml.")
@click.option(
    "--parameters-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file of parameters; --parameter wins.",
)
@click.option("--email", default="", help="Address that alarms go to; it gets a mail to confirm.")
@click.option("--replace", is_flag=True, help="Delete a stack whose creation failed first.")
@click.option("--dry-run", is_flag=True, help="Show what would change and leave nothing behind.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object on stdout.")
def deploy(
    *,
    place: DeployTarget,
    pairs: Sequence[str],
    parameters_file: Path | None,
    email: str,
    replace: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make a fleet in the account, or bring it up to date.

    Finds network, AMI and limits by itself, packages and uploads the functions, shows the change set and asks. What a
    fleet was given before is kept unless it is given anew.

    Exit codes: 0 done or nothing to do, 1 refused by AWS or by you, 2 wrong use.
    """
    given = (read_file(parameters_file) if parameters_file else {}) | read_pairs(pairs)
    request = Request(place.fleet, given, email, place.code_bucket, dry_run, Builders())
    if replace and dry_run:
        raise ConfigurationError("--replace deletes the failed stack before it looks, so there is no dry run of it")
    _check_can_ask(yes=yes or dry_run)
    view = View(for_machine=as_json)
    with _connected(place, view) as (aws, account):
        if replace:
            _replace(aws, place.fleet, view, yes=yes)
        outcome = _deploy(aws, account, request, view, yes=yes)
    if as_json:
        click.echo(json.dumps({"fleet": place.fleet, "region": aws.region, "account": account.number, **outcome}))
    if outcome["result"] == "declined":
        sys.exit(1)


@click.command()
@_placed
@click.option("--delete-data", is_flag=True, help="Delete the bucket with all recordings and transcripts, too.")
@click.option("--confirm-bucket", default="", help="The bucket's name: confirms --delete-data without a question.")
@click.option("--force", is_flag=True, help="Also while a run is in progress.")
@click.option("--dry-run", is_flag=True, help="Show what would go and what would stay.")
@click.option("--yes", is_flag=True, help="Ask nothing but the name of a bucket that is to be deleted.")
def destroy(
    *, place: DeployTarget, delete_data: bool, confirm_bucket: str, force: bool, dry_run: bool, yes: bool
) -> None:
    """Remove a fleet from the account; recordings and transcripts stay unless --delete-data.

    Exit codes: 0 removed or nothing there, 1 refused by AWS or by you, 2 wrong use.
    """
    _check_can_ask(yes=dry_run or (yes and (bool(confirm_bucket) or not delete_data)))
    view = View(for_machine=False)
    with _connected(place, view) as (aws, account):
        inventory = take_inventory(aws, account, place.fleet, place.code_bucket)
        if inventory.is_empty:
            view.say(f"There is no fleet {place.fleet} here; nothing is left to remove.")
            return
        view.inventory(inventory, delete_data=delete_data)
        check_removable(inventory, force=force, delete_data=delete_data)
        if dry_run:
            view.say("Nothing was removed: this was a look only.")
            return
        if not yes and not click.confirm("Remove it?"):
            sys.exit(1)
        if delete_data:
            _confirm_bucket(inventory.bucket, confirm_bucket)
        _remove(aws, inventory, view, delete_data=delete_data)


@contextmanager
def _connected(place: DeployTarget, view: View) -> Iterator[tuple[DeployClients, Account]]:
    """The clients and the account; what AWS refuses in the block ends as a message with its remedy."""
    with explained(place.region):
        aws = connect(place.profile, place.region, SystemClock())
    with explained(aws.region):
        account = identify(aws)
        view.say(f"Fleet {place.fleet} in {aws.region}, account {account.number}, as {account.arn}")
        yield aws, account


def _replace(aws: DeployClients, fleet: str, view: View, *, yes: bool) -> None:
    stack = look(aws, fleet)
    if way_to_deploy(stack, replace=True) != "replace":
        return
    if not yes and not click.confirm(f"Delete the failed stack {fleet} ({stack.status})?"):
        sys.exit(1)
    remove_failed(aws, stack, view.event)


def _deploy(aws: DeployClients, account: Account, request: Request, view: View, *, yes: bool) -> dict[str, object]:
    """Propose, show, ask, execute; the outcome for machines."""
    with ExitStack() as until_done:
        with view.steps() as step:
            proposal = until_done.enter_context(proposed(aws, account, request, step))
        view.changes(proposal.changes, proposal.warnings, proposal.notes)
        outcome: dict[str, object] = {
            "changes": [change.as_dict() for change in proposal.changes],
            "warnings": proposal.warnings,
            "notes": list(proposal.notes),
            "outputs": dict(proposal.stack.outputs),
        }
        if proposal.change_set is None:
            view.say("No changes: the fleet is as it should be.")
            return {"result": "unchanged", **outcome}
        if request.dry_run:
            view.say("Nothing was changed: this was a dry run, and what it made is removed.")
            return {"result": "dry-run", **outcome}
        if not yes and not click.confirm("Execute these changes?"):
            view.say("Nothing was changed.")
            return {"result": "declined", **outcome}
        return outcome | _execute(aws, proposal, view)


def _execute(aws: DeployClients, proposal: Proposal, view: View) -> dict[str, object]:
    started = aws.clock.monotonic()
    try:
        stack = proposal.execute(aws, view.event)
    except KeyboardInterrupt:
        view.say(
            f"CloudFormation goes on without this command; look with: scribefleet doctor --fleet {proposal.stack.name}"
        )
        raise
    view.outputs(stack.outputs)
    view.say(f"Done in {aws.clock.monotonic() - started:.0f} s. Prove it: scribefleet selftest --fleet {stack.name}")
    result = "updated" if proposal.stack.exists else "created"
    return {"result": result, "outputs": dict(stack.outputs)}


def _remove(aws: DeployClients, inventory: Inventory, view: View, *, delete_data: bool) -> None:
    if inventory.stack.identifier:
        remove_stack(aws, inventory.stack, view.event)
    remove_code(aws, inventory)
    if delete_data:
        gone = 0

        def deleted(count: int) -> None:
            nonlocal gone
            gone += count

        remove_recordings(aws, inventory.account, inventory.bucket, deleted)
        view.say(f"Deleted {inventory.bucket} and {gone:,} objects in it.")
    view.say(f"The fleet {inventory.stack.name} is gone.")
    if inventory.bucket and not delete_data:
        view.say(
            f"{inventory.bucket} is still there; a new fleet takes it with: scribefleet deploy --parameter "
            f"ExistingBucketName={inventory.bucket}"
        )


def _confirm_bucket(bucket: str, typed: str) -> None:
    typed = typed or click.prompt(
        f"All recordings and transcripts in it will be lost. Type the bucket's name ({bucket})"
    )
    if typed != bucket:
        raise DeploymentError(
            f"{typed!r} is not the bucket's name; nothing was removed.", f"The bucket of the fleet is {bucket}."
        )


def _check_can_ask(*, yes: bool) -> None:
    if not yes and not _is_terminal():
        raise ConfigurationError("nobody can be asked without a terminal: add --yes, or --dry-run to look only")


def _is_terminal() -> bool:
    return sys.stdin.isatty()
