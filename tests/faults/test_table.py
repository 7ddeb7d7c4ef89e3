"""Outcomes as people and programs see them."""

import json
from io import StringIO

import pytest
from rich.console import Console

from tests.faults.harness.outcome import Outcome
from tests.faults.harness.table import BEGIN, END, summary, to_json, to_markdown, to_table, with_matrix

HELD = Outcome(
    "kill-before-publish",
    group="kills",
    what="A worker is killed | before it publishes.",
    injected=3,
    jobs=24,
    dead_lettered={"audio-empty": 2},
    recovery_seconds=5.25,
    seed=7,
    seconds=11.0,
)
BROKEN = Outcome("lock-ignored", group="lock", jobs=6, lost=1, broken=("a: one [x]", "b: two"), seed=7)


def printed(*outcomes: Outcome) -> str:
    written = StringIO()
    Console(file=written, width=200).print(to_table(outcomes))
    return written.getvalue()


def line_of(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if name in line)
    return [cell.strip() for cell in line.strip("│|").replace("│", "|").split("|")]


def test_a_row_shows_what_the_fault_did_and_that_its_promises_hold() -> None:
    cells = line_of(printed(HELD), "kill-before-publish")
    assert cells == ["kill-before-publish", "3", "24", "0", "0", "2 audio-empty", "5.2 s", "holds"]


def test_a_row_of_a_broken_promise_says_which_and_that_it_never_recovered() -> None:
    cells = line_of(printed(BROKEN), "lock-ignored")
    assert cells[3] == "1"
    assert cells[-2:] == ["-", "a: one [x] (and 1 more)"]


def test_the_last_row_sums_up() -> None:
    cells = line_of(printed(HELD, BROKEN), "all")
    assert cells == ["all", "3", "30", "1", "0", "2 audio-empty", "5.2 s", "1 of 2"]


def test_the_summary_counts_what_holds_and_what_was_lost() -> None:
    assert summary([HELD, BROKEN]) == "1 of 2 faults hold; of 30 jobs 1 lost, 0 duplicated"


def test_json_holds_every_number_and_the_seed() -> None:
    document = json.loads(to_json([HELD, BROKEN], seed=7, seconds=12.34))
    assert (document["seed"], document["seconds"], document["faults"], document["held"]) == (7, 12.3, 2, 1)
    first, second = document["outcomes"]
    assert (first["verdict"], first["injected"], first["dead_lettered"]) == ("holds", 3, {"audio-empty": 2})
    assert second["broken"] == ["a: one [x]", "b: two"]


def test_the_page_has_a_table_for_each_group_with_what_each_fault_does() -> None:
    page = to_markdown([HELD, BROKEN])
    assert "### kills" in page
    assert "### lock" in page
    assert "| `kill-before-publish` | A worker is killed \\| before it publishes. | 3 | 24 | 0 | 0 |" in page


def test_the_matrix_replaces_only_what_stands_between_the_markers() -> None:
    page = f"# Title\n\ntext\n\n{BEGIN}\nold\n{END}\n\nmore text\n"
    assert with_matrix(page, "new\n") == f"# Title\n\ntext\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore text\n"
    assert with_matrix(with_matrix(page, "new\n"), "new\n") == with_matrix(page, "new\n")


def test_a_page_that_is_not_there_yet_gets_a_heading_and_the_matrix() -> None:
    page = with_matrix("", "new\n")
    assert page.startswith("# Reliability\n")
    assert f"{BEGIN}\n\nnew\n\n{END}" in page


def test_a_page_without_a_place_for_the_matrix_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no lines"):
        with_matrix("# Reliability\n\nwritten by hand\n", "new\n")
