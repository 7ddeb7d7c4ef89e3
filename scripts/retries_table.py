"""Writes docs/reference/aws-clients.md from the clients' time-outs; a test holds the two together."""

from pathlib import Path
from typing import Final

from shared.aws.timeouts import OPERATOR, PATIENCE, ClientTimeouts

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "aws-clients.md"
_HEAD: Final = """# AWS clients

Generated from `shared/aws/timeouts.py` by `python scripts/retries_table.py`; change it there. What the columns
mean, and what is tried again, is in [Retries and time-outs](../retries.md).

| client | tries | connect | silence | at worst | why | above it |
|---|---:|---:|---:|---:|---|---|
"""


def page() -> str:
    """The page as it should be."""
    rows = [_row(f"`{name}`", patience) for name, patience in PATIENCE.items()]
    rows.append(_row("those of commands for people", OPERATOR))
    return _HEAD + "".join(rows)


def _row(name: str, patience: ClientTimeouts) -> str:
    seconds = (patience.connect_seconds, patience.read_seconds, patience.worst_seconds)
    times = " | ".join(f"{each:g} s" for each in seconds)
    return f"| {name} | {patience.attempts} | {times} | {patience.why} | {patience.above} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
