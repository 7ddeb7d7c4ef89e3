"""The console script: puts the parts' commands together, loading a part only when its command runs.

The outermost boundary of every command: what went wrong becomes one readable line and an exit code.
"""

import os
import sys
from importlib import import_module
from typing import Literal, NamedTuple

import click
from botocore.exceptions import NoCredentialsError, NoRegionError, PartialCredentialsError
from typing_extensions import override

from shared.errors import AWS_ERRORS, ConfigurationError, ScribefleetError


class _Entry(NamedTuple):
    """A command: where it is, its line in the help, and what the option --fleet of the whole is to it.

    `variables` fills its settings from the fleet's stack; `option` is handed on, as it has an option of that name
    and does not rest on a stack that is there; `none` is for what knows no fleet.
    """

    target: str
    help: str
    fleet: Literal["variables", "option", "none"] = "variables"


_COMMANDS = {
    "local": _Entry("deploy.local.cli:local", "Fill the gaps of a folder of recordings, with no AWS account.", "none"),
    "doctor": _Entry("deploy.doctor.cli:doctor", "Look at every part of a deployed fleet; say what to mend.", "option"),
    "deploy": _Entry("deploy.aws.cli:deploy", "Make a fleet in the AWS account, or bring it up to date.", "option"),
    "destroy": _Entry("deploy.aws.cli:destroy", "Remove a fleet; its recordings stay unless told otherwise.", "option"),
    "selftest": _Entry(
        "deploy.selftest.cli:selftest", "Prove a deployed fleet in place: it fills a known gap.", "option"
    ),
    "scan": _Entry("producer.cli:scan", "Find the audio chunks that have no transcript; queue them."),
    "rerun": _Entry("producer.operator.rerun.cli:rerun", "Transcribe chunks of a session again, or at last."),
    "cancel": _Entry("producer.operator.cancel:cancel", "Call off a session's jobs before they are worked on."),
    "jobs": _Entry("producer.operator.jobs:jobs", "See the jobs of a session, or of all, and what became of them."),
    "finalise": _Entry("producer.operator.finalise:finalise", "Write the transcripts of whole sessions anew."),
    "lock": _Entry("producer.operator.lock:lock", "See, take or release the lock of live sessions."),
    "dlq": _Entry("producer.operator.dlq.cli:dlq", "See what failed for good; put it back, or throw it away."),
    "autoscale": _Entry("autoscaler.cli:autoscale", "Decide once which instances start or stop."),
    "simulate": _Entry("autoscaler.simulate.cli:simulate", "Simulate weeks of the fleet: cost, waits, rules.", "none"),
    "status": _Entry("producer.operator.status.cli:status", "See what is going on, on one screen."),
    "reports": _Entry("producer.operator.reports.cli:reports", "See the reports of runs and skipped scans."),
    "costs": _Entry("producer.operator.costs.cli:costs", "Sum up what a month's runs have cost."),
    "alarms": _Entry("deploy.alarms.cli:alarms", "See the fleet's alarms; try whether they reach someone.", "option"),
    "consume": _Entry("consumer.cli:consume", "Transcribe jobs until the queue stays empty (on the GPU host)."),
    "stop-host": _Entry("consumer.host.stop_host:stop_host", "Stop this host because its worker has ended for good."),
    "model": _Entry("consumer.model.cli:model", "Fetch, find and check the speech model.", "none"),
}

# Packages of the optional groups, by the group that brings them.
_OPTIONAL = {
    "moto": "local",
    "yaml": "local",
    "faster_whisper": "local] or scribefleet[gpu",
    "av": "local] or scribefleet[gpu",
    "numpy": "local] or scribefleet[gpu",
    "ctranslate2": "local] or scribefleet[gpu",
    "matplotlib": "bench",
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and first lines, and imports a command's module when it is used."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].target.split(":")
        command = getattr(import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{_COMMANDS[cmd_name].target} is not a command")
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        fleet = ctx.params.get("fleet")
        # Help is for people without credentials, too.
        if fleet and name and command and not {"-h", "--help"} & set(rest):
            _choose_fleet(ctx, fleet, name, command)
        return name, command, rest

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scribefleet")
@click.option("--fleet", metavar="NAME", help="Take settings that no variable sets from this deployed fleet's stack.")
def cli(*, fleet: str | None) -> None:
    """Fill the gaps in the transcripts of recorded sessions, on GPUs that run only while there is work.

    Settings come from SCRIBEFLEET_ variables, AWS's own from the usual ones. `scribefleet local` needs neither.
    """
    del fleet  # what it means depends on the command: `resolve_command`


def _choose_fleet(ctx: click.Context, fleet: str, name: str, command: click.Command) -> None:
    """Make `fleet` the one that the command is about."""
    meaning = _COMMANDS[name].fleet
    if meaning == "none":
        raise click.UsageError(f"`{name}` is about no deployed fleet and takes no --fleet", ctx)
    if meaning == "option":
        below = list(command.commands) if isinstance(command, click.Group) else []
        ctx.default_map = {name: {each: {"fleet": fleet} for each in below} or {"fleet": fleet}}
        return
    environment = import_module("deploy.fleet_environment")
    for line in environment.use_fleet(fleet, os.environ):
        click.echo(f"scribefleet: {line}", err=True)


def main() -> None:
    """Run the command line; the console script's entry point."""
    try:
        cli(prog_name="scribefleet")
    except ConfigurationError as error:
        _end(str(error), 2)
    except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
        _end(f"{error} Set AWS_PROFILE, or AWS_DEFAULT_REGION and credentials, as for the AWS command line.", 2)
    except AWS_ERRORS as error:
        _end(f"AWS: {error}", 1)
    except ScribefleetError as error:
        _end(str(error), 1)
    except ModuleNotFoundError as error:
        group = _OPTIONAL.get((error.name or "").split(".")[0])
        if group is None:
            raise
        _end(f"the package {error.name} is missing; install scribefleet[{group}]", 2)


def _end(message: str, code: int) -> None:
    click.echo("\n".join(f"scribefleet: {line}" for line in message.splitlines()), err=True)
    sys.exit(code)
