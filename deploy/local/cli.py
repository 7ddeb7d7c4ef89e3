"""`scribefleet local`: shows a run over a folder of recordings, and its result."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from consumer.model.location import resolve_model_dir
from deploy.local.fill import ChunkResult, Fill, FillOptions, FillResult, Phase, Watcher
from deploy.local.recordings import Recordings, read_recordings
from shared.clock import SystemClock, human_duration
from shared.logs import configure_logging

_MAX_FAILED_SHOWN = 20
_EXIT_INTERRUPTED = 130


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model",
    default="tiny.en",
    show_default=True,
    metavar="NAME|DIR",
    help="A Whisper model on this machine: tiny.en comes with scribefleet[local]; else a directory in CTranslate2 "
    "format, or a name in faster-whisper's local cache. Nothing is downloaded.",
)
@click.option("--workers", type=click.IntRange(1, 4), default=1, show_default=True, help="Instances at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object; progress goes to stderr.")
def local(directory: Path, *, model: str, workers: int, as_json: bool) -> None:
    """Fill the gaps of a folder of recordings on this machine, with no AWS account.

    DIRECTORY holds users/USER/audio/sessions/SESSION/chunk-001.webm and the like. The whole fleet runs on an embedded
    cloud: scanner, queue, autoscaler, worker. Transcripts are written beside their audio, the report into
    batch-reports/. Run again, it fills only what is still missing.

    Exit codes: 0 nothing is missing any more, 1 something failed, 2 wrong use, 130 interrupted (run it again).
    """
    configure_logging("warning")  # on stderr: the result is alone on stdout, whatever goes wrong
    recordings = read_recordings(directory)
    console = Console(stderr=as_json)
    clock = SystemClock()
    began = clock.monotonic()
    result = FillResult()
    if recordings.gaps:
        options = FillOptions(model=_model_name(model), model_dir=_model_dir(model), workers=workers)
        logs = directory / "batch-logs"
        logs.mkdir(exist_ok=True)
        with _progress(recordings, Console(stderr=True)) as watcher:
            result = Fill(recordings, options, watcher, clock, logs).run()
    elapsed = clock.monotonic() - began
    if as_json:
        click.echo(json.dumps(_summary(recordings, result, elapsed), indent=2))
    elif not recordings.gaps:
        console.print(f"Nothing to do: {recordings.sessions} sessions, no gaps.")
    else:
        console.print(_result_table(recordings, result, elapsed))
        for _, path in result.reports:  # below the table, which would break a path that people click on or copy
            console.print(Text(f"report: {path.with_suffix('.html')} (and .json)"), soft_wrap=True)
        _print_failed(console, result)
    if not as_json and recordings.ignored:
        console.print(f"{len(recordings.ignored)} files do not fit the layout and were left alone.")
    if result.interrupted:
        console.print("Interrupted: what was in hand went back, nothing is lost. Run it again to fill the rest.")
        sys.exit(_EXIT_INTERRUPTED)
    sys.exit(1 if result.failed else 0)


def _model_name(model: str) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else model


def _model_dir(model: str) -> Path:
    return resolve_model_dir(model, Path(model) if Path(model).is_dir() else None)


@contextmanager
def _progress(recordings: Recordings, console: Console) -> Iterator[Watcher]:
    """A bar for each phase and one for the chunks; without a terminal a line for each phase."""
    phases = get_args(Phase)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        steps = bars.add_task("phase", total=len(phases))
        uploads = bars.add_task("upload", total=len(recordings.keys), visible=False)
        chunks = bars.add_task("chunks", total=recordings.gaps, visible=False)
        done = 0

        def on_phase(phase: Phase, text: str) -> None:
            bars.update(steps, completed=phases.index(phase))
            bars.update(uploads, visible=phase == "upload")
            bars.update(chunks, visible=phase in {"transcribe", "report"})
            console.print(Text(f"{phase:>10}  {text}"), soft_wrap=True)

        def on_chunk(chunk: ChunkResult) -> None:
            nonlocal done
            done += 1
            bars.advance(chunks)
            outcome = "filled" if chunk.status == "filled" else f"FAILED {chunk.reason}"
            console.print(Text(f"{done:>6}/{recordings.gaps:<3}  {_name(chunk)}  {outcome}"), soft_wrap=True)

        def on_notice(text: str) -> None:
            console.print(Text(f"{'told':>10}  {text}"), soft_wrap=True)

        yield Watcher(on_phase, lambda count: bars.advance(uploads, count), on_chunk, on_notice)
        bars.update(steps, completed=len(phases))


def _result_table(recordings: Recordings, result: FillResult, elapsed: float) -> Table:
    table = Table(title="scribefleet local", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("sessions", str(recordings.sessions)),
        ("gaps found", str(recordings.gaps)),
        ("filled", str(len(result.filled))),
        ("failed", str(len(result.failed))),
        ("audio", f"{_audio_seconds(result):.1f} s"),
        ("elapsed", human_duration(elapsed)),
        ("simulated GPU cost", f"${_cost_usd(result):.4f}"),
    ):
        table.add_row(name, Text(value))
    return table


def _print_failed(console: Console, result: FillResult) -> None:
    if not result.failed:
        return
    table = Table(title="failed: on the dead-letter queue, with their reasons")
    for column in ("session", "chunk", "reason"):
        table.add_column(column, overflow="fold")
    for chunk in result.failed[:_MAX_FAILED_SHOWN]:
        table.add_row(Text(f"{chunk.session.user_id}/{chunk.session.session_id}"), chunk.chunk, Text(chunk.reason))
    if len(result.failed) > _MAX_FAILED_SHOWN:
        table.caption = f"and {len(result.failed) - _MAX_FAILED_SHOWN} more (--json has all)"
    console.print(table)


def _summary(recordings: Recordings, result: FillResult, elapsed: float) -> dict[str, Any]:
    return {
        "sessions": recordings.sessions,
        "gaps": recordings.gaps,
        "filled": len(result.filled),
        "failed": len(result.failed),
        "ignoredFiles": list(recordings.ignored),
        "audioSeconds": round(_audio_seconds(result), 3),
        "elapsedSeconds": round(elapsed, 1),
        "simulatedGpuCostUSD": _cost_usd(result),
        "interrupted": result.interrupted,
        "reports": [str(path) for _, path in result.reports],
        "chunks": [
            {
                "userId": chunk.session.user_id,
                "sessionId": chunk.session.session_id,
                "chunk": chunk.chunk,
                "status": chunk.status,
                "reason": chunk.reason or None,
            }
            for chunk in result.chunks
        ],
    }


def _audio_seconds(result: FillResult) -> float:
    return sum(report.transcription.audio_seconds for report, _ in result.reports)


def _cost_usd(result: FillResult) -> float:
    """What the runs would have cost on a GPU instance, had it taken as long as this machine did."""
    return round(sum(report.gpu.cost_usd for report, _ in result.reports), 6)


def _name(chunk: ChunkResult) -> str:
    return f"{chunk.session.user_id}/{chunk.session.session_id} chunk {chunk.chunk}"
