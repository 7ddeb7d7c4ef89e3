"""The sheet as a picture: every number that was measured stands in it."""

from pathlib import Path

from bench.plot import draw_measurements, rows_of
from bench.report import Measurement

WAYS = ("plain loop", "each chunk missing in turn, restart", "every chunk missing, restart", "whole recording")
MEASURED = [
    Measurement(f"{panel}: {way}", 10.0 * number + len(panel), "")
    for panel in ("words", "speed", "calls")
    for number, way in enumerate(WAYS, 1)
]


def test_the_picture_shows_each_number_as_text(tmp_path: Path) -> None:
    target = tmp_path / "sheet.svg"

    assert draw_measurements(MEASURED, target)

    text = target.read_text()
    for value in ("15.0", "25.0", "35.0", "45.0"):
        assert text.count(f">{value}</text>") == 2  # errors and speed
    for value in ("15", "25", "35", "45"):
        assert f">{value}</text>" in text


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        draw_measurements(MEASURED, tmp_path / name)

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_nothing_is_drawn_when_a_way_to_transcribe_was_not_measured(tmp_path: Path) -> None:
    assert not draw_measurements(MEASURED[1:], tmp_path / "sheet.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_not_known_is_said_to_be_unknown(tmp_path: Path) -> None:
    unknown = [Measurement(each.name, None if each.name.startswith("calls") else each.value, "") for each in MEASURED]

    draw_measurements(unknown, tmp_path / "sheet.svg")

    assert (tmp_path / "sheet.svg").read_text().count(">not known</text>") == len(WAYS)


def test_the_fleets_own_ways_stand_out() -> None:
    rows = rows_of({each.name: each.value for each in MEASURED})

    assert [row.ours for row in rows] == [False, True, True, False]
