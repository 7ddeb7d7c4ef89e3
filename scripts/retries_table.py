"""Writes the table of clients in docs/retries.md from their patience; a test holds the two together."""

from pathlib import Path
from typing import Final

from shared.aws.timeouts import OPERATOR, PATIENCE, ClientTimeouts

PAGE: Final = Path(__file__).parent.parent / "docs" / "retries.md"
_BEGIN: Final = "<!-- clients: begin -->\n"
_END: Final = "<!-- clients: end -->"
_HEAD: Final = "| client | tries | connect | silence | at worst | why | above it |\n|---|---:|---:|---:|---:|---|---|\n"


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = [_row(f"`{name}`", patience) for name, patience in PATIENCE.items()]
    rows.append(_row("those of commands for people", OPERATOR))
    return f"{before}{_BEGIN}{_HEAD}{''.join(rows)}{_END}{after}"


def _row(name: str, patience: ClientTimeouts) -> str:
    seconds = (patience.connect_seconds, patience.read_seconds, patience.worst_seconds)
    times = " | ".join(f"{each:g} s" for each in seconds)
    return f"| {name} | {patience.attempts} | {times} | {patience.why} | {patience.above} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
