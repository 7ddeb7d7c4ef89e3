"""What the operator's commands have in common at their edge: settings and logs, progress, and lines for people."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from producer.operator.sessions.chunk_ranges import parse_chunks
from shared.logs import configure_logging
from shared.settings import Settings, load_settings


def begin() -> Settings:
    """The settings from the environment, with logs set up: warnings and worse, as the command says the rest itself."""
    settings = load_settings()
    level = "warning" if settings.log_level == "info" else settings.log_level
    configure_logging(level, settings.log_format)
    return settings


def say(*lines: str, err: bool = False) -> None:
    """Print lines as they are: ids and AWS's words may hold what rich would take for markup."""
    console = Console(stderr=err)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def say_json(document: dict[str, Any]) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(document, indent=2, default=str))


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields what sets it to a count. Without a terminal there is nobody to watch it."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, completed=count)


def chunk_numbers(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The value of an option that takes chunk numbers such as `1,7-9`."""
    try:
        return None if value is None else parse_chunks(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
