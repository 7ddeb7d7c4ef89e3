"""The worker's metrics: what a line tells of the time since the line before."""

import json
from typing import TYPE_CHECKING, Any

import pytest

import consumer.run.process
from consumer.jobs.stages import JobRecord
from consumer.run.metrics import WorkerMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cloud, FakeClock
    from tests.consumer.conftest import MakeCrew

Line = dict[str, Any]


def said(line: Line) -> dict[str, float]:
    """The values of a line, by the names that its own header gives."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}


def test_a_line_tells_what_was_done_since_the_one_before(clock: "FakeClock") -> None:
    lines: list[Any] = []
    metrics = WorkerMetrics("blue", clock, lines.append)
    metrics.ended(JobRecord(None, "completed", audio_seconds=5))
    metrics.ended(JobRecord(None, "completed", audio_seconds=4.5))
    metrics.ended(JobRecord(None, "failed"))
    metrics.ended(JobRecord(None, "skipped"))
    clock.advance(60)
    metrics.write(15)
    metrics.ended(JobRecord(None, "failed"))
    clock.advance(60)
    metrics.write(75)
    assert [said(line) for line in lines] == [
        {"JobsCompleted": 2, "JobsFailed": 1, "AudioSeconds": 9.5, "BusyFraction": 0.25},
        {"JobsCompleted": 0, "JobsFailed": 1, "AudioSeconds": 0, "BusyFraction": 1},
    ]


def test_a_line_is_due_a_minute_after_the_one_before(clock: "FakeClock") -> None:
    metrics = WorkerMetrics("blue", clock, lambda _: None)
    clock.advance(59)
    early = metrics.due
    clock.advance(1)
    in_time = metrics.due
    metrics.write(0)
    assert (early, in_time, metrics.due) == (False, True, False)


def test_the_fleet_is_the_only_dimension_and_nothing_else_is_told(clock: "FakeClock") -> None:
    lines: list[Any] = []
    metrics = WorkerMetrics("blue", clock, lines.append)
    clock.advance(60)
    metrics.write(0)
    (line,) = lines
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Fleet"]]
    assert set(line) - set(said(line)) == {"_aws", "Fleet"}
    assert line["Fleet"] == "blue"


def test_two_lines_at_one_moment_tell_no_fraction_of_no_time(clock: "FakeClock") -> None:
    lines: list[Any] = []
    metrics = WorkerMetrics("blue", clock, lines.append)
    metrics.write(0)
    assert set(said(lines[0])) == {"JobsCompleted", "JobsFailed", "AudioSeconds"}


def test_a_run_says_what_it_did_before_its_instance_is_stopped(
    crew: "MakeCrew", instance: "Callable[..., str]", state_of: "Callable[[str], str]", clock: "FakeClock"
) -> None:
    mine = instance(owned=True)
    heard: list[tuple[Any, str]] = []
    metrics = WorkerMetrics("blue", clock, lambda line: heard.append((line, state_of(mine))))
    one = crew(instance_id=mine, until_empty=False, metrics=metrics)
    one.transcriber.during = lambda: clock.advance(3)
    for chunk in ("001", "002"):
        one.job(chunk)
    one.job("003", audio=b"no audio")
    one.run()
    ((line, state),) = heard
    assert state == "running"
    assert state_of(mine) == "stopped"
    assert {name: said(line)[name] for name in ("JobsCompleted", "JobsFailed")} == {"JobsCompleted": 2, "JobsFailed": 1}
    assert said(line)["AudioSeconds"] == pytest.approx(2 * 0.96)
    assert 0 < said(line)["BusyFraction"] <= 1


def test_a_run_that_is_interrupted_says_what_it_did(crew: "MakeCrew", clock: "FakeClock") -> None:
    lines: list[Any] = []
    one = crew(metrics=WorkerMetrics("blue", clock, lines.append))
    one.job()
    one.transcriber.during = one.stop.request
    one.run()
    assert [said(line)["JobsCompleted"] for line in lines] == [1]


@pytest.mark.parametrize(("log_format", "written"), [("json", 1), ("console", 0), ("auto", 0)])
def test_the_lines_go_to_standard_output_only_where_the_log_is_for_machines(
    cloud: "Cloud", clock: "FakeClock", capsys: pytest.CaptureFixture[str], log_format: str, written: int
) -> None:
    settings = cloud.settings_with(log_format=log_format, fleet_name="blue")
    metrics = consumer.run.process._metrics(settings, clock)
    if metrics:
        metrics.write(0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Fleet"] for line in lines] == ["blue"] * written
