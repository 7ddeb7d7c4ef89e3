"""The workloads that are made up, and those that are read."""

import json
from pathlib import Path
from random import Random

import pytest

from autoscaler.simulate.workload import DAY, MADE, Arrival, LiveSession
from autoscaler.simulate.workload_file import read_trace
from shared.errors import ConfigurationError


@pytest.mark.parametrize("name", sorted(set(MADE) - {"ten-million", "recorders"}))
def test_the_same_seed_makes_the_same_trace_in_the_order_of_time(name: str) -> None:
    trace = MADE[name](3, Random(5))

    assert trace == MADE[name](3, Random(5))
    assert list(trace.arrivals) == sorted(trace.arrivals, key=lambda arrival: arrival.at)
    assert all(0 <= arrival.at <= trace.seconds for arrival in trace.arrivals)
    assert trace.name == name


def test_the_small_workload_has_twenty_sessions_a_day_that_miss_five_percent_within_ten_hours() -> None:
    trace = MADE["small-locked"](10, Random(1))

    assert len(trace.arrivals) == len(trace.sessions) == 200
    assert 0.045 < trace.jobs / (200 * 720) < 0.055
    assert all(session.ends - session.begins == pytest.approx(3600) for session in trace.sessions)
    assert all(8 * 3600 <= session.begins % DAY <= 17 * 3600 for session in trace.sessions)
    assert MADE["small"](10, Random(1)).sessions == ()


def test_ten_million_chunks_a_day_are_about_ten_million_with_a_rhythm() -> None:
    trace = MADE["ten-million"](2, Random(1))

    assert trace.jobs == pytest.approx(20_000_000, rel=0.03)
    by_night = sum(each.jobs for each in trace.arrivals if each.at % DAY < DAY / 8)
    by_day = sum(each.jobs for each in trace.arrivals if 7 * DAY / 16 < each.at % DAY < 9 * DAY / 16)
    assert by_day > 5 * by_night


def test_a_csv_file_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("seconds,jobs\n90000,2\n10.5,7\n")

    trace = read_trace(path, pool=3)

    assert trace.arrivals == (Arrival(10.5, 7), Arrival(90000, 2))
    assert (trace.name, trace.seconds, trace.pool) == ("mine", 2 * DAY, 3)


def test_a_json_file_may_have_sessions_that_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"arrivals": [{"seconds": 3601, "jobs": 36}], "sessions": [{"begins": 1, "ends": 3600}]})
    )

    trace = read_trace(path, pool=1)

    assert trace.sessions == (LiveSession(1, 3600),)
    assert trace.jobs == 36


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "seconds,jobs\n1,0\n", "0.jobs"),
        ("a.csv", "when,jobs\n1,2\n", "seconds"),
        ("a.csv", "seconds,jobs\n", "arrivals"),
        ("a.csv", "seconds,jobs\ninf,1\n", "finite"),
        ("a.json", "[]", "no workload"),
        ("a.json", "{", "no workload"),
        ("a.json", '{"arrivals": [{"seconds": -1, "jobs": 1}]}', "arrivals.0.seconds"),
        ("a.json", '{"arrivals": [{"seconds": 1, "jobs": 1}], "sessions": [{"begins": 2, "ends": 1}]}', "before"),
    ],
)
def test_a_file_that_is_no_workload_is_refused_with_the_place(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(ConfigurationError, match=says):
        read_trace(tmp_path / name, pool=1)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.csv cannot be read"):
        read_trace(tmp_path / "gone.csv", pool=1)
