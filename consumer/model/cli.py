"""The model's commands: fetch one, say where it is, find out whether it works. None of them needs a fleet."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from consumer.model.download import fetch_model
from consumer.model.location import place_in_store, resolve_model_dir
from consumer.model.selftest import self_test
from consumer.model.whisper import WhisperTranscriber
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.setting_groups import ModelSettings
from shared.settings import load_model_settings

_Command = TypeVar("_Command", bound=Callable[..., None])


def _name(command: _Command) -> _Command:
    return click.argument("name", required=False)(command)


def _json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")(command)


@click.group()
def model() -> None:
    """Fetch, find and check the speech model.

    NAME is a size that faster-whisper knows (tiny.en, small.en, large-v3-turbo, ...) or a hub repository owner/name;
    without it the commands speak of the model that `consume` would load: SCRIBEFLEET_MODEL_DIR, else SCRIBEFLEET_MODEL.

    Workers never download. They look into SCRIBEFLEET_MODEL_STORE, for the packaged tiny.en, and into the model hub's
    local cache.
    """


@model.command()
@_name
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory that becomes the model, for SCRIBEFLEET_MODEL_DIR; without it the model goes into the store.",
)
@_json
def fetch(*, name: str | None, directory: Path | None, as_json: bool) -> None:
    """Download a model, once, before any worker starts: when an image is built, or by hand.

    A download that is cut off leaves nothing behind that looks like a model. HF_ENDPOINT names a mirror of the hub,
    HF_TOKEN opens private repositories.

    Exit codes: 0 it is there, 1 the hub did not give it, 2 wrong use or a wrong setting.
    """
    settings = load_model_settings()
    wanted = name or settings.model
    target = directory or place_in_store(settings.model_store, wanted)
    is_new = fetch_model(wanted, target, progress=not as_json and sys.stderr.isatty())
    if as_json:
        click.echo(json.dumps({"model": wanted, "directory": str(target), "downloaded": is_new}, indent=2))
        return
    use = f"SCRIBEFLEET_MODEL_DIR={target}" if directory else f"SCRIBEFLEET_MODEL={wanted}"
    click.echo(f"{wanted} {'is now' if is_new else 'was already'} in {target}; workers use it with {use}")


@model.command()
@_name
@_json
def path(*, name: str | None, as_json: bool) -> None:
    """Print the directory that `consume` would load the model from.

    Exit codes: 0 it is there with all its files, 2 it is not, or a setting is wrong.
    """
    settings = _settings_for(name)
    directory = _directory(settings)
    if as_json:
        size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
        click.echo(json.dumps({"model": settings.model, "directory": str(directory), "bytes": size}, indent=2))
    else:
        click.echo(directory)


@model.command()
@_name
@_json
def check(*, name: str | None, as_json: bool) -> None:
    """Load a model as `consume` would and have it transcribe five known seconds.

    Run it on the machine that will do the work: it shows that model, libraries, device and compute type go together,
    and how fast they are.

    Exit codes: 0 it works, 1 it does not hear or the device fails, 2 there is no such model or a setting is wrong.
    """
    settings = _settings_for(name)
    directory = _directory(settings)
    clock = SystemClock()
    began = clock.monotonic()
    transcriber = WhisperTranscriber(settings, clock)
    load_seconds = clock.monotonic() - began
    if settings.language not in transcriber.languages:
        raise ConfigurationError(
            f"SCRIBEFLEET_LANGUAGE={settings.language} is no language of {transcriber.model_name}."
        )
    # The first decode of a process pays for what is set up on demand, so the second one tells the speed.
    self_test(transcriber, clock)
    result = self_test(transcriber, clock)
    outcome = {
        "model": transcriber.model_name,
        "directory": str(directory),
        "device": transcriber.device,
        "loadSeconds": round(load_seconds, 2),
        "audioSeconds": round(result.audio_seconds, 2),
        "seconds": round(result.seconds, 3),
        "rtfx": round(result.rtfx, 1),
        "shareHeard": round(result.share_heard, 3),
    }
    if as_json:
        click.echo(json.dumps(outcome, indent=2))
    else:
        click.echo(
            f"{transcriber.model_name} on {transcriber.device} works: loaded in {load_seconds:.1f} s, "
            f"{result.audio_seconds:.1f} s of speech in {result.seconds:.2f} s ({result.rtfx:.1f} times as "
            f"fast as it was spoken), {result.share_heard:.0%} of the words heard"
        )


def _settings_for(name: str | None) -> ModelSettings:
    settings = load_model_settings()
    return settings.model_copy(update={"model": name, "model_dir": None}) if name else settings


def _directory(settings: ModelSettings) -> Path:
    return resolve_model_dir(settings.model, settings.model_dir, settings.model_store)
