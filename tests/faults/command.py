"""What soak and load have in common: how they speak, show what came of it, and are interrupted."""

import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape

from shared.state.ledger import CLAIM_LASTS
from tests.faults.harness.journal import Journal
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.table import to_table
from tests.faults.matrix.moments import PUBLISH

AFTER_CLAIMS_SECONDS: Final = CLAIM_LASTS.total_seconds() + 60
"""How far ahead the clock of a scan must be for gaps that a dead scan has claimed and not queued."""

_WIDTH: Final = 180
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


def new_console() -> Console:
    """Where to speak; a log is wide, and a row that is folded is hard to read."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def line_by_line(console: Console) -> Callable[[str], None]:
    """Says a line for people at once, as one line."""
    return lambda line: console.print(escape(line), soft_wrap=True)


@contextmanager
def interruptible(console: Console, replay: str) -> Iterator[None]:
    """In the block SIGTERM is as Ctrl-C, also where a shell runs it in the background.

    Both end the program in order, when the block has cleaned up after itself.

    Args:
        replay: how to run the same again.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"interrupted, nothing is judged; replay with {escape(replay)}", soft_wrap=True)
        sys.exit(_INTERRUPTED)


def conclude(
    console: Console, outcome: Outcome, json_file: Path | None, more: Mapping[str, Any], replay: str
) -> NoReturn:
    """Show the outcome, write it as JSON together with `more`, and end: 0 if every promise holds, else 1."""
    console.print(to_table([outcome]))
    for each in outcome.broken:
        console.print(each, style="bold red", markup=False, soft_wrap=True)
    console.print(f"{outcome.seconds:.0f} s, {peak_mib()} MiB in the harness at most; replay with {escape(replay)}")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        document = {**outcome.as_json(), **more, "harnessMib": peak_mib()}
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if outcome.holds else 1)


def peak_mib() -> int:
    """The most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def written(journal: Journal) -> int:
    """How many chunks' transcripts the fleet has written so far."""
    puts = journal.calls(PUBLISH.on, target=PUBLISH.target)
    return len({put.call.target for put in puts if put.effective})


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
