"""Logs: one JSON object a line for machines, plain text for people, nothing below the level, never on stdout."""

import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from shared.logs import configure_logging


@pytest.fixture(autouse=True)
def leave_structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.mark.parametrize("style", ["json", "auto"])
def test_where_stderr_is_no_terminal_an_event_is_one_json_object_on_one_line(
    capsys: pytest.CaptureFixture[str], style: Literal["json", "auto"]
) -> None:
    configure_logging("info", style)

    structlog.get_logger().info("job_done", chunk="007", session="line\nbreak ü")

    (line,) = written(capsys)
    event: dict[str, Any] = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "job_done", "level": "info", "chunk": "007", "session": "line\nbreak ü"}


def test_on_a_terminal_people_read_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    configure_logging("info", "auto")

    structlog.get_logger().info("job_done", chunk="007")

    (line,) = written(capsys)
    assert "job_done" in line
    assert "\x1b[" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


def test_plain_text_that_goes_to_a_file_holds_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")

    structlog.get_logger().info("job_done", chunk="007")

    (line,) = written(capsys)
    assert "chunk=007" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_events_below_the_level_are_not_written(
    capsys: pytest.CaptureFixture[str], level: str, events: list[str]
) -> None:
    configure_logging(level, "json")
    log = structlog.get_logger()

    for name in ("debug", "info", "warning", "error"):
        log.log(logging.getLevelNamesMapping()[name.upper()], "event")

    assert [json.loads(line)["level"] for line in written(capsys)] == events


def test_bound_context_is_in_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.contextvars.bind_contextvars(instance="i-1")

    structlog.get_logger().bind(attempt=2).info("retried")

    (line,) = written(capsys)
    assert {"instance": "i-1", "attempt": 2}.items() <= json.loads(line).items()


def test_an_exception_stays_on_the_events_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger().exception("worker_failed")

    (line,) = written(capsys)
    assert "RuntimeError: broken" in json.loads(line)["exception"]


class _FullDisk(io.StringIO):
    """A stream whose file's disk is full for as long as `full` says so."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_work_goes_on_when_the_log_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = _FullDisk()
    monkeypatch.setattr("sys.stderr", stderr)
    configure_logging("debug", "json")
    log = structlog.get_logger()

    for level in ("debug", "info", "warning", "error", "exception"):
        getattr(log, level)("lost")
    stderr.full = False
    log.info("room again")

    assert [json.loads(line)["event"] for line in stderr.getvalue().splitlines()] == ["room again"]


def test_a_logger_made_before_the_set_up_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    configure_logging("error", "json")

    log.info("quiet")
    log.error("loud")

    assert [json.loads(line)["event"] for line in written(capsys)] == ["loud"]
