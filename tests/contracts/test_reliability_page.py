"""docs/reliability.md shows the matrix as it is: every fault has its row there, with what it does, and each holds."""

import re
from pathlib import Path
from typing import Final

from tests.faults.catalogue import all_faults

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
# Fault, what it does, six columns, verdict; the table of what was fuzzed has fewer.
ROW: Final = re.compile(r"^\| `([a-z0-9-]+)` \| (.*?) \|(?: [^|]* \|){6} ([^|]*) \|$", re.MULTILINE)


def test_every_fault_of_the_matrix_has_its_row_and_no_other_has() -> None:
    """Renew it with `python -m tests.faults --page docs/reliability.md`."""
    rows = {name: what for name, what, _ in ROW.findall(PAGE)}
    assert rows == {fault.name: fault.what.replace("|", "\\|") for fault in all_faults()}


def test_every_fault_on_the_page_holds() -> None:
    assert {verdict for _, _, verdict in ROW.findall(PAGE)} == {"holds"}


def test_the_matrix_has_the_forty_faults_that_were_asked_for_and_more() -> None:
    assert len(all_faults()) > 40
