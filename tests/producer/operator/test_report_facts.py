"""Reports are read as far as they are understood: of this version, older, damaged."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.operator.reports.model import ReportUnreadableError, read_facts
from producer.operator.reports.store import chosen, parse_name
from tests.shared.reporting.stored_reports import NOON, failed_job, outcome, run_report


def test_given_a_report_of_this_version_then_all_of_it_is_understood() -> None:
    report = run_report(NOON, cost=0.25, errors=(failed_job("s2", "007"),), sessions=(outcome("s1", 40),))

    reading = read_facts(report.to_json().encode())

    assert reading.unknown == ()
    assert (reading.facts.outcome, reading.facts.gpu.cost_usd) == ("success", 0.25)
    assert reading.facts.execution.start_time == NOON
    assert [(each.session_id, each.duration) for each in reading.facts.sessions] == [("s1", 40)]
    assert [(each.chunk, each.reason) for each in reading.facts.errors] == [("007", "audio-empty")]


def test_given_an_older_report_then_what_it_lacks_is_unknown_and_what_it_has_is_there() -> None:
    older = {"timestamp": "2025-01-02T03:04:05", "gpu": {"runtimeSeconds": 61}, "errors": ["no audio in chunk 3"]}

    reading = read_facts(json.dumps(older).encode())

    assert reading.facts.timestamp == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (reading.facts.gpu.runtime_seconds, reading.facts.gpu.cost_usd) == (61, None)
    assert [error.detail for error in reading.facts.errors] == ["no audio in chunk 3"]
    assert {"reportId", "status", "errors.0"} <= set(reading.unknown)
    assert reading.document == older


@pytest.mark.parametrize("wrong", ["a lot", -1, None, [], float("nan"), float("inf"), 1e308, 10**400])
def test_given_a_cost_that_is_none_then_it_is_unknown_and_its_neighbours_are_not(wrong: Any) -> None:
    body = json.dumps({"gpu": {"costUSD": wrong, "instanceId": "i-1"}}).encode()

    facts = read_facts(body).facts

    assert (facts.gpu.cost_usd, facts.gpu.instance_id) == (None, "i-1")


def test_given_a_list_with_strange_members_then_the_others_are_read() -> None:
    body = json.dumps({"sessions": [3, {"sessionId": "a", "duration": "?"}, None]}).encode()

    (session,) = read_facts(body).facts.sessions

    assert (session.session_id, session.duration) == ("a", None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"status": "\\ud800"}'])
def test_given_what_is_no_json_object_then_it_is_no_report(body: bytes) -> None:
    with pytest.raises(ReportUnreadableError):
        read_facts(body)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = ["timestamp", "status", "skipped", "execution", "gpu", "transcription", "performance", "sessions", "errors"]


@given(st.dictionaries(st.sampled_from(_FIELDS), _VALUES))
def test_whatever_a_report_holds_reading_it_does_not_fail(document: dict[str, Any]) -> None:
    assert read_facts(json.dumps(document).encode()).facts.outcome


# --- names


@pytest.mark.parametrize(
    ("stem", "of_a_run"),
    [
        ("batch-2026-03-01-1200", False),
        ("batch-2026-03-01-1200-2", False),
        ("batch-2026-03-01-1200-i-0abc", True),
        ("batch-2026-03-01-1200-i-0abc-2", True),
    ],
)
def test_a_name_tells_when_its_run_began_and_whether_an_instance_ran(stem: str, *, of_a_run: bool) -> None:
    name = parse_name(stem)

    assert name
    assert (name.began, name.names_an_instance) == (NOON, of_a_run)


@pytest.mark.parametrize("stem", ["batch-2026-02-30-1200", "batch-2026-03-01", "notes", "batch-2026-03-01-1200-../x"])
def test_what_is_no_reports_name_is_none(stem: str) -> None:
    assert parse_name(stem) is None


def test_a_report_can_be_meant_by_its_whole_name_or_by_a_part_that_no_other_has() -> None:
    stems = ["batch-2026-03-02-1200", "batch-2026-03-01-1200-i-1-2", "batch-2026-03-01-1200-i-1"]
    names = [name for stem in stems if (name := parse_name(stem))]

    assert [name.stem for name in chosen(names, "latest")] == stems[:1]
    assert [name.stem for name in chosen(names, stems[2])] == stems[2:]
    assert [name.stem for name in chosen(names, "03-02")] == stems[:1]
    assert [name.stem for name in chosen(names, "i-1")] == stems[1:]
    assert chosen(names, "i-9") == []


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_given_a_moment_that_utc_does_not_have_then_it_is_unknown(moment: str) -> None:
    body = json.dumps({"timestamp": moment, "execution": {"startTime": moment}}).encode()

    facts = read_facts(body).facts

    assert (facts.timestamp, facts.execution.start_time) == (None, None)
