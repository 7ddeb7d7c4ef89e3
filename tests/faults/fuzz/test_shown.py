"""What fuzzing came to, as people and programs see it."""

import json
from io import StringIO

from rich.console import Console

from tests.faults.fuzz.judge import Cause, Failure
from tests.faults.fuzz.run import FuzzOutcome
from tests.faults.fuzz.shown import summary, to_markdown, to_rows, to_table, told

HELD = FuzzOutcome("key", 100_000, 60_000, 40_000, (), 12.34)
FAILURE = Failure(Cause("KeyError", "shared/state/lock.py:7"), b"\x00[red]", "KeyError: 'a'", 1_500)
BROKEN = FuzzOutcome("lock", 2_000, 300, 200, (FAILURE,), 1.0)


def cells_of(name: str) -> list[str]:
    written = StringIO()
    Console(file=written, width=200).print(to_table([HELD, BROKEN]))
    (line,) = (line for line in written.getvalue().splitlines() if f" {name} " in line and "│" in line)
    return [cell.strip() for cell in line.strip("│|").replace("│", "|").split("|")]


def test_a_row_says_what_the_inputs_came_to() -> None:
    assert cells_of("key") == ["key", "100,000", "60,000", "40,000", "0", "12.3"]
    assert cells_of("lock") == ["lock", "2,000", "300", "200", "1,500", "1.0"]


def test_the_last_row_and_the_summary_are_of_all() -> None:
    assert cells_of("all") == ["all", "102,000", "60,300", "40,200", "1,500", "13.3"]
    assert summary([HELD, BROKEN]) == "2 parsers fuzzed with 102,000 inputs, 1,500 failed"


def test_a_parser_that_failed_does_not_hold() -> None:
    assert HELD.holds
    assert not BROKEN.holds


def test_each_failure_is_told_with_an_input_that_shows_it() -> None:
    (paragraph,) = told(BROKEN)
    assert paragraph == "lock: KeyError: 'a' at shared/state/lock.py:7, 1,500 inputs\n  b'\\x00[red]'"
    assert list(told(HELD)) == []


def test_a_long_input_is_told_in_part() -> None:
    long = FuzzOutcome("lock", 1, 0, 0, (Failure(Cause("TooMuchWorkError", ""), b"x" * 1_500, "too much"),), 1.0)
    (paragraph,) = told(long)
    assert paragraph.startswith("lock: too much, 1 inputs\n")
    assert paragraph.endswith("x' and 1,100 more bytes")


def test_rows_can_be_written_as_json_and_hold_the_whole_input() -> None:
    held, broken = json.loads(json.dumps(to_rows([HELD, BROKEN])))
    assert (held["target"], held["failed"], held["failures"]) == ("key", 0, [])
    assert bytes.fromhex(broken["failures"][0]["data"]) == FAILURE.data


def test_the_page_has_a_line_for_each_parser() -> None:
    page = to_markdown([HELD, BROKEN])
    assert "### fuzzing" in page
    assert "| `key` | 100,000 | 60,000 | 40,000 | 0 |" in page
