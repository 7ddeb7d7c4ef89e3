"""`make demo`: fills the gaps of real recordings with `scribefleet local`, then compares them with what was said."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jiwer
from rich.console import Console
from rich.table import Table

from sample_tree import reference_text, sample_tree, session_text

ROOT = Path("demo-recordings")


def word_error_rate(text: str) -> float:
    """Word errors of `text` in per cent of the reference's words, without regard to case and punctuation."""
    return 100 * float(jiwer.wer(_comparable(reference_text()), _comparable(text)))


def _comparable(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def main() -> int:
    """Run the demo; returns the exit code of `scribefleet local`."""
    console = Console()
    shutil.rmtree(ROOT, ignore_errors=True)
    complete, *with_gaps = sample_tree(ROOT)
    console.print(
        f"Four recorded sessions in {ROOT}/: one complete (chunk by chunk, as the live path hears it), one with "
        "4 gaps, two never transcribed, of which one is slices of a single WebM stream.\n"
    )
    console.print(f"$ scribefleet local {ROOT}", style="bold")
    code = subprocess.run([sys.executable, "-m", "deploy", "local", str(ROOT)], check=False).returncode  # noqa: S603
    if code != 0:
        return code
    table = Table(title="what was said, and what the filled sessions say", show_lines=True)
    table.add_column("")
    table.add_column("word errors", justify="right")
    table.add_column("text", overflow="fold")
    table.add_row("reference", "", reference_text())
    for session in (*with_gaps, complete):
        text = session_text(ROOT, session)
        name = session.rsplit("/", 1)[-1]
        table.add_row(name, f"{word_error_rate(text):.1f} %", text)
    console.print(table)
    reports = sorted((ROOT / "batch-reports").glob("*"))
    console.print("Written:")
    for path in (*reports, ROOT / "batch-data" / "pending-jobs.json", ROOT / with_gaps[-1]):
        console.print(f"  {path}", soft_wrap=True)
    console.print("\nRun it on recordings of your own: .venv/bin/scribefleet local DIRECTORY")
    return 0


if __name__ == "__main__":
    sys.exit(main())
