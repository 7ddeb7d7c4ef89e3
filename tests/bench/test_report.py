import json
import platform

import pytest
from rich.console import Console

from bench.report import Bound, Measurement, to_json, to_table


@pytest.mark.parametrize(
    ("bound", "value", "ok"),
    [
        (Bound("at most", 200), 200, True),
        (Bound("at most", 200), 200.1, False),
        (Bound("at least", 0.7), 0.7, True),
        (Bound("at least", 0.7), 0.69, False),
        (None, -5, True),
    ],
)
def test_a_measurement_is_ok_up_to_its_bound(bound: Bound | None, value: float, ok: bool) -> None:
    assert Measurement("speed", value, "ratio", bound).ok is ok


def test_a_measurement_that_could_not_be_taken_is_not_ok_even_without_a_bound() -> None:
    assert not Measurement("demo", None, "s", detail="there is no demo").ok


def test_the_json_carries_value_bound_and_verdict_and_does_not_name_the_host() -> None:
    text = to_json([Measurement("memory", 250, "MB", Bound("at most", 200), "whole process")])

    written = json.loads(text)
    assert written["measurements"] == [
        {
            "name": "memory",
            "value": 250,
            "unit": "MB",
            "bound": "at most 200",
            "ok": False,
            "detail": "whole process",
        }
    ]
    assert set(written["machine"]) == {"cores", "python", "platform"}
    assert platform.node() not in str(written["machine"])


def test_the_table_marks_a_broken_bound_and_shows_what_was_allowed() -> None:
    console = Console(width=160)

    with console.capture() as shown:
        console.print(to_table([Measurement("memory", 250, "MB", Bound("at most", 200))]))

    row = next(line for line in shown.get().splitlines() if "memory" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")[:5]] == ["memory", "250", "MB", "at most 200", "NO"]
