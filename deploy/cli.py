"""The console script: puts the parts' commands together, loading a part only when its command runs.

The outermost boundary of every command: what went wrong becomes one readable line and an exit code.
"""

import sys
from importlib import import_module
from typing import NamedTuple

import click
from botocore.exceptions import NoCredentialsError, NoRegionError, PartialCredentialsError
from typing_extensions import override

from shared.errors import AWS_ERRORS, ConfigurationError, ScribefleetError


class _Entry(NamedTuple):
    target: str
    help: str


_COMMANDS = {
    "local": _Entry("deploy.local.cli:local", "Fill the gaps of a folder of recordings, with no AWS account."),
    "doctor": _Entry("deploy.doctor.cli:doctor", "Look at every part of a deployed fleet; say what to mend."),
    "deploy": _Entry("deploy.aws.cli:deploy", "Make a fleet in the AWS account, or bring it up to date."),
    "destroy": _Entry("deploy.aws.cli:destroy", "Remove a fleet; its recordings stay unless told otherwise."),
    "selftest": _Entry("deploy.selftest.cli:selftest", "Prove a deployed fleet in place: it fills a known gap."),
    "scan": _Entry("producer.cli:scan", "Find the audio chunks that have no transcript; queue them."),
    "autoscale": _Entry("autoscaler.cli:autoscale", "Decide once which instances start or stop."),
    "simulate": _Entry("autoscaler.simulate.cli:simulate", "Simulate weeks of the fleet: cost, waits, rules."),
    "alarms": _Entry("deploy.alarms.cli:alarms", "See the fleet's alarms; try whether they reach someone."),
    "consume": _Entry("consumer.cli:consume", "Transcribe jobs until the queue stays empty (on the GPU host)."),
    "stop-host": _Entry("consumer.stop_host:stop_host", "Stop this host because its worker has ended for good."),
    "model": _Entry("consumer.model_cli:model", "Fetch, find and check the speech model."),
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
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scribefleet")
def cli() -> None:
    """Fill the gaps in the transcripts of recorded sessions, on GPUs that run only while there is work.

    Settings come from SCRIBEFLEET_ variables, AWS's own from the usual ones. `scribefleet local` needs neither.
    """


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
