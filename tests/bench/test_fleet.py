"""What the bench reads from a worker's log, and the objects that it makes."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.busy import time_in_model
from bench.children import MeasurementError
from bench.fleet import Event, Memory, WorkerRun, read_events
from bench.memory import gaps_of
from bench.sessions import audio_objects, bench_session, chunk_names, existing_transcripts
from shared.formats.layout import parse_key

REPORT: dict[str, Any] = {
    "transcription": {"audioSeconds": 60.0},
    "performance": {"transcribeDurationSeconds": 2.5},
}


def run(*events: tuple[str, float]) -> WorkerRun:
    return WorkerRun([Event(name, at, {}) for name, at in events], REPORT, Memory())


def test_a_runs_speed_counts_from_the_loaded_model_to_the_last_transcript() -> None:
    worked = run(("ready", 10.0), ("chunk_transcribed", 11.0), ("chunk_transcribed", 13.0), ("run_reported", 40.0))

    assert worked.speed == pytest.approx(20.0)


@pytest.mark.parametrize("events", [(), (("ready", 1.0),)])
def test_a_run_without_a_transcript_has_no_speed(events: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(MeasurementError, match="transcribed nothing"):
        _ = run(*events).seconds


def test_the_model_is_at_work_until_its_last_window_ends_not_until_the_last_transcript() -> None:
    worked = run(("ready", 1.0), ("window_transcribed", 2.0), ("window_transcribed", 3.0), ("chunk_transcribed", 9.0))

    assert time_in_model(worked) == (2.5, 3.0)
    assert worked.windows == 2


def test_a_log_without_windows_does_not_tell_how_many_there_were() -> None:
    assert run(("ready", 1.0), ("chunk_transcribed", 2.0)).windows is None


def test_a_log_gives_its_events_and_leaves_out_what_libraries_say(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    line = json.dumps({"event": "ready", "timestamp": "2026-03-04T05:06:07.500000Z", "model": "tiny.en"})
    log.write_text(f"a library complains\n{line}\n[1, 2]\n")

    (event,) = read_events(log)

    assert (event.name, event.fields["model"]) == ("ready", "tiny.en")
    assert event.at == pytest.approx(1772600767.5)


def test_memory_is_told_by_the_chunks_that_were_done() -> None:
    memory = Memory([(0, 100, 110), (200, 300, 310), (201, 250, 310), (900, 320, 330)])

    assert memory.highest(0, 200) == 300
    assert memory.highest(201) == 320
    assert memory.peak == 330


def test_gaps_are_spread_over_the_session_with_its_ends_among_them() -> None:
    assert gaps_of(20_000, 5) == [0, 5000, 10000, 14999, 19999]
    assert gaps_of(10, 10) == list(range(10))
    assert gaps_of(10, 1) == [0]


def test_a_sessions_objects_have_keys_of_the_layout() -> None:
    session = bench_session("demo")

    keys = [*audio_objects(session, [b"a", b"b"], "webm"), *existing_transcripts(session, ["002"])]

    parsed = [parse_key(key) for key in keys]
    assert [each and (each.audio_chunk, each.transcript_chunk) for each in parsed] == [
        ("001", None),
        ("002", None),
        (None, "002"),
    ]


def test_chunks_are_numbered_with_three_digits_or_more() -> None:
    assert (chunk_names(1000)[0], chunk_names(1000)[-1]) == ("001", "1000")
