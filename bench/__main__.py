"""`python -m bench`: takes the measurements, shows the table, writes JSON and plot; exit code 1 if a bound is broken.

A measurement that cannot be taken counts as a broken bound, and does not keep the others from being taken.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from bench import (
    busy,
    demo,
    handler_import,
    lambda_size,
    memory,
    plot,
    scanner,
    session_transcript,
    throughput,
    word_errors,
)
from bench.report import Measurement, to_json, to_table
from shared.errors import ScribefleetError

MEASUREMENTS: dict[str, Callable[[], list[Measurement]]] = {
    "handler-import": handler_import.measure,
    "lambda-size": lambda_size.measure,
    "demo": demo.measure,
    "scanner": scanner.measure,
    "session-transcript": session_transcript.measure,
    "word-errors": word_errors.measure,
    "throughput": throughput.measure,
    "busy": busy.measure,
    "memory": memory.measure,
}
_OUTPUT = Path("build/bench/bench.json")
_PICTURE = "approaches.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show and write; returns the exit code."""
    options = _options(arguments)
    console = Console()
    measurements: list[Measurement] = []
    for name in options.only or MEASUREMENTS:
        # On a terminal the slow ones (the scanner takes minutes) show that they are alive; elsewhere this is silent.
        with console.status(f"measuring {name}"):
            measurements += _measured(name)
    console.print(to_table(measurements))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(to_json(measurements), encoding="utf-8")
    console.print(f"written to {options.output}")
    picture = options.output.with_name(_PICTURE)
    if plot.draw_measurements(measurements, picture):
        console.print(f"drawn in {picture}")
    return 0 if all(each.ok for each in measurements) else 1


def _measured(name: str) -> list[Measurement]:
    try:
        return MEASUREMENTS[name]()
    except ScribefleetError as error:
        return [Measurement(name, None, "", detail=f"could not be measured: {error}")]
    except OSError as error:
        # Its text names a file or an address of this machine; what went wrong is enough.
        return [Measurement(name, None, "", detail=f"could not be measured: {error.strerror or type(error).__name__}")]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the project's numbers.")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"where the JSON goes (default: {_OUTPUT})")
    parser.add_argument(
        "--only", action="append", choices=list(MEASUREMENTS), metavar="NAME", help="take this one alone; repeatable"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
